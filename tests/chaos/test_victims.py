"""Any part of a run by Dask or Prefect may be killed, and the same command ends with the same bytes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.app.conftest import write_key
from tests.app.runs import alive, command, environment, started, wait_for_quiet
from tests.chaos.arena import ENDED, RESUMABLE, RUN, Arena
from tests.chaos.judge import acknowledged, after_kill, after_resume
from tests.chaos.rivals import immutable
from tests.chaos.strikes import KILLED
from tests.flows.conftest import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOCAL = ("driver", "group", "worker", "sandbox", "zygote")
REMOTE = ("scheduler", "nanny", "worker")

PATIENCE_S = 150.0


@dataclass(frozen=True, slots=True)
class Stage:
    """An arena of many small cases, and about how long Dask takes to run them."""

    arena: Arena
    cases_s: float

    def command(self, lake: Path, *options: str) -> list[str]:
        """Return a run by Dask."""
        return command([self.arena.archive], lake, self.arena.recipe, "--workers", "2", *options)


@pytest.fixture(scope="module")
def stage(bench, tmp_path_factory) -> Stage:
    arena = Arena.make(tmp_path_factory.mktemp("victims") / "arena", series=40)
    with bench.over(arena):
        bench.forked(arena.prepare)
    stage = Stage(arena, 0.0)
    home, lake = arena.home, arena.folder / "timed"
    with started(stage.command(lake), home) as run:
        wait_until(lambda: at_work(lake), run)
        start_s = time.monotonic()
        assert run.wait(PATIENCE_S) == ENDED
    assert after_resume(arena.lake(RUN), lake, acknowledged(lake)) == []
    return Stage(arena, time.monotonic() - start_s)


@pytest.fixture
def home(tmp_path):
    """Return a home of a run's own, so that its processes can be told from others."""
    folder = tmp_path / "home"
    folder.mkdir()
    write_key(folder)
    return folder


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, victims in (("local", LOCAL), ("remote", REMOTE)):
        if name in metafunc.fixturenames:
            rounds = range(metafunc.config.getoption("--rounds"))
            trials = [(victim, number) for number in rounds for victim in victims]
            metafunc.parametrize(name, trials, ids=[f"{victim}-{number}" for victim, number in trials])


def test_whatever_is_killed_costs_no_byte(stage, home, tmp_path, local):
    victim, number = local
    lake, rng = tmp_path / "lake", random.Random(number)
    with started(stage.command(lake), home) as run:
        wait_until(lambda: at_work(lake), run)
        hit = strike(victim, run, home, stage.cases_s * rng.uniform(0, 0.9))
        if victim == "zygote" and not hit:
            pytest.skip("sandboxes have no common parent here")
        code = run.wait(timeout=PATIENCE_S)
    if hit:
        assert code in ({KILLED} if victim in {"driver", "group"} else {ENDED, RESUMABLE}), said(home)
    assert_costs_nothing(stage, home, lake, stage.command(lake))


@pytest.mark.parametrize("number", range(2))
def test_a_worker_that_wakes_after_its_run_was_taken_over_changes_nothing(stage, home, tmp_path, number):
    lake, rng = tmp_path / "lake", random.Random(number)
    with started(stage.command(lake), home) as run:
        wait_until(lambda: at_work(lake), run)
        time.sleep(stage.cases_s * rng.uniform(0, 0.5))
        wait_until(lambda: bool(workers(home, run)), run)
        (worker,) = workers(home, run)
        asleep = [worker, *worker.children(recursive=True)]
        for process in asleep:
            process.suspend()
        run.kill()
        run.wait()
    try:
        sealed = acknowledged(lake)
        # the sleepers share its environment: only the run that takes over is waited for
        with started(stage.command(lake), home) as run:
            assert run.wait(timeout=PATIENCE_S) == ENDED, said(home)
        before = immutable(lake)
        assert after_resume(stage.arena.lake(RUN), lake, sealed) == []
        assert all(process.status() == psutil.STATUS_STOPPED for process in asleep)
    finally:
        for process in reversed(asleep):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
    wait_for_quiet(home, seconds=30)
    now = immutable(lake)
    assert {path: now.get(path) for path in before} == before
    # what they had in hand they may have sealed: the same results once more, and in no table twice
    found = [finding for finding in after_resume(stage.arena.lake(RUN), lake, sealed) if finding.kind != "duplicated"]
    assert found == []
    with started(stage.command(lake), home) as run:
        assert run.wait(timeout=PATIENCE_S) == ENDED, said(home)
    found = [finding for finding in after_resume(stage.arena.lake(RUN), lake, sealed) if finding.kind != "duplicated"]
    assert found == []


