"""Processes of a run that are killed or stopped while it goes on."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import threading
import time
from collections import Counter

import psutil
import pytest

from medpipe.engine import make_engine
from tests.engine.engine_toys import sealed_cases
from tests.engine.tasks import engine_spec, task
from tests.engine.test_dask import children, dask_process, driver, wait_until, words_of

pytestmark = pytest.mark.timeout(120)


def workers(parent=None):
    return children("spawn_main", parent)


def zygotes(parent=None):
    return [process for process in children("medpipe.engine.zygote", parent) if not is_forked(process)]


def sandboxes(parent=None):
    return [process for process in children("medpipe.engine.zygote", parent) if is_forked(process)]


def is_forked(process):
    try:
        return "medpipe.engine.zygote" in words_of(process.parent())
    except (psutil.Error, AttributeError):
        return False


@pytest.mark.slow
def test_a_stopped_worker_is_replaced_and_no_case_is_lost(tmp_path):
    events = []
    stopped = []

    def stop_once(event):
        events.append(event)
        if not stopped:
            stopped.extend(workers())
            for worker in stopped:
                worker.suspend()

    begun_s = time.monotonic()
    with make_engine(engine_spec("dask", tmp_path, ["sleep 0.02"] * 100, silence_s=2.0)) as engine:
        engine.run(map(task, range(100)), stop_once)
    assert stopped
    assert Counter(event.row for event in events) == Counter(range(100))
    assert {case.case_key for case in sealed_cases(tmp_path)} == {f"case-{row}" for row in range(100)}
    assert time.monotonic() - begun_s < 45
    wait_until(lambda: not any(worker.is_running() for worker in stopped))


def test_a_worker_stopped_while_its_driver_is_killed_ends_when_it_wakes(tmp_path):
    body = "        engine.run(map(task, range(500)), lambda event: print(event.case_key, flush=True))\n"
    process = driver(tmp_path, ["sleep 0.02"] * 500, body)
    process.stdout.readline()
    family = process.children(recursive=True)
    (worker,) = workers(process)
    worker.suspend()
    process.kill()
    process.wait(10)
    time.sleep(0.3)
    sealed = {case.case_key for case in sealed_cases(tmp_path)}
    worker.resume()
    wait_until(lambda: not any(child.is_running() for child in family))
    # what it had in hand it may still have sealed: whole results under their own keys, at most once each
    late = Counter(case.case_key for case in sealed_cases(tmp_path))
    assert sealed <= set(late)
    assert max(late.values()) == 1


def test_sandboxes_killed_from_outside_cost_no_case(tmp_path):
    events = []
    done = threading.Event()
    killed = []

    def kill():
        told = 0
        while not done.wait(0.05):
            # only once cases went on: one that is hit in both its tries ends as a row with its code
            if len(events) >= told + 10:
                told = len(events)
                for process in sandboxes():
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                        killed.append(process.pid)

    killer = threading.Thread(target=kill, daemon=True)
    with make_engine(engine_spec("dask", tmp_path, ["sleep 0.02"] * 150)) as engine:
        killer.start()
        try:
            engine.run(map(task, range(150)), events.append)
        finally:
            done.set()
            killer.join()
    assert killed
    assert Counter(event.row for event in events) == Counter(range(150))
    assert set(Counter(event.code for event in events)) <= {"", "E_CRASH"}
    assert Counter(event.code for event in events)[""] >= 150 - len(killed) // 2


@pytest.mark.slow
def test_a_killed_nanny_takes_its_worker_along_and_costs_no_case(tmp_path):
    file = tmp_path / "scheduler.json"
    folder = tmp_path / "sink"
    folder.mkdir()
    places = ("--scheduler-file", str(file))
    started = [
        dask_process("dask_scheduler", "--port", "0", "--no-dashboard", *places),
        *(dask_process("dask_worker", *places, "--nthreads", "1", "--no-dashboard") for _ in range(2)),
    ]
    try:
        wait_until(file.exists)
        time.sleep(0.1)
        events, family = [], []

        def kill_once(event):
            events.append(event)
            if not family:
                family.extend(psutil.Process(started[1].pid).children(recursive=True))
                started[1].kill()

        spec = engine_spec("dask", folder, ["sleep 0.02"] * 150, address=json.loads(file.read_text())["address"])
        with make_engine(spec) as engine:
            wait_until(lambda: len(engine._client.scheduler_info()["workers"]) == 2)
            engine.run(map(task, range(150)), kill_once)
        assert family
        assert Counter(event.row for event in events) == Counter(range(150))
        wait_until(lambda: not any(process.is_running() for process in family))
    finally:
        for process in started:
            process.terminate()
            process.wait(20)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (0, 2, 3))])
def test_random_kills_and_stops_lose_and_double_nothing(tmp_path, seed):
    rng = random.Random(seed)
    events = []
    seen = set()
    done = threading.Event()

    def harm():
        while not done.wait(rng.uniform(0.2, 1.5)):
            kind = rng.choice([workers, zygotes, sandboxes, sandboxes])
            victims = kind()
            seen.update(victims)
            if victims:
                victim = rng.choice(victims)
                with_stop = kind is not sandboxes and rng.random() < 0.3
                with contextlib.suppress(psutil.Error):
                    victim.send_signal(signal.SIGSTOP if with_stop else signal.SIGKILL)

    script = [rng.choice(["ok", "ok", "sleep 0.01", "sleep 0.05"]) for _ in range(600)]
    harmer = threading.Thread(target=harm, daemon=True)
    with make_engine(engine_spec("dask", tmp_path, script, silence_s=2.0)) as engine:
        harmer.start()
        try:
            engine.run(map(task, range(600)), events.append)
        finally:
            done.set()
            harmer.join()
    assert Counter(event.row for event in events) == Counter(range(600))
    assert {event.code for event in events} <= {"", "E_CRASH"}
    assert Counter(event.code for event in events)["E_CRASH"] <= 3
    assert {case.case_key for case in sealed_cases(tmp_path)} == {f"case-{row}" for row in range(600)}
    wait_until(lambda: not any(process.is_running() for process in seen))
