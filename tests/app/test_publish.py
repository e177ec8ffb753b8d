from __future__ import annotations

import random
import shutil
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.app.ended import Shapes
from medpipe.app.index_tables import IndexRows
from medpipe.app.publish import publish_run
from medpipe.app.quarantine import count_new
from medpipe.app.run_report import RunReport
from medpipe.app.tables import range_rows
from medpipe.errors import IntegrityError
from medpipe.lake.lake import Lake
from medpipe.lake.publication import read_ranges
from medpipe.lake.query import open_tables, read_table
from medpipe.lake.runs import Run
from medpipe.lake.snapshot import read_range, read_snapshot
from medpipe.lake.tables import latest_publication, published_state
from medpipe.privacy.secret import Secret
from medpipe.ranges import Range, all_ranges, range_of
from tests.app.endings import Archive, series_key, volume_key
from tests.plan.planning import locked

TIMES = {"cases", "runs"}


@pytest.fixture
def lake(tmp_path):
    return make_lake(tmp_path / "lake")


def make_lake(folder):
    return Lake.create(folder, privacy="pseudonymized", secret=Secret(bytes(range(32))))


def archive_of(lake, count, **changes):
    return Archive(lake=lake, contents=dict.fromkeys(range(count), "one"), **changes)


def publish(archive, *, bits=2):
    """Publish what an archive ran, as a run of its own."""
    archive.loaded.clear()
    lake = archive.lake
    number = len(list((lake.root / "runs").glob("*"))) if (lake.root / "runs").exists() else 0
    run = Run(lake, f"20260101T0000{number:02d}000-aaaa")
    run.write_lock(archive.lock.to_toml())
    run.write_info({"recipe": archive.lock.name, "started": f"2026-01-01T00:00:{number:02d}Z", "engine": "serial"})
    with run.events(1) as events:
        return publish_run(lake, archive.lock, archive.ending(bits), run=run, events=events, state=f"state-{number}")


def counted_again(archive):
    return publish_run(archive.lake, archive.lock, archive.ending(2), run=None, events=None, state="")


def bytes_of(lake):
    root = (lake.root / "tables").resolve()
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.parquet")}
    return {name: data for name, data in files.items() if name.split("/")[0] not in TIMES}


def report(published, **changes):
    return RunReport(run="r", recipe="mine", lake="", executed=0, seconds=0.0, published=published, **changes)


def test_what_was_published_is_counted_and_its_snapshot_holds_every_case(lake):
    archive = archive_of(lake, 40)
    archive.contents[3] = "E_CODEC_ERROR"
    published = publish(archive)
    snapshot = read_snapshot(lake, published.snapshot.id)
    assert snapshot == published.snapshot
    ct, pt = 14, 13
    assert snapshot.counts == {"planned": 40, "committed": ct + pt - 1, "quarantined": 1, "skipped": 13}
    cases = [case for number in range(4) for case in read_range(lake, snapshot, number).cases]
    assert len(cases) == ct + pt
    assert {case.volume_key for case in cases} == set(read_table(lake, "cases")["volume_key"].to_pylist())
    assert published.outcomes == {"quarantined": 3, "skipped": 39, "used": 78}
    assert published.modalities["CT"] == {"refused": 1, "regular": 13}
    assert published.codes == {"E_CODEC_ERROR": 1 + 3}
    assert published.left_out == {"S_NO_ROUTE": 13}
    assert (published.subjects, published.bad_subjects, published.new_subjects) == (160, 4, 4)
    assert published_state(lake, "mine") == "state-0"


def test_every_row_lies_beside_its_series_and_has_its_modality(lake):
    archive = archive_of(lake, 20)
    archive.contents[3] = "E_CODEC_ERROR"
    publish(archive)
    modalities = {row["series_key"]: row["modality"] for row in read_table(lake, "series").to_pylist()}
    for name in ("members", "volumes", "regions", "features", "scores", "quarantine", "cases", "instances"):
        rows = read_table(lake, name).to_pylist()
        assert rows
        for row in rows:
            assert row["modality"] == modalities[row["series_key"]]
            for column in {"volume_key", "region_key"} & row.keys():
                assert row[column][:4] == row["series_key"][:4]


def test_what_a_run_computed_of_a_case_is_in_its_row(lake):
    publish(archive_of(lake, 3))
    for row in read_table(lake, "cases").to_pylist():
        made = [row[f"{kind}_made"] for kind in ("volumes", "regions", "features", "scores")]
        assert made == [1, 0, 0, 0]


def test_ranges_that_did_not_change_are_not_loaded_and_counted_all_the_same(lake):
    archive = archive_of(lake, 60)
    first = publish(archive, bits=4)
    assert sorted(archive.loaded) == list(range(16))
    archive.contents[7] = "two"
    second = publish(archive, bits=4)
    assert archive.loaded == [range_of(series_key(7), 4).number]
    assert second.snapshot.counts == first.snapshot.counts
    assert second.snapshot.id != first.snapshot.id
    assert second.outcomes == first.outcomes
    touched = {file.split("/")[0] for file in second.written}
    assert touched <= {"volumes", "regions", "features", "scores", "cases"}
    assert "features" not in touched or len([one for one in second.written if one.startswith("features")]) == 1