def test_any_part_of_a_cluster_of_the_site_may_be_killed(stage, home, tmp_path, remote):
    victim, number = remote
    lake, rng = tmp_path / "lake", random.Random(number)
    with cluster(home) as parts:
        site = tmp_path / "site.toml"
        site.write_text(f'[cluster]\naddress = "{parts.address}"\n', encoding="utf-8")
        arguments = stage.command(lake, "--site", str(site))
        with started(arguments, home) as run:
            wait_until(lambda: at_work(lake), run)
            time.sleep(stage.cases_s * rng.uniform(0, 0.9))
            parts.kill(victim)
            if victim != "worker":
                # nobody brings these back but the site
                parts.start()
            code = run.wait(timeout=PATIENCE_S)
        assert code in {ENDED, RESUMABLE}, said(home)
        assert_costs_nothing(stage, home, lake, arguments, quiet=False)
    wait_for_quiet(home, seconds=30)


def assert_costs_nothing(stage: Stage, home: Path, lake: Path, arguments: list[str], *, quiet: bool = True) -> None:
    """Look at a lake something of whose run was killed, run again, and hold it against the undisturbed one."""
    if quiet:
        wait_for_quiet(home, seconds=30)
    assert after_kill(lake) == []
    sealed = acknowledged(lake)
    with started(arguments, home) as run:
        assert run.wait(timeout=PATIENCE_S) == ENDED, said(home)
    assert after_resume(stage.arena.lake(RUN), lake, sealed) == []


def said(home: Path) -> str:
    return (home / "output").read_text(encoding="utf-8")[-3000:]


def at_work(lake: Path) -> bool:
    """Tell whether a run has written its plan."""
    return any(lake.glob("runs/*/plan/*.parquet"))


def wait_until(condition: Callable[[], bool], run: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert run.poll() is None, "the run ended too early"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def strike(victim: str, run: subprocess.Popen[bytes], home: Path, delay_s: float) -> bool:
    """Kill a part of a run after a while; tell whether it was still there to be killed."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(timeout=delay_s)
    end = time.monotonic() + 30
    while run.poll() is None and time.monotonic() < end:
        if victim == "group":
            os.killpg(run.pid, signal.SIGKILL)
            return True
        with contextlib.suppress(psutil.NoSuchProcess, StopIteration):
            next(process for process in alive(home) if part_of(process, run) == victim).kill()
            return True
        time.sleep(0.01)
    return False


def workers(home: Path, run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the Dask workers of a run."""
    return [process for process in alive(home) if part_of(process, run) == "worker"]


def part_of(process: psutil.Process, run: subprocess.Popen[bytes]) -> str:
    """Return what a process is in a run."""
    if process.pid == run.pid:
        return "driver"
    words = " ".join(process.cmdline())
    if "medpipe.engine.zygote" in words:
        # a sandbox is a fork of it, and bears its name
        parent = process.parent()
        return "sandbox" if parent is not None and part_of(parent, run) == "zygote" else "zygote"
    return "sandbox" if "medpipe.engine.child" in words else "worker" if "spawn_main" in words else ""


# a cluster as a site would start it -------------------------------------------------------------


class Cluster:
    """A scheduler and a worker with its nanny, always at one address."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._port = str(free_port())
        self.address = f"tcp://127.0.0.1:{self._port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start what does not run."""
        here = ("--host", "127.0.0.1", "--no-dashboard")
        self._start("scheduler", "dask_scheduler", *here, "--port", self._port)
        self._start("nanny", "dask_worker", self.address, *here, "--nthreads", "2", "--nanny")

    def kill(self, part: str) -> None:
        """Kill the scheduler, the nanny, or the nanny's worker."""
        if part == "worker":
            nanny = psutil.Process(self._processes["nanny"].pid)
            next(child for child in nanny.children() if "spawn_main" in " ".join(child.cmdline())).kill()
            return
        process = self._processes.pop(part)
        process.kill()
        process.wait()

    def close(self) -> None:
        """End everything."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait()

    def _start(self, part: str, module: str, *arguments: str) -> None:
        if part in self._processes and self._processes[part].poll() is None:
            return
        with (self.home / "cluster").open("ab") as output:
            self._processes[part] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
                env=environment(self.home),
                stdout=output,
                stderr=output,
            )


@contextmanager
def cluster(home: Path) -> Iterator[Cluster]:
    parts = Cluster(home)
    parts.start()
    try:
        yield parts
    finally:
        parts.close()
