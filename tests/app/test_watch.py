from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Progress, Silent
from medpipe.app.run import run_archive
from medpipe.app.run_report import RunReport
from medpipe.app.site import Site
from medpipe.app.watch import Settling, Watch
from medpipe.contracts.protocols import Item
from medpipe.errors import SignalledError
from tests.app.conftest import write_key
from tests.app.runs import environment, rows
from tests.app.scanning import Place, image

RECIPE = """
name = "watched"

[[route]]
name = "ct"
where = { modality = "CT", min_slices = 2 }
image = [ { op = "window", preset = "soft_tissue" } ]
"""
SETTLE_S = 0.3
LANDING = Path("landing")


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    """Return an empty landing folder, and a lake that is not there yet."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))


@pytest.fixture
def said() -> list[str]:
    """Return where a watch's lines go."""
    return []


@pytest.fixture
def watch(place: Place, said: list[str]) -> Watch:
    """Return a watch of the landing folder that runs in this process."""
    site = Site(engine="serial", workers=1, key_file=place.key)
    recipe = place.archive.with_name("recipe.toml")
    request = RunRequest(recipe=str(recipe), archives=(place.archive,), lake=place.lake, site=site)
    return Watch(
        request=request,
        progress=Silent(),
        run=run_archive,
        say=said.append,
        settling=Settling(SETTLE_S),
        every_s=SETTLE_S + 0.05,
    )


def item(path: str, version: str = "1") -> Item:
    return Item(path=path, size=1, version=version)


def test_a_file_is_complete_when_it_stayed_the_same_for_a_while():
    settling = Settling(0.05)
    settling.begin_look()
    assert not settling(LANDING, item("a.dcm"))
    time.sleep(0.06)
    assert settling(LANDING, item("a.dcm"))
    assert not settling(LANDING, item("a.dcm", "2"))
    time.sleep(0.06)
    assert settling(LANDING, item("a.dcm", "2"))


@pytest.mark.parametrize("name", ["a.part", "a.dcm.TMP", "b/a.partial", "a.filepart", ".a.dcm", ".incoming/a.dcm"])
def test_a_name_of_a_transfer_in_progress_is_never_complete(name):
    settling = Settling(0.0)
    assert not settling(LANDING, item(name))
    assert not settling(LANDING, item(name))
    assert settling(LANDING, item("part.of/a.dcm"))


def test_a_file_that_was_away_for_a_look_begins_anew():
    settling = Settling(0.05)
    settling.begin_look()
    settling(LANDING, item("a.dcm"))
    settling.begin_look()
    settling.begin_look()
    time.sleep(0.06)
    assert not settling(LANDING, item("a.dcm"))


def test_files_of_one_name_in_two_folders_settle_each_for_itself(place, watch, said):
    place.put_series("s1")
    other = replace(place, archive=place.archive.with_name("other"))
    for path in place.put_series("s1"):
        other.put(path.relative_to(place.archive).as_posix(), image("s2", "a", int(path.stem)))
    watch.request = replace(watch.request, archives=(place.archive, other.archive))
    assert watch.looks(3)
    assert said[-1] == "6 files read: 2 of 2 cases run"
    assert {row["outcome"] for row in rows(place.lake, "instances")} == {"used"}


def test_a_file_that_is_renamed_while_it_is_watched_leaves_no_hole(place, watch, said):
    file = place.put_series("s1")[1]
    assert watch.looks(2)
    before = rows(place.lake, "volumes")
    file.rename(file.with_name("renamed.dcm"))
    watch.settling.settle_s = 60.0
    assert watch.looks(1)
    assert rows(place.lake, "volumes") == before
    watch.settling.settle_s = 0.0
    assert watch.looks(1)
    assert rows(place.lake, "volumes") == before
    assert said[1:] == ["1 files read: 0 of 1 cases run"]


def test_complete_files_are_run_and_growing_ones_wait(place, watch, said):
    assert watch.looks(1)
    assert (said, place.lake.exists()) == ([], False)
    place.put_series("s1")
    place.put("s2/a/0.dcm.part", image("s2", "a", 0)[:300])
    assert watch.looks(1)
    assert said == []
    grown = place.put("s2/a/1.dcm", image("s2", "a", 1)[:300])
    time.sleep(SETTLE_S)
    assert watch.looks(1)
    assert said == ["3 files read, 2 not complete yet: 1 of 1 cases run"]
    grown.write_bytes(image("s2", "a", 1))
    (place.archive / "s2/a/0.dcm.part").rename(place.archive / "s2/a/0.dcm")
    place.put("s2/a/0.dcm", image("s2", "a", 0))
    assert watch.looks(3)
    assert said[1:] == ["2 files read: 1 of 2 cases run"]
    assert len(rows(place.lake, "cases")) == 2
    assert {row["outcome"] for row in rows(place.lake, "instances")} == {"used"}


def test_a_landing_folder_that_is_away_is_said_once_and_waited_for(place, watch, said):
    place.put_series("s1")
    assert watch.looks(2)
    place.archive.rename(place.archive.with_name("away"))
    assert not watch.looks(2)
    assert len(said) == 2
    assert "is away, but held 3 files" in said[1]
    place.archive.with_name("away").rename(place.archive)
    assert watch.looks(1)
    assert len(rows(place.lake, "volumes")) == 1


def test_a_signal_that_a_run_heeded_ends_the_watch_too(place, watch):
    def signalled(_request: RunRequest, _progress: Progress) -> RunReport:
        raise SignalledError("the run was stopped")

    place.put_series("s1")
    watch.run = signalled
    with pytest.raises(SignalledError):
        watch.looks(5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_cleanly_by_a_signal(place, home, number):
    words = ["watch", place.archive, "--lake", place.lake, "-r", place.archive.with_name("recipe.toml")]
    words += ["--engine", "serial", "--workers", "1", "--every", "0.3", "--settle", "0.2"]
    place.put_series("s1")
    process = subprocess.Popen(
        [sys.executable, "-m", "medpipe", *map(str, words)],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "3 files read: 1 of 1 cases run\n"
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, ""), errors
    finally:
        process.kill()
    shutil.rmtree(place.lake)