def test_nothing_to_do_is_counted_from_the_last_publication(lake):
    archive = archive_of(lake, 30)
    archive.contents[0] = "E_CODEC_ERROR"
    published = publish(archive)
    archive.loaded.clear()
    again = counted_again(archive)
    assert archive.loaded == []
    assert again.snapshot == published.snapshot
    for name in ("outcomes", "codes", "modalities", "left_out", "subjects", "bad_subjects"):
        assert getattr(again, name) == getattr(published, name)
    assert again.new_subjects == 0
    assert again.tables == published.tables.resolve()


CHANGE = st.tuples(st.integers(0, 29), st.sampled_from(["one", "two", "E_CODEC_ERROR", "E_OOM", ""]))


@settings(max_examples=3, deadline=None)
@given(steps=st.lists(st.lists(CHANGE, min_size=1, max_size=6), min_size=1, max_size=2), bits=st.integers(0, 4))
def test_tables_of_a_long_history_are_those_of_a_first_run(tmp_path_factory, steps, bits):
    folder = tmp_path_factory.mktemp("lakes")
    archive = archive_of(make_lake(folder / "long"), 24)
    publish(archive, bits=bits)
    for step in steps:
        for number, content in step:
            if content:
                archive.contents[number] = content
            else:
                archive.contents.pop(number, None)
        last = publish(archive, bits=bits)
    fresh = archive_of(make_lake(folder / "fresh"), 0)
    fresh.contents = dict(random.sample(list(archive.contents.items()), len(archive.contents)))
    straight = publish(fresh, bits=bits)
    assert bytes_of(archive.lake) == bytes_of(fresh.lake)
    assert last.snapshot == straight.snapshot
    assert (last.codes, last.outcomes, last.bad_subjects) == (straight.codes, straight.outcomes, straight.bad_subjects)
    shutil.rmtree(folder)


def test_another_model_rewrites_scores_and_cases_only(lake):
    archive = archive_of(lake, 30)
    publish(archive)
    archive.lock = locked(resolve=lambda name: type(locked().models["ct"][0])(name=name, digest="cd" * 32))
    published = publish(archive)
    assert sorted(archive.loaded) == [0, 1, 2, 3]
    assert {file.split("/")[0] for file in published.written} == {"scores", "cases"}


def test_a_recipe_with_other_columns_is_derived_again(lake):
    archive = archive_of(lake, 30)
    publish(archive)
    archive.lock = locked(('{ name = "lbp", op = "lbp", image = "final" },', ""))
    publish(archive)
    assert sorted(archive.loaded) == [0, 1, 2, 3]
    assert "lbp_0" not in read_table(lake, "features").column_names


def test_a_damaged_publication_is_made_again_from_what_is_committed(lake):
    archive = archive_of(lake, 30)
    publish(archive)
    expected = bytes_of(lake)
    for path in (lake.root / "tables").resolve().glob("features/*.parquet"):
        path.unlink()
    archive.contents[1] = "two"
    publish(archive)
    assert sorted(archive.loaded[-4:]) == [0, 1, 2, 3]
    archive.contents[1] = "one"
    publish(archive)
    assert bytes_of(lake) == expected


def test_cases_of_a_snapshot_that_are_gone_are_recorded_again(lake):
    archive = archive_of(lake, 30)
    published = publish(archive)
    gone = lake.store.absolute("objects/snapshots/ranges")
    assert len(list(gone.iterdir())) == 4
    next(gone.iterdir()).unlink()
    publish(archive)
    assert len(archive.loaded) == 1
    snapshot = read_snapshot(lake, published.snapshot.id)
    assert sum(len(read_range(lake, snapshot, number).cases) for number in range(4)) == 20


def test_a_case_without_an_outcome_stops_the_run_and_readers_see_what_they_saw(lake):
    archive = archive_of(lake, 10)
    publish(archive)
    before = latest_publication(lake, "mine")
    archive.contents[3] = "two"
    load = archive.load

    def forget(one):
        ending = load(one)
        ending.committed._cases.clear()
        return ending

    archive.load = forget
    with pytest.raises(IntegrityError, match="have no outcome"):
        publish(archive)
    assert latest_publication(lake, "mine") == before
    assert list(lake.store.list("tmp")) == []


# known and new quarantine -------------------------------------------------------------------------


