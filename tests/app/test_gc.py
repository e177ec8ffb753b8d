"""What gc removes, and what nothing may ever make it remove."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from medpipe.app import gc
from medpipe.app.gc import collect_garbage, garbage, orphans
from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import RetentionTable, Site
from medpipe.app.unregister import unregister
from medpipe.app.verify import verify_lake
from medpipe.errors import IntegrityError, StoppedError
from medpipe.keys import bytes_digest, digest
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.models import put_model
from medpipe.lake.results import Results
from medpipe.lake.runs import run_names
from medpipe.lake.snapshot import read_range, read_snapshot
from medpipe.lake.store import LocalStore
from medpipe.ranges import Range
from tests.app.forks import Job, run_jobs
from tests.app.phantom import content, ct_slice, rows, write
from tests.app.runs import command, tables_of
from tests.cli.commands import medpipe, write_key

RECIPE = """
name = "mine"
[[route]]
name = "ct"
image = [ { op = "gaussian", sigma_mm = 2.0 } ]
regions = [ { op = "body", opening_mm = 0.0 } ]
features = [ { name = "first", op = "ibsi", families = ["statistics"] } ]
keep = [ "original", "final" ]
"""
NOW = timedelta(0)


class Place:
    """An archive of small series, a recipe, a lake."""

    def __init__(self, folder):
        self.folder, self.archive, self.lake = folder, folder / "archive", folder / "lake"
        self.recipe, self.home = folder / "recipe.toml", folder / "home"
        self.recipe.write_text(RECIPE)
        self.key = write_key(self.home)
        for series in range(4):
            self.put(series)

    def put(self, series, *, version=0):
        for place in range(3):
            slope = 1.0 + version
            write(
                ct_slice(place, series=str(series), size=16, RescaleSlope=slope),
                self.archive / str(series) / f"{place}.dcm",
            )

    def site(self, **retention):
        return Site(engine="serial", workers=1, key_file=self.key, retention=RetentionTable(**retention))

    def run(self):
        request = RunRequest(recipe=str(self.recipe), archives=(self.archive,), lake=self.lake, site=self.site())
        return run_archive(request, Silent())

    def change_recipe(self, sigma):
        self.recipe.write_text(RECIPE.replace("sigma_mm = 2.0", f"sigma_mm = {sigma}"))

    def gc(self, *, grace=NOW, **retention):
        return collect_garbage(self.lake, self.site(**retention), Silent(), grace=grace)

    def gc_twice(self, **retention):
        self.gc(**retention)
        return self.gc(**retention)

    def orphans(self, **retention):
        return orphans(self.lake, self.site(**retention))

    def verified(self):
        return verify_lake(self.lake, site=self.site())["damaged"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Return a place where a run has ended, and a copy of its folder."""
    base = tmp_path_factory.mktemp("gc")
    (base / "place").mkdir()
    place = Place(base / "place")
    place.run()
    shutil.copytree(place.folder, base / "copy", symlinks=True)
    return place, base / "copy"


@pytest.fixture
def place(pristine):
    """Return that place as it was, always at one path: an archive at another path is another source."""
    place, copy = pristine
    shutil.rmtree(place.folder)
    shutil.copytree(copy, place.folder, symlinks=True)
    return place


def objects(place):
    """Return what is committed: the paths of all files of volumes, segments and snapshots."""
    return {path for path, found in content(place.lake / "objects").items() if found}


def kinds(found):
    return sorted({one.kind for one in found})


def test_a_lake_whose_run_has_ended_has_nothing_to_remove(place):
    before = content(place.lake)
    assert place.orphans() == []
    assert place.gc_twice().removed == ()
    changed = {"locks", "locks/driver.epoch", "locks/driver.lock", "locks/removal.json"}
    assert {path for path, found in content(place.lake).items() if before.get(path) != found} <= changed


