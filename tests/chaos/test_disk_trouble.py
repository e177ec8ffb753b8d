"""A disk that is full or slow: the run stops, nothing is torn, and the next one ends with the same bytes."""

from __future__ import annotations

import subprocess

import pytest

from tests.chaos.arena import RESUMABLE, RUN, SCANNING
from tests.chaos.judge import Finding, acknowledged, after_kill, after_resume
from tests.chaos.strikes import Bench

KIB = 1 << 10


def needing_room(bench: Bench) -> int:
    """Return the number of operations of a run that a full disk may refuse."""
    return sum(not line.startswith(("unlink", "rmdir", "syncall")) for line in bench.operations(RUN))


def full_at(bench: Bench, at: int) -> list[Finding]:
    """Let the disk be full from an operation on, look, make room and run again."""
    lake = bench.arena.new(f"full-{at}")
    job = bench.arena.job(lake, "tests.chaos.disk:full_from", at=at)
    code = bench.forked(lambda forks: forks.run(job))
    found = [] if code == RESUMABLE else [Finding("exit", f"full at {at}: {code}")]
    found += after_kill(lake)
    found += [Finding("orphan", str(path)) for path in (lake / "tmp").rglob("*") if path.is_file()]
    sealed = acknowledged(lake)
    code = bench.forked(lambda forks: forks.run(bench.arena.job(lake)))
    found += [] if code == RUN.ended else [Finding("exit", f"room again after {at}: {code}")]
    return found + after_resume(bench.arena.lake(RUN), lake, sealed)


def test_a_disk_that_is_full_stops_a_run_that_resumes(bench: Bench):
    most = needing_room(bench)
    found = [finding for at in range(5, most, most // 5) for finding in full_at(bench, at)]
    assert found == []


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_operation_stops_a_run_that_resumes(bench: Bench):
    most = needing_room(bench)
    found = [finding for at in range(1, most, 9) for finding in full_at(bench, at)]
    assert found == []


@pytest.mark.slow
def test_a_disk_of_any_size_stops_a_run_that_resumes_when_it_has_grown(bench: Bench):
    disk = bench.arena.folder / "disk"
    disk.mkdir(exist_ok=True)
    ended = []
    for size in range(24, 2000, 64):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size * KIB}", "tmpfs", str(disk)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a small disk cannot be mounted here ({type(error).__name__})")
        try:
            ended.append(grown(bench, disk))
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
        if ended[-1] != RESUMABLE:
            break
    assert ended[:-1] == [RESUMABLE] * (len(ended) - 1)
    assert len(ended) > 3
    assert ended[-1] == RUN.ended


def grown(bench: Bench, disk) -> int:
    """Run on a small disk, look, let the disk grow and run again; return how the first run ended."""
    lake = disk / "lake"
    code = bench.forked(lambda forks: forks.run(bench.arena.job(lake, act=SCANNING)))
    assert after_kill(lake) == []
    sealed = acknowledged(lake)
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True, capture_output=True)
    assert bench.forked(lambda forks: forks.run(bench.arena.job(lake, act=SCANNING))) == SCANNING.ended
    assert after_resume(bench.arena.lake(RUN), lake, sealed) == []
    return code
