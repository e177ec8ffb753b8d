from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from medpipe.engine import make_engine
from medpipe.errors import SecurityError, StoppedError
from tests.engine.engine_toys import sealed_cases
from tests.engine.tasks import engine_spec, task, told

pytestmark = pytest.mark.timeout(90)

ROOT = Path(__file__).resolve().parents[2]


def children(part, parent=None):
    found = (parent or psutil.Process()).children(recursive=True)
    return [process for process in found if part in words_of(process)]


def words_of(process):
    """Return the command line of a process; empty if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.slow
def test_lethal_cases_cost_themselves_and_no_neighbour(tmp_path):
    lethal = {
        "segfault": ("failed", "E_CRASH", "read"),
        "abort": ("failed", "E_CRASH", "image"),
        "exit": ("failed", "E_CRASH", "read"),
        "eat": ("failed", "E_OOM", "image"),
        "hold_gil": ("failed", "E_TIMEOUT", "features"),
        f"killed_once {tmp_path / 'flag'}": ("done", "", "done"),
    }
    script = [word for bad in lethal for word in (bad, "ok", "ok")]
    deadlines_s = [1.5 if word == "hold_gil" else 20.0 for word in script]
    events = []
    with make_engine(engine_spec("dask", tmp_path, script)) as engine:
        engine.run([task(row, deadline_s=s) for row, s in enumerate(deadlines_s)], events.append)
    expected = [(row, "finished", *lethal.get(word, ("done", "", "done"))) for row, word in enumerate(script)]
    assert sorted(told(event)[:-1] for event in events) == expected
    attempts = {event.row: event.attempts for event in events}
    assert {attempts[row] for row, word in enumerate(script) if word == "ok"} == {1}
    assert attempts[script.index(f"killed_once {tmp_path / 'flag'}")] == 2
    assert len(sealed_cases(tmp_path)) == len(script)


def test_a_killed_worker_costs_no_case(tmp_path):
    events = []

    def kill_once(event):
        if not events:
            for worker in children("multiprocessing.spawn"):
                worker.kill()
        events.append(event)

    with make_engine(engine_spec("dask", tmp_path, ["sleep 0.02"] * 60)) as engine:
        engine.run(map(task, range(60)), kill_once)
    assert sorted(event.row for event in events) == list(range(60))
    assert {case.case_key for case in sealed_cases(tmp_path)} == {f"case-{row}" for row in range(60)}


def test_an_event_is_sent_only_when_its_record_is_durable(tmp_path):
    missing = []

    def check(event):
        if event.case_key not in {case.case_key for case in sealed_cases(tmp_path)}:
            missing.append(event.case_key)

    with make_engine(engine_spec("dask", tmp_path, ["sleep 0.02"] * 40)) as engine:
        engine.run(map(task, range(40)), check)
    assert missing == []


def test_nothing_listens_beyond_this_host_and_no_http_page_is_served(tmp_path):
    with make_engine(engine_spec("dask", tmp_path, ["ok"])) as engine:
        engine.run([task(0)], lambda _: None)
        me = psutil.Process()
        listening = [
            connection.laddr
            for process in [me, *me.children(recursive=True)]
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
    assert listening
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert 8787 not in {address.port for address in listening}


def test_a_scheduler_beyond_this_host_is_refused_without_tls(tmp_path):
    with pytest.raises(SecurityError, match="tls"):
        make_engine(engine_spec("dask", tmp_path, ["ok"], address="tcp://192.0.2.1:8786"))


def driver(tmp_path, script, body):
    code = (
        "import sys, os\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from medpipe.engine import make_engine\n"
        "from medpipe.errors import StoppedError\n"
        "from tests.engine.tasks import engine_spec, task\n"
        "if __name__ == '__main__':\n"
        f"    with make_engine(engine_spec('dask', {str(tmp_path)!r}, {script!r})) as engine:\n"
        f"{body}"
    )
    file = tmp_path / "driver.py"
    file.write_text(code)
    return psutil.Popen(
        [sys.executable, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_ctrl_c_stops_in_order_and_leaves_nothing_behind(tmp_path):
    body = (
        "        try:\n"
        "            engine.run(map(task, range(500)), lambda event: print(event.case_key, flush=True))\n"
        "        except StoppedError as error:\n"
        "            print('exit', error.exit_code)\n"
    )
    process = driver(tmp_path, ["sleep 0.02"] * 500, body)
    first = process.stdout.readline()
    family = process.children(recursive=True)
    # a terminal sends it to the whole group, the worker included
    os.killpg(process.pid, signal.SIGINT)
    lines = (first + process.stdout.read()).split("\n")
    err = process.stderr.read()
    process.wait(10)
    assert lines[-2] == "exit 4"
    assert "Traceback" not in err
    assert set(lines[:-2]) <= {case.case_key for case in sealed_cases(tmp_path)}
    wait_until(lambda: not any(child.is_running() for child in family))


@pytest.mark.slow
def test_no_process_outlives_a_killed_driver(tmp_path):
    body = "        engine.run(map(task, range(500)), lambda event: print(event.case_key, flush=True))\n"
    process = driver(tmp_path, ["sleep 0.02"] * 499 + ["hold_gil"], body)
    process.stdout.readline()
    family = process.children(recursive=True)
    assert children("medpipe.engine.zygote", process)
    process.kill()
    process.wait(10)
    wait_until(lambda: not any(child.is_running() for child in family))


def dask_process(module, *arguments):
    """Start a scheduler or a worker as a site would."""
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
def cluster(tmp_path):
    """Start a scheduler and a worker as a site would; yield address and scheduler."""
    file = tmp_path / "scheduler.json"
    scheduler = dask_process("dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    worker = dask_process(
        "dask_worker",
        *("--scheduler-file", str(file), "--nthreads", "2", "--no-dashboard", "--no-nanny", "--resources", "MEM=8e8"),
    )
    wait_until(file.exists)
    time.sleep(0.1)
    yield json.loads(file.read_text())["address"], scheduler
    for process in (scheduler, worker):
        process.terminate()
        process.wait(20)


def test_a_lost_scheduler_stops_the_run_resumably(tmp_path, cluster):
    address, scheduler = cluster
    folder = tmp_path / "sink"
    folder.mkdir()
    events = []
    spec = engine_spec("dask", folder, ["ok"] * 5 + ["sleep 0.05"] * 200, address=address)
    with make_engine(spec) as engine:
        engine.run(map(task, range(5)), events.append)
        assert len(events) == 5
        threading.Timer(0.5, scheduler.kill).start()
        with pytest.raises(StoppedError, match="scheduler was lost"):
            engine.run(map(task, range(5, 205)), events.append)
    assert {event.case_key for event in events} <= {case.case_key for case in sealed_cases(folder)}