def test_what_is_out_of_reach_is_marked_first_and_removed_by_a_later_pass_once_it_is_old_enough(place):
    orphan = LAYOUT.volume("ab" * 32)
    shutil.copytree(min(place.lake.glob("objects/??/*")), place.lake / orphan)
    first = place.gc(grace=timedelta(hours=1))
    assert (first.removed, [one.path for one in first.marked]) == ((), [orphan])
    again = place.gc(grace=timedelta(hours=1))
    assert (again.removed, [one.path for one in again.marked]) == ((), [orphan])
    assert [one.path for one in place.gc().removed] == [orphan]
    assert not (place.lake / orphan).exists()
    assert place.orphans() == []
    assert place.verified() == []


def test_what_was_marked_and_is_reached_again_stays(place):
    place.change_recipe(3.0)
    place.run()
    drop = {"snapshots": 1, "superseded_volumes": "drop"}
    marked = place.gc(**drop).marked
    assert "volume" in kinds(marked)
    place.change_recipe(2.0)
    assert place.run().published.snapshot
    before = tables_of(place.lake)
    removed = {one.path for one in place.gc(**drop).removed}
    stored = {row[name] for row in rows(place.lake, "volumes") for name in ("store", "final_store")}
    assert stored & {one.path for one in marked}
    assert not stored & removed
    assert tables_of(place.lake) == before
    assert place.verified() == []


def test_volumes_and_tables_of_old_snapshots_go_under_retention_and_are_made_again_when_wanted(place):
    before = tables_of(place.lake)
    place.change_recipe(3.0)
    place.run()
    swept = place.gc_twice(snapshots=1, superseded_volumes="drop", superseded_results="drop", runs=1)
    assert {"publication", "snapshot", "snapshot range", "volume", "segment", "run", "plan"} >= set(
        kinds(swept.removed)
    )
    assert {"publication", "snapshot", "volume"} <= set(kinds(swept.removed))
    assert len(list(place.lake.glob("objects/snapshots/*.zst"))) == 1
    assert place.verified() == []
    assert place.run().run == ""
    place.change_recipe(2.0)
    assert place.run().executed == 4
    assert tables_of(place.lake) == before


def test_without_a_word_from_the_site_nothing_goes_that_any_snapshot_reaches(place):
    place.change_recipe(3.0)
    place.run()
    place.put(1, version=1)
    place.run()
    before = objects(place)
    assert set(kinds(place.gc_twice().removed)) <= {"plan", "results", "index"}
    assert objects(place) == before
    place.put(1, version=0)
    place.change_recipe(2.0)
    # the files are younger than they were, so one volume is decoded; what is made of it is there
    made = place.run()
    assert made.executed == 1
    assert {path.split("/")[0] for path in objects(place) - before} <= {"segments", "snapshots"}


def reached(place, snapshot):
    """Return the stored volumes of a snapshot's cases, by the slow way over all segments."""
    lake = Lake.open(place.lake)
    committed = Results.read(lake).load(Range(0, 0))
    opened = read_snapshot(lake, snapshot)
    cases = [case for one in opened.ranges for case in read_range(lake, opened, one.number).cases]
    products = [committed.product(key) for case in cases for key in committed.case(case.case_key).products]
    stored = {
        row[name] for one in products if one.kind == "volume" for row in one.rows for name in ("store", "final_store")
    }
    return stored - {None}


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_no_history_makes_gc_remove_what_a_kept_snapshot_reaches(place, seed):
    draw = random.Random(seed)
    for _ in range(5):
        step = draw.choice(["change", "delete", "recipe", "nothing"])
        if step == "change":
            place.put(draw.randrange(4), version=draw.randrange(3))
        elif step == "delete":
            shutil.rmtree(place.archive / str(draw.randrange(1, 4)), ignore_errors=True)
        elif step == "recipe":
            place.change_recipe(draw.choice([1.0, 2.0, 3.0]))
        place.run()
        rules = {
            "snapshots": draw.choice([1, 2, "all"]),
            "runs": draw.choice([1, "all"]),
            "superseded_volumes": draw.choice(["keep", "drop"]),
            "superseded_results": draw.choice(["keep", "drop"]),
        }
        before = tables_of(place.lake)
        swept = [place.gc(**rules), place.gc(**rules)][1]
        assert place.orphans(**rules) == []
        assert tables_of(place.lake) == before
        assert place.verified() == []
        for snapshot in swept.kept.snapshots:
            for path in reached(place, snapshot):
                assert (place.lake / path / "manifest.json").exists()
        assert place.run().executed == 0


