"""A run may be killed at any instant, and the same command ends with the same bytes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from medpipe.app.verify import verify_lake
from medpipe.lake.failpoints import FAILPOINTS
from medpipe.lake.lake import is_lake
from medpipe.synth import make_archive
from tests.app.conftest import SEED, write_key
from tests.app.runs import (
    Job,
    alive,
    assert_same,
    assert_whole,
    command,
    medpipe,
    run_jobs,
    started,
    wait_for_quiet,
)

BROKEN_INPUTS = 2
"""Exit code of a run over phantoms: some of their files are broken on purpose."""

RESUMABLE = 4

VICTIMS = ("driver", "sandbox", "worker", "group")

# A point that a run passes often is also hit later: while volumes are written, segments sealed, tables published.
LATER = {
    "put.before_link": (2, 3, 4, 5, 6),
    "put.after_link": (2, 3, 4, 5, 6),
    "pointer.before_replace": (2, 3, 4, 5, 6, 7),
    "pointer.after_replace": (2, 3, 4, 5, 6, 7),
    "volume.after_array": (2, 4),
    "volume.after_manifest": (3, 5),
    "publish.before_fsync": (2, 4),
    "publish.before_rename": (2, 4, 6),
    "publish.after_rename": (2, 4, 6),
}


def assert_readable(lake: Path) -> None:
    """Read what a reader could see of a lake whose run was just killed."""
    if is_lake(lake):
        assert verify_lake(lake)["damaged"] == []
    if (lake / "tables").is_symlink():
        assert (lake / "tables").resolve(strict=True).is_dir()


# at named points --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arena:
    """An archive of one study, the small recipe, and the lake of a run that was not disturbed."""

    archive: Path
    recipe: Path
    folder: Path
    home: Path

    def job(self, lake: str, failpoint: str = "") -> Job:
        """Return a run of the serial engine, so that whatever is killed is the whole run."""
        options = ("--engine", "serial", "--workers", "1")
        return Job(arguments=command([self.archive], self.folder / lake, self.recipe, *options), failpoint=failpoint)

    def killed_at(self, points: list[str]) -> tuple[list[int], list[int]]:
        """Run a lake for each point into it, look at what is left, run again; return how both ended."""
        names = [point.replace(":", "-") for point in points]
        jobs = [self.job(name, point) for name, point in zip(names, points, strict=True)]
        ended = run_jobs(jobs, self.home, timeout_s=280)
        for name in names:
            assert_readable(self.folder / name)
        return ended, run_jobs([self.job(name) for name in names], self.home, timeout_s=280)

    def assert_all_same(self, points: list[str]) -> None:
        """Hold the lakes of all points against the undisturbed one."""
        for point in points:
            lake = self.folder / point.replace(":", "-")
            assert_whole(lake)
            assert_same(lake, self.folder / "calm")


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory, small_recipe: Path) -> Arena:
    folder = tmp_path_factory.mktemp("points")
    make_archive(folder / "phantoms", studies=1, seed=SEED)
    home = folder / "home"
    home.mkdir()
    write_key(home)
    arena = Arena(archive=folder / "phantoms" / "archive", recipe=small_recipe, folder=folder, home=home)
    assert run_jobs([arena.job("calm")], home, timeout_s=120) == [BROKEN_INPUTS]
    assert_whole(folder / "calm")
    return arena


@pytest.mark.slow
def test_a_kill_at_each_named_point_costs_no_byte(arena):
    points = [f"{point}:1" for point in FAILPOINTS]
    ended, again = arena.killed_at(points)
    assert dict(zip(points, ended, strict=True)) == dict.fromkeys(points, -signal.SIGKILL)
    assert dict(zip(points, again, strict=True)) == dict.fromkeys(points, BROKEN_INPUTS)
    arena.assert_all_same(points)
    wait_for_quiet(arena.home)


@pytest.mark.slow
def test_a_kill_at_later_hits_of_a_point_costs_no_byte(arena, pytestconfig):
    if pytestconfig.getoption("--kills") < MANY:
        pytest.skip(f"34 kills more: with --kills {MANY} and above (make kill)")
    points = [f"{point}:{nth}" for point, hits in LATER.items() for nth in hits]
    ended, again = arena.killed_at(points)
    assert dict(zip(points, ended, strict=True)) == dict.fromkeys(points, -signal.SIGKILL)
    assert set(again) == {BROKEN_INPUTS}
    arena.assert_all_same(points)
    wait_for_quiet(arena.home)


# at random instants -----------------------------------------------------------------------------


MANY = 10


@dataclass(frozen=True, slots=True)
class Calm:
    """A run by Dask that nobody disturbed, and how long it took."""

    arguments: Callable[[Path], list[str]]
    lake: Path
    wall_s: float


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, phantoms: Path, small_recipe: Path) -> Calm:
    home = tmp_path_factory.mktemp("calm")
    write_key(home)

    def arguments(lake: Path) -> list[str]:
        return command([phantoms], lake, small_recipe, "--workers", "2")

    start_s = time.monotonic()
    medpipe(arguments(home / "lake"), home, exit_code=BROKEN_INPUTS)
    wall_s = time.monotonic() - start_s
    assert_whole(home / "lake")
    return Calm(arguments, home / "lake", wall_s)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "trial" in metafunc.fixturenames:
        trials = range(metafunc.config.getoption("--kills"))
        params = [
            pytest.param(
                number, id=f"{number}-{VICTIMS[number % len(VICTIMS)]}", marks=pytest.mark.slow if number else ()
            )
            for number in trials
        ]
        metafunc.parametrize("trial", params)


@pytest.mark.slow
def test_a_kill_at_a_random_instant_costs_no_byte(calm, home, tmp_path, trial):
    write_key(home)
    rng = random.Random(trial)
    victim = VICTIMS[trial % len(VICTIMS)]
    strikes = 1 if trial < len(VICTIMS) or victim in {"sandbox", "worker"} else rng.randint(1, 3)
    lake = tmp_path / "lake"
    struck = 0
    while struck < strikes:
        delay_s = calm.wall_s * rng.uniform(0.1, 0.9)
        with started(calm.arguments(lake), home) as run:
            hit = strike(victim, run, home, delay_s)
            code = run.wait(timeout=120)
        expected = {-signal.SIGKILL} if hit and victim in {"driver", "group"} else {BROKEN_INPUTS}
        if hit and victim == "worker":
            expected.add(RESUMABLE)  # no cluster comes of a worker that dies while it starts
        assert code in expected, (home / "output").read_text(encoding="utf-8")
        assert_readable(lake)
        if hit:
            struck += 1
        elif struck == 0:
            shutil.rmtree(lake)  # it ended before its kill: once more from the start, at another instant
        else:
            break
    wait_for_quiet(home)
    medpipe(calm.arguments(lake), home, exit_code=BROKEN_INPUTS)
    wait_for_quiet(home)
    assert_whole(lake)
    assert_same(lake, calm.lake)


def strike(victim: str, run: subprocess.Popen[bytes], home: Path, delay_s: float) -> bool:
    """Kill a part of a run after a while; tell whether it was still there to be killed."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(timeout=delay_s)
    while run.poll() is None:
        if victim == "group":
            os.killpg(run.pid, signal.SIGKILL)
            return True
        with contextlib.suppress(psutil.NoSuchProcess, StopIteration):
            next(process for process in alive(home) if part_of(process, run) == victim).kill()
            return True
        time.sleep(0.01)
    return False


def part_of(process: psutil.Process, run: subprocess.Popen[bytes]) -> str:
    """Return what a process is in a run."""
    if process.pid == run.pid:
        return "driver"
    words = " ".join(process.cmdline())
    return "sandbox" if "medpipe.engine.child" in words else "worker" if "spawn_main" in words else ""
