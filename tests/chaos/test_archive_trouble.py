"""An archive that changes under a run, or may not be written to."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.app.runs import rows, tables_of
from tests.chaos.arena import RUN, SCANNING, Arena
from tests.chaos.judge import after_kill
from tests.chaos.rivals import asleep
from tests.chaos.strikes import Bench

CHANGES = {"E_VANISHED": Path.unlink, "E_CHANGED": lambda path: path.write_bytes(path.read_bytes() + b"\0\0")}


@pytest.fixture
def own(bench: Bench, tmp_path) -> Arena:
    """Return an arena whose archive may be changed, scanned once."""
    arena = Arena.make(tmp_path / "own", series=4)
    with bench.over(arena):
        bench.forked(arena.prepare)
        yield arena


@pytest.mark.parametrize("code", CHANGES)
def test_a_series_that_changes_under_a_run_is_a_row_with_its_code_and_right_in_the_next(bench, own, code):
    lake = own.new("changing")

    def changed(forks):
        with asleep(bench, forks, lake, "segment.before_seal:1") as pid:
            for series in (own.archive / str(number) for number in range(4)):
                CHANGES[code](series / "2.dcm")
            os.kill(pid, signal.SIGCONT)
            return forks.wait(pid)

    assert bench.forked(changed) == 2
    assert after_kill(lake) == []
    ended = Counter((row["outcome"], row["code"] or "") for row in rows(lake, "cases"))
    assert set(ended) == {("done", ""), ("rejected", code)}
    assert_next_run_is_right(bench, own, lake)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_an_archive_in_motion_tears_nothing_and_the_next_run_is_right(bench, own, seed):
    lake = own.new("moving")
    with moving(own.archive, random.Random(seed)):
        codes = {bench.forked(lambda forks: forks.run(own.job(lake))) for _ in range(3)}
    assert codes <= {0, 2, 4}
    assert after_kill(lake) == []
    assert_next_run_is_right(bench, own, lake)


def assert_next_run_is_right(bench, own, lake):
    fresh = own.new("fresh", SCANNING)
    ended = [bench.forked(lambda forks, one=one: forks.run(own.job(one, act=SCANNING))) for one in (lake, fresh)]
    assert ended[0] == ended[1]
    assert after_kill(lake) == []
    assert tables_of(lake) == tables_of(fresh)


@contextmanager
def moving(archive, rng):
    """Rewrite, remove and bring back files as long as the block lasts."""
    files = sorted(path for path in archive.rglob("*.dcm") if path.stat().st_size)
    ended = threading.Event()

    def move():
        gone = {}
        while not ended.wait(rng.uniform(0, 0.02)):
            path = rng.choice(files)
            if path in gone:
                path.write_bytes(gone.pop(path))
            elif len(gone) < 3 and rng.random() < 0.5:
                gone[path] = path.read_bytes()
                path.unlink()
            else:
                path.write_bytes(path.read_bytes())
        for path, data in gone.items():
            path.write_bytes(data)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_an_archive_that_may_not_be_written_to_gives_the_same_tables(bench):
    archive = str(bench.arena.archive)
    try:
        subprocess.run(["mount", "--bind", archive, archive], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a folder cannot be mounted read-only here ({type(error).__name__})")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", archive], check=True, capture_output=True)
        lake = bench.arena.new("read-only", SCANNING)
        assert bench.forked(lambda forks: forks.run(bench.arena.job(lake, act=SCANNING))) == SCANNING.ended
    finally:
        subprocess.run(["umount", "--lazy", archive], check=True)
    assert tables_of(lake) == tables_of(bench.arena.lake(RUN))