def test_a_damaged_snapshot_stops_gc_before_anything_is_removed(place):
    shutil.copytree(min(place.lake.glob("objects/??/*")), place.lake / LAYOUT.volume("ab" * 32))
    place.gc()
    path = next(place.lake.glob("objects/snapshots/ranges/*"))
    path.write_bytes(path.read_bytes()[:-60])
    before = objects(place)
    with pytest.raises(IntegrityError, match="missing or damaged"):
        place.gc()
    assert objects(place) == before


def test_gc_does_not_work_beside_a_run(place):
    with Lake.open(place.lake).driver(), pytest.raises(StoppedError, match="another run is working"):
        place.gc()


def test_a_dry_run_tells_and_changes_nothing_also_beside_a_run(place):
    shutil.copytree(min(place.lake.glob("objects/??/*")), place.lake / LAYOUT.volume("ab" * 32))
    with Lake.open(place.lake).driver():
        before = content(place.lake)
        found = garbage(place.lake, place.site(), Silent())
        assert [one.path for one in found.marked] == [LAYOUT.volume("ab" * 32)]
        assert found.sizes[found.marked[0].path] > 0
        assert content(place.lake) == before


def test_what_is_not_the_lakes_own_is_told_and_left_alone(place):
    own = place.lake / "notes.txt"
    own.write_text("mine")
    swept = place.gc_twice()
    assert [one.path for one in swept.foreign] == ["notes.txt"]
    assert swept.facts()["not of the lake, left alone"] == ["notes.txt"]
    assert own.read_text() == "mine"
    assert place.orphans() == ["notes.txt"]


def test_without_the_key_sealed_blobs_are_left_as_they_are(place):
    (place.lake / "private" / "more.sealed").write_bytes(b"")
    keyless = Site(key_file=None)
    home = place.folder / "nobody"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(home))
        for _ in range(2):
            swept = collect_garbage(place.lake, keyless, Silent(), grace=NOW)
            assert swept.removed == ()
    assert not swept.is_keyed
    assert list(home.iterdir()) == []
    assert [one.path for one in place.gc_twice().removed] == ["private/more.sealed"]


def test_plans_of_runs_before_the_last_go_and_their_records_stay(place):
    first = min(entry.name for entry in (place.lake / "runs").iterdir())
    place.change_recipe(3.0)
    place.run()
    assert {"plan"} <= set(kinds(place.gc_twice().removed)) <= {"plan", "results", "index"}
    assert not (place.lake / "runs" / first / "plan").exists()
    assert (place.lake / "runs" / first / "SNAPSHOT").exists()
    assert (place.lake / LAYOUT.private(f"plan/{first}/request")).exists()
    assert not (place.lake / LAYOUT.private(f"plan/{first}/00000")).exists()


DROP = {"snapshots": 1, "superseded_volumes": "drop", "superseded_results": "drop"}