def test_a_subject_is_new_once_and_known_afterwards(lake):
    archive = archive_of(lake, 40)
    archive.contents[3] = "E_CODEC_ERROR"
    first = publish(archive, bits=3)
    assert (first.bad_subjects, first.new_subjects) == (4, 4)
    archive.contents[6] = "E_OOM"  # another range or not: its rows are counted against the rows before
    second = publish(archive, bits=3)
    assert (second.bad_subjects, second.new_subjects) == (8, 4)
    archive.contents[6] = "E_CODEC_ERROR"  # for another reason: new again
    assert publish(archive, bits=3).new_subjects == 4
    archive.contents[9] = "two"
    assert publish(archive, bits=3).new_subjects == 0
    # another cut of the keys makes nothing new
    assert publish(archive, bits=1).new_subjects == 0
    assert counted_again(archive).new_subjects == 0


def test_the_exit_code_tells_new_quarantine_from_known(lake):
    archive = archive_of(lake, 40)
    archive.contents[3] = "E_CODEC_ERROR"
    first = report(publish(archive))
    assert (first.exit_code(), first.exit_code(known_is_fine=True), first.exit_code(0.1)) == (2, 2, 0)
    archive.contents[5] = "two"
    second = report(publish(archive))
    assert (second.exit_code(), second.exit_code(known_is_fine=True)) == (2, 0)
    assert second.facts()["quarantined subjects"] == {"known": 4, "new": 0}


@pytest.mark.parametrize("code", ["E_CODEC_ERROR", "E_DUP_UID_DIFF", "E_SPECIAL_FILE"])
def test_a_case_without_results_is_an_error_whatever_its_code_is_elsewhere(lake, code):
    archive = archive_of(lake, 9)
    archive.contents[3] = code
    published = publish(archive)
    assert published.snapshot.counts["quarantined"] == 1
    assert report(published).exit_code() == 2
    rows = [row for row in read_table(lake, "quarantine").to_pylist() if row["series_key"] == series_key(3)]
    assert {(row["subject_kind"], row["severity"], row["code"]) for row in rows} == {
        ("case", "error", code),
        ("instance", "error", code),
    }


@pytest.mark.parametrize("content", ["one", "E_TIMEOUT"])
def test_a_flag_of_a_volume_is_told_whatever_became_of_its_case(lake, content):
    archive = archive_of(lake, 9)
    clean = report(publish(archive))
    archive.contents[3], archive.flags[3] = content, ("missing_slices", "E_GAP")
    flagged = report(publish(archive))
    rows = [row for row in read_table(lake, "quarantine").to_pylist() if row["subject_kind"] == "volume"]
    assert [(row["subject"], row["stage"], row["code"], row["severity"]) for row in rows] == [
        (volume_key(3), "assemble", "E_GAP", "warning")
    ]
    assert (clean.exit_code(), flagged.exit_code()) == (0, 0 if content == "one" else 2)


def test_a_subject_with_one_more_reason_is_new():
    before = {"a": {"E_OOM"}, "b": {"E_OOM", "E_HANG"}}
    assert count_new({"a": {"E_OOM"}, "b": {"E_OOM"}}, before) == 0
    assert count_new({"a": {"E_OOM", "E_HANG"}, "c": {"E_OOM"}}, before) == 2


# rows of a range ----------------------------------------------------------------------------------


def test_rows_of_all_ranges_are_the_rows_of_the_whole(lake):
    archive = archive_of(lake, 30)
    archive.contents[3] = "E_CODEC_ERROR"

    def rows(one):
        given = archive.load(one)
        index = given.index
        kept = IndexRows(instances=index.instances, members=index.members, series=index.series, volumes=index.volumes)
        return range_rows(Shapes(archive.lock), kept, given.plan, given.committed)

    parts = [rows(one) for one in all_ranges(3)]
    for name, whole in rows(Range(0, 0)).items():
        cut = Counter(repr(row) for part in parts for row in part[name])
        assert cut == Counter(repr(row) for row in whole)


def test_a_case_that_stands_on_products_of_another_route_is_an_alarm(lake):
    archive = archive_of(lake, 1)
    given = archive.load(Range(0, 0))
    (case,) = given.plan.cases
    given.committed._cases[case.key] = given.committed.case(case.key).__class__(
        case_key=case.key, volume_key=volume_key(0), route="ct", status="done", stage="done", products=()
    )
    with pytest.raises(IntegrityError, match="stands on other products than route ct makes"):
        Shapes(archive.lock).ended(case, given.committed, modality="CT")


def test_ranges_tell_the_planner_what_they_hold(lake):
    archive = archive_of(lake, 40)
    publish(archive)
    ranges = read_ranges(lake, "mine")
    found = [ranges.summary(one, archive.state(one)) for one in all_ranges(2)]
    assert sum(one.planned for one in found) == 27
    assert sum(one.skipped for one in found) == 13
    assert sum((Counter(one.by_route) for one in found), Counter()) == {"ct": 14, "pet": 13}
    snapshot = read_snapshot(lake, ranges.snapshot)
    assert [entry.digest for entry in snapshot.ranges] == list(ranges.snapshots())
    assert open_tables(lake, "mine").names == sorted(open_tables(lake).names)
