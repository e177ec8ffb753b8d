import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medpipe.lake.failpoints import FAILPOINTS
from medpipe.lake.lake import Lake, is_lake
from medpipe.lake.manifest import verify_folder
from medpipe.lake.results import Results
from medpipe.lake.snapshot import read_range, read_snapshot, snapshot_of_run
from medpipe.privacy.secret import Secret
from medpipe.ranges import Range
from tests.lake.at_once import read_index

SCRIPT = Path(__file__).with_name("commit_once.py")
SECRET = Secret(bytes(range(32)))
WHOLE = Range(0, 0)

# Each point at its first hit, and those that many steps pass at later ones too.
LATER = {"put.before_link": (2, 3, 5), "put.after_link": (3, 5), "pointer.before_replace": (2, 3, 4, 5, 6)}
LATER |= {"pointer.after_replace": (2, 3, 4, 5, 6), "publish.before_rename": (2, 3), "publish.after_rename": (2, 3)}
# what a scan comes to is in the tests of scans
KILLS = [
    f"{point}:{nth}" for point in FAILPOINTS if not point.startswith("scan.") for nth in (1, *LATER.get(point, ()))
]


def commit(folder, lakes):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), str(folder), *(f"{name}={point}" for name, point in lakes.items())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return {name: int(status) for name, status in (line.split() for line in done.stdout.splitlines())}


def content(root):
    """Everything committed, by path, links as where they lead.

    Without locks, attempts, random nonces, and the index of results: how it is cut depends on when it was made.
    """
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.startswith(("tmp/", "locks/", "private/", "index/results/")):
            continue
        if path.is_symlink():
            found[name] = os.fsencode(path.readlink())
        elif path.is_file() and not name.startswith("objects/segments/"):
            found[name] = path.read_bytes()
    return found


def verify(root):
    """Read everything that a reader could see, as a reader would."""
    if not is_lake(root):
        return
    lake = Lake.open(root, secret=SECRET)
    for top in ("objects", "index", "published"):
        for path in lake.store.list(top):
            if path.endswith("/manifest.json"):
                verify_folder(lake.store, path.rpartition("/")[0])
    Results.read(lake).load(WHOLE)
    read_index(lake, "volumes")
    for name in lake.private.names():
        assert lake.private.get(name) == b"where things are"
    snapshot = snapshot_of_run(lake, "run-1")
    if snapshot is not None:
        assert len(read_range(lake, read_snapshot(lake, snapshot), WHOLE.number).cases) == 3
    if (root / "tables").is_symlink():
        assert (root / "tables").resolve(strict=True).is_dir()


@pytest.fixture(scope="module")
def lakes(tmp_path_factory):
    """Return a folder with one undisturbed lake and one killed at each point, and how each ended."""
    folder = tmp_path_factory.mktemp("lakes")
    points = {"whole": "", **{point.replace(":", "-"): point for point in KILLS}}
    ended = commit(folder, points)
    for name in points:
        verify(folder / name)
    again = commit(folder, dict.fromkeys(points, ""))
    return folder, ended, again


@pytest.mark.slow
def test_every_named_point_was_met(lakes):
    _, ended, _ = lakes
    assert {name: signal.Signals(status) for name, status in ended.items() if status} == {
        point.replace(":", "-"): signal.SIGKILL for point in KILLS
    }


@pytest.mark.slow
def test_after_a_kill_at_any_point_the_same_command_gives_the_same_bytes(lakes):
    folder, _, again = lakes
    assert set(again.values()) == {0}
    expected = content(folder / "whole")
    assert len(expected) > 10
    for name in again:
        verify(folder / name)
        assert content(folder / name) == expected, name


@pytest.mark.slow
def test_no_case_is_lost_or_doubled_by_a_kill(lakes):
    folder, _, again = lakes
    for name in again:
        found = Results.read(Lake.open(folder / name, secret=SECRET))
        assert len(found.load(WHOLE)) == found.n_cases == 3