@pytest.mark.parametrize(
    "points",
    [
        ("gc.before_remove:1", "gc.after_remove:4"),
        pytest.param(
            (
                "gc.before_remove:5",
                "gc.after_remove:1",
                "pointer.before_replace:2",
                "pointer.after_replace:2",
                "results.before_piece:1",
                "results.before_pointer:1",
            ),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_gc_killed_at_any_point_leaves_a_lake_that_the_next_one_clears(place, forks, points):
    place.change_recipe(3.0)
    place.run()
    before = tables_of(place.lake)
    site = place.folder / "site.toml"
    rules = "".join(f"{name} = {json.dumps(value)}\n" for name, value in DROP.items())
    site.write_text(f'key_file = "{place.key}"\n[retention]\n{rules}')
    place.gc(**DROP)
    codes = []
    for point in points:
        arguments = ["gc", str(place.lake), "--site", str(site), "--grace", "0"]
        codes += run_jobs(forks, [Job(arguments=arguments, failpoint=point)], place.home)
        assert codes[-1] in {0, -signal.SIGKILL}, (place.home / "output").read_text()
        assert place.verified() == []
    assert codes.count(-signal.SIGKILL) >= 2
    place.gc_twice(**DROP)
    assert place.orphans(**DROP) == []
    assert tables_of(place.lake) == before
    assert place.run().run == ""


KILLED = (
    "volume.after_manifest:3",
    "publish.after_rename:2",
    "segment.before_seal:1",
    "results.after_pointer:1",
    "snapshot.before_object:1",
    "snapshot.before_run:1",
    "tables.before_publish:1",
    "tables.before_latest:1",
    "tables.before_swap:1",
)


@pytest.mark.slow
def test_killed_runs_leave_no_orphans_after_they_were_resumed_and_swept(place, forks):
    lakes = {point: place.folder / point.replace(":", "-") for point in KILLED}
    whole = place.folder / "whole"

    def job(lake, failpoint=""):
        arguments = command([place.archive], lake, place.recipe, "--engine", "serial")
        return Job(arguments=arguments, failpoint=failpoint)

    jobs = [job(whole), *(one for point, lake in lakes.items() for one in (job(lake, point), job(lake)))]
    codes = run_jobs(forks, jobs, place.home)
    assert codes == [0] + [-signal.SIGKILL, 0] * len(lakes)
    for point, lake in lakes.items():
        for _ in range(2):
            collect_garbage(lake, place.site(), Silent(), grace=NOW)
        assert orphans(lake, place.site()) == [], point
        assert tables_of(lake) == tables_of(whole)
        assert verify_lake(lake, site=place.site())["damaged"] == []


ZOMBIE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from medpipe.lake import volumes
from medpipe.lake.lake import Lake
from medpipe.types import Geometry, Volume

def stop(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGSTOP)

volumes.hit = stop
write = volumes._new_array
def half(folder, *rest):
    if sys.argv[2] == "half":
        (folder / "0").mkdir()
        stop("half")
    return write(folder, *rest)
volumes._new_array = half
data = np.arange(64, dtype=np.float32).reshape(4, 4, 4)
volume = Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=(1.0, 1.0, 1.0)))
volumes.put_volume(Lake.open(Path(sys.argv[1])), "cd" * 32, volume)
"""


@pytest.mark.parametrize("point", ["half", "volume.after_array", "volume.after_manifest"])
def test_a_writer_that_slept_through_gc_publishes_nothing(place, point):
    script = place.folder / "zombie.py"
    script.write_text(ZOMBIE)
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, script, place.lake, point], env={**os.environ, "PYTHONPATH": root}, stderr=subprocess.DEVNULL
    )
    try:
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        assert len(list((place.lake / "tmp").iterdir())) == 1
        assert kinds(place.gc().removed) == ["attempt"]
        assert list((place.lake / "tmp").iterdir()) == []
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == 1
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
    assert not (place.lake / LAYOUT.volume("cd" * 32)).exists()
    assert place.verified() == []
    place.gc()
    assert place.orphans() == []


def test_a_folder_made_anew_under_a_swept_name_is_not_published(tmp_path):
    store = LocalStore(tmp_path)
    with store.attempt_folder("ab") as attempt:
        (attempt / "0").write_bytes(b"first half")
        shutil.rmtree(attempt)
        attempt.mkdir()
        (attempt / "1").write_bytes(b"second half")
        with pytest.raises(StoppedError, match="swept by gc"):
            store.publish_tree(attempt, "objects/ab")
    assert not (tmp_path / "objects" / "ab").exists()


def test_attempts_that_were_touched_a_moment_ago_stay(place, monkeypatch):
    attempt = place.lake / LAYOUT.attempt("ab", "cd" * 16)
    attempt.mkdir(parents=True)
    (attempt / "part").write_bytes(b"1")
    assert place.gc(grace=gc.GRACE).removed == ()
    os.utime(attempt, (0, 0))
    assert place.gc(grace=gc.GRACE).removed == ()
    os.utime(attempt / "part", (0, 0))
    assert kinds(place.gc(grace=gc.GRACE).removed) == ["attempt"]


def test_the_index_can_be_deleted_and_comes_back_the_same(place):
    before = content(place.lake / "index")
    shutil.rmtree(place.lake / "index")
    report = place.run()
    assert (report.executed, report.run) == (0, "")
    assert content(place.lake / "index") == before
    assert place.verified() == []


def test_the_command_tells_what_it_did_and_leaves_with_0(place):
    shutil.copytree(min(place.lake.glob("objects/??/*")), place.lake / LAYOUT.volume("ab" * 32))
    ended = medpipe("gc", place.lake, "--grace", "0", home=place.home)
    assert ended.code == 0
    assert "marked for a later pass" in ended.out
    assert "volume" in ended.out
    assert medpipe("gc", place.lake, "--dry-run", "--json", home=place.home).code == 0
    assert medpipe("gc", place.lake, "--grace", "-1", home=place.home).code == 5


def test_kept_days_count_from_the_start_of_the_run(place):
    place.change_recipe(3.0)
    place.run()
    assert len(place.gc(snapshots=1, days=1).kept.snapshots) == 2
    assert len(place.gc(snapshots=1).kept.snapshots) == 1
    assert len(place.gc(snapshots=2).kept.snapshots) == 2


def removed_as_told(place):
    """Do what gc says about what it cannot read: remove what it names, and nothing else."""
    with pytest.raises(IntegrityError, match="nothing is removed") as alarm:
        place.gc()
    named = re.search(
        r"remove (objects/snapshots/\S+?\.zst)(?: and (published/\w+))?(?: instead|, which)", str(alarm.value)
    )
    assert named is not None, alarm.value
    for path in filter(None, named.groups()):
        target = place.lake / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    return str(alarm.value)


def test_a_missing_range_of_a_snapshot_that_is_shown_is_made_again_by_the_next_run(place):
    place.run()
    tables = tables_of(place.lake)
    for path in place.lake.glob("objects/snapshots/ranges/*"):
        path.unlink()
    with pytest.raises(IntegrityError, match=r"nothing is removed; .* run recipe mine again$"):
        place.gc()
    (line,) = verify_lake(place.lake, site=place.site(), only=["snapshot"])["damaged"]
    assert line.endswith("run recipe mine again")
    assert place.run().executed == 0
    assert place.run().run == ""
    place.gc()
    assert tables_of(place.lake) == tables
    assert verify_lake(place.lake, site=place.site())["damaged"] == []


def test_a_missing_range_of_an_older_snapshot_or_of_a_recipe_nobody_runs_any_more_blocks_gc_no_longer_than_it_takes(
    place,
):
    place.run()
    place.change_recipe(3.0)
    place.run()
    other = place.recipe.read_text().replace('name = "mine"', 'name = "other"').replace("3.0", "4.0")
    place.recipe.write_text(other)
    shown = place.run().published.snapshot
    for path in place.lake.glob("objects/snapshots/ranges/*"):
        if path.name.partition(".")[0] not in {one.digest for one in shown.ranges}:
            path.unlink()
    told = [removed_as_told(place), removed_as_told(place)]
    assert sorted("if nobody will any more" in line for line in told) == [False, True]
    place.gc()
    assert verify_lake(place.lake, site=place.site())["damaged"] == []


def test_a_model_goes_once_its_name_was_taken_back_and_no_kept_run_has_it(place):
    lake = Lake.open(place.lake)
    digests = {}
    for name in ("loose", "named", "pinned"):
        files = {"model.bin": name.encode()}
        digests[name] = digest({file: bytes_digest(data) for file, data in files.items()})
        put_model(lake, digests[name], files, name=name)
    lock = lake.store.absolute(LAYOUT.run_recipe(run_names(lake)[-1]))
    lock.write_text(lock.read_text() + f'# network "pinned@{digests["pinned"]}"\n')
    for name in ("loose", "pinned"):
        assert unregister(place.lake, name).versions == (digests[name],)
    place.gc_twice()
    there = {path.name for path in lake.store.absolute(LAYOUT.models()).iterdir()}
    assert there == {digests["named"], digests["pinned"], "names"}
    # the entry of what is gone is no damage
    assert not [path for path in place.verified() if path.startswith("models")]
