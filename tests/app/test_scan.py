from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.app import remaking
from medpipe.app.archives import check_known
from medpipe.app.deletions import Deletions
from medpipe.app.listing import Entry
from medpipe.app.progress import Silent
from medpipe.app.reading import Asked, Look
from medpipe.app.scan import scan_archives
from medpipe.app.scan_state import SourceState, known_sources, live_index, live_private
from medpipe.archive.header import Header, read_header
from medpipe.contracts.protocols import Item
from medpipe.errors import ConfigError, IntegrityError, StoppedError
from medpipe.keys import bytes_digest
from medpipe.lake.index import index_sources, read_generation
from medpipe.ranges import Range, all_ranges, range_of
from tests.app.conftest import write_key
from tests.app.forks import Job, run_jobs
from tests.app.scanning import WHOLE, Place, content_of, image, structure_set
from tests.archive.conftest import uid
from tests.lake.at_once import read_index

STUDIES = ("s1", "s2", "s3", "s4")


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    """Return an archive of four studies and a file that is no image, and a lake that is not there yet."""
    place = Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))
    for study in STUDIES:
        place.put_series(study)
    place.put("readme.txt", b"no image")
    return place


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut keys so finely, and lists so short, that a small archive has many ranges and chunks."""
    monkeypatch.setattr("medpipe.app.indexing.RANGE_INSTANCES", 2)
    monkeypatch.setattr("medpipe.app.listing.CHUNK_ENTRIES", 3)


def volume_of(place: Place, study: str, series: str = "a") -> str:
    """Return the volume key of a series, told by its files."""
    for key, locator in place.index().load(WHOLE).locators.items():
        if f"{study}/{series}/0.dcm" in locator["digests"]:
            return key
    raise AssertionError(f"{study}/{series} has no volume")


def bits_of(place: Place) -> int:
    lake = place.opened()
    return read_generation(lake, *index_sources(lake)).bits


def digests(place: Place) -> dict[Range, str]:
    index = place.index()
    return {one: index.digest_of(one) for one in all_ranges(bits_of(place))}


def differing(before: dict[Range, str], after: dict[Range, str]) -> set[Range]:
    assert before.keys() == after.keys()
    return {one for one in before if before[one] != after[one]}


def tombstones(place: Place) -> list[int]:
    return read_index(place.opened(), "tombstones")["scan"].to_pylist()


# what does not change -------------------------------------------------------------------------


def test_a_scan_of_what_did_not_change_reads_and_writes_nothing(place, fine):
    first = place.scan()
    assert (first.files, first.read, first.changed) == (13, 13, True)
    files = place.files_of_index()
    again = place.scan()
    assert (again.read, again.changed) == (0, False)
    assert (again.files, again.outcomes, again.kinds) == (first.files, first.outcomes, first.kinds)
    assert place.files_of_index() == files


def test_the_ranges_of_an_index_are_the_whole_index_in_pieces(place, fine):
    place.scan()
    index = place.index()
    assert (index.n_instances, index.n_volumes) == (13, 4)
    pieces = [index.load(one) for one in all_ranges(5)]
    whole = index.load(WHOLE)
    for name in ("instances", "members", "series", "volumes"):
        found = [row for piece in pieces for row in getattr(piece, name)]
        assert sorted(found, key=repr) == sorted(getattr(whole, name), key=repr)
    assert {key: one for piece in pieces for key, one in piece.locators.items()} == whole.locators
    for one, piece in zip(all_ranges(5), pieces, strict=True):
        assert all(range_of(row["series_key"] or row["instance_key"], 5) == one for row in piece.instances)
        assert all(range_of(row["volume_key"], 5) == one for row in [*piece.members, *piece.volumes])


def test_a_touched_file_is_read_and_only_its_volume_is_to_be_decoded_again(place):
    place.scan()
    before = place.index().load(WHOLE)
    os.utime(place.archive / "s1/a/0.dcm", ns=(1, 1))
    report = place.scan()
    after = place.index().load(WHOLE)
    assert report.read == 1
    assert (after.instances, after.members, after.volumes) == (before.instances, before.members, before.volumes)
    assert len({*after.versions.items()} ^ {*before.versions.items()}) == 2


def test_a_moved_folder_leaves_no_tombstone_and_no_new_source_version(place):
    place.scan()
    before = place.index().load(WHOLE)
    shutil.move(place.archive / "s1", place.archive / "elsewhere")
    report = place.scan()
    assert (report.moved, report.deleted, report.proposed_deletions) == (3, 0, 0)
    after = place.index().load(WHOLE)
    assert after.versions == before.versions
    assert content_of(after) == place.fresh()
    assert tombstones(place) == []


# what changes ---------------------------------------------------------------------------------


def test_a_change_touches_its_own_range_alone_and_opens_no_other(place, fine):
    place.scan()
    key, before = volume_of(place, "s2"), digests(place)
    lake = place.opened()
    (source,) = known_sources(lake)
    state = SourceState.load(lake, source)
    own = range_of(key, state.bits)
    others = [one.headers for number, one in state.ranges.items() if number != own.number]
    assert len(others) >= 2
    for blob in others:
        lake.store.absolute(f"private/{blob}.sealed").write_bytes(b"whoever opens this is stopped")
    place.put("s2/a/1.dcm", image("s2", "a", 1, RescaleSlope=2.0))
    assert place.scan().read == 1
    assert differing(before, digests(place)) == {range_of(key, bits_of(place))}


def test_a_corrected_header_gives_new_keys_only_to_what_it_touches(place, fine):
    place.scan()
    before, versions = digests(place), place.index().load(WHOLE).versions
    key = volume_of(place, "s3")
    place.put_series("s3", SeriesInstanceUID=uid("corrected"))
    place.scan()
    after = place.index().load(WHOLE)
    assert differing(before, digests(place)) == {range_of(key, bits_of(place))}
    assert {one: version for one, version in after.versions.items() if one in versions} == {
        one: version for one, version in versions.items() if one != key
    }
    assert content_of(after) == place.fresh()


def test_a_merged_patient_moves_study_days_and_no_source_version_of_the_other_study(place, fine):
    place.put_series("s1", StudyDate="20200101")
    place.scan()
    before, versions = digests(place), place.index().load(WHOLE).versions
    key, other = volume_of(place, "s1"), volume_of(place, "s2")
    place.put_series("s1", StudyDate="20200101", PatientID="PATIENT-s2")
    place.scan()
    after = place.index().load(WHOLE)
    days = {row["series_key"][:4]: row["study_day"] for row in after.series}
    assert (days[key[:4]], days[other[:4]]) == (0, 9)
    assert differing(before, digests(place)) == {range_of(one, bits_of(place)) for one in (key, other)}
    assert {one for one in versions if versions[one] != after.versions[one]} == {key}


def test_an_archive_that_outgrows_its_ranges_is_cut_anew(place, monkeypatch):
    place.scan()
    assert bits_of(place) == 0
    monkeypatch.setattr("medpipe.app.indexing.RANGE_INSTANCES", 2)
    place.put_series("s5")
    assert place.scan().read == 3
    assert bits_of(place) == 3
    assert place.content() == place.fresh()


# companions -----------------------------------------------------------------------------------


def test_a_structure_set_of_another_study_finds_its_series_whichever_comes_first(place, fine):
    place.scan()
    host, version = volume_of(place, "s1"), place.index().load(WHOLE).versions
    before = digests(place)
    place.put("objects/1.dcm", structure_set("plan", of_study="s1"))
    place.put("objects/2.dcm", structure_set("plan", of_study="late"))
    place.scan()
    found = place.index().load(WHOLE)
    assert found.locators[host]["companions"] == ["objects/1.dcm"]
    assert {key for key in version if found.versions[key] != version[key]} == {host}
    assert range_of(host, bits_of(place)) in differing(before, digests(place))
    assert len(differing(before, digests(place))) <= 2
    place.put_series("late")
    place.scan()
    assert place.index().load(WHOLE).locators[volume_of(place, "late")]["companions"] == ["objects/2.dcm"]
    assert place.content() == place.fresh()


def test_a_structure_set_that_changes_or_goes_changes_its_host(place, fine):
    place.put("objects/1.dcm", structure_set("plan", of_study="s1"))
    place.scan()
    host = volume_of(place, "s1")
    versions = [place.index().load(WHOLE).versions[host]]
    place.put("objects/1.dcm", structure_set("plan", of_study="s1", label="two"))
    place.scan()
    versions.append(place.index().load(WHOLE).versions[host])
    (place.archive / "objects/1.dcm").unlink()
    place.scan()
    found = place.index().load(WHOLE)
    versions.append(found.versions[host])
    assert len(set(versions)) == 3
    assert found.locators[host]["companions"] == []
    assert content_of(found) == place.fresh()


def test_a_structure_set_leaves_the_images_of_its_study_once_its_series_is_there(place, fine):
    # until then it goes with what shares its frame of reference, which is all it can be drawn on
    place.put_series("plan", FrameOfReferenceUID=uid("frame", "late"))
    place.put("objects/1.dcm", structure_set("plan", of_study="late"))
    place.scan()
    images = volume_of(place, "plan")
    assert place.index().load(WHOLE).locators[images]["companions"] == ["objects/1.dcm"]
    place.put_series("late")
    place.scan()
    assert place.index().load(WHOLE).locators[images]["companions"] == []
    assert place.content() == place.fresh()
    shutil.rmtree(place.archive / "late")
    place.scan()
    assert place.index().load(WHOLE).locators[images]["companions"] == ["objects/1.dcm"]
    assert place.content() == place.fresh()


def test_only_objects_that_look_for_something_in_what_changed_are_looked_at(place, fine):
    for study in STUDIES[1:]:
        place.put(f"objects/{study}.dcm", structure_set(study, of_study=study))
    place.scan()
    lake = place.opened()
    (source,) = known_sources(lake)
    state = SourceState.load(lake, source)
    own = range_of(volume_of(place, "s2"), state.bits)
    others = [one.objects for number, one in state.ranges.items() if number != own.number and one.objects]
    assert len(others) == 2
    for blob in others:
        lake.store.absolute(f"private/{blob}.sealed").write_bytes(b"whoever opens this is stopped")
    place.put("s2/a/1.dcm", image("s2", "a", 1, RescaleSlope=2.0))
    place.put("objects/s2.dcm", structure_set("s2", of_study="s2", label="two"))
    assert place.scan().read == 2
    assert place.content() == place.fresh()


# what is gone ---------------------------------------------------------------------------------


def test_a_few_files_that_are_gone_leave_tombstones_until_they_come_back(place, fine):
    place.scan()
    kept = (place.archive / "s1/a/2.dcm").read_bytes()
    (place.archive / "s1/a/2.dcm").unlink()
    report = place.scan()
    assert (report.deleted, report.proposed_deletions, report.files) == (1, 0, 12)
    assert tombstones(place) == [2]
    assert place.content() == place.fresh()
    assert place.scan().changed is False
    place.put("s1/a/2.dcm", kept)
    assert place.scan().read == 1
    assert tombstones(place) == []
    assert place.content() == place.fresh()


def test_many_files_that_are_gone_are_only_proposed_for_deletion(place):
    place.put_series("many", slices=15)
    place.put_series("more", slices=15)
    place.scan()
    before = place.content()
    for study in ("many", "more"):
        shutil.rmtree(place.archive / study)
    for _ in range(2):
        report = place.scan()
        assert (report.proposed_deletions, report.deleted, report.changed) == (30, 0, False)
    assert place.content() == before
    report = place.scan(accept_deletions=True)
    assert (report.proposed_deletions, report.deleted) == (0, 30)
    assert len(tombstones(place)) == 30
    assert place.content() == place.fresh()


@pytest.mark.parametrize(
    ("known", "gone", "is_proposed"),
    [(12, 6, False), (13, 6, False), (13, 7, True), (25, 13, True), (400, 20, False), (400, 200, True)],
)
def test_more_than_twenty_or_half_of_a_small_archive_or_the_share_is_proposed(known, gone, is_proposed):
    # of one series or of many: a mount that came up half looks the same
    deletions = Deletions(share=0.01, known=known, accepted=False)
    deletions.decide(Entry(f"{number}.dcm", "1-1-1", "0" * 12, "", "") for number in range(gone))
    assert (deletions.count, deletions.are_proposed) == (gone, is_proposed)
    accepted = Deletions(share=0.01, known=known, accepted=True)
    accepted.decide(Entry(f"{number}.dcm", "1-1-1", "0" * 12, "", "") for number in range(gone))
    assert not accepted.are_proposed


def test_one_series_that_is_half_of_the_archive_is_not_taken_out_without_a_question(place):
    place.put_series("many", slices=30)
    place.scan()
    before = place.content()
    shutil.rmtree(place.archive / "many")
    assert place.scan().proposed_deletions == 30
    assert place.content() == before


def test_an_archive_that_is_away_or_empty_stops_and_the_index_stays(place):
    place.scan()
    before = place.files_of_index()
    place.archive.rename(place.archive.with_name("unmounted"))
    with pytest.raises(StoppedError, match="is away, but held 13 files"):
        place.scan(accept_deletions=True)
    place.archive.mkdir()
    with pytest.raises(StoppedError, match="is empty, but held 13 files"):
        place.scan(accept_deletions=True)
    with pytest.raises(ConfigError, match="no such folder"):
        place.scan(archive=place.archive.with_name("never seen"))
    assert place.files_of_index() == before


def test_what_lies_below_a_folder_that_cannot_be_listed_stays(place):
    place.scan()
    before = place.content()

    def settled(item: Item) -> bool:
        # the listing of the root has named the folder; it is gone before it is listed itself
        (place.archive / "s3").rename(place.archive.with_name("away"))
        return item.path != ""

    place.put("a-new-file", b"what the scan asks about first")
    report = place.scan(settled=settled)
    assert (report.unreachable, report.deleted, report.proposed_deletions) == (3, 0, 0)
    after = place.content()
    assert (after["volumes"], after["versions"]) == (before["volumes"], before["versions"])
    assert report.outcomes["quarantined"] == 1
    place.archive.with_name("away").rename(place.archive / "s3")
    report = place.scan()
    assert (report.deleted, report.outcomes["quarantined"]) == (0, 0)
    assert tombstones(place) == []
    assert place.content() == place.fresh()


# what is not lasting --------------------------------------------------------------------------


class At:
    """Progress that does something when a stage begins."""

    def __init__(self, name: str, act: Callable[[], object]) -> None:
        self._name, self._act = name, act

    def stage(self, name: str, _total: int | None) -> None:
        if name == self._name:
            self._act()

    def advance(self, steps: int = 1) -> None:
        pass

    def say(self, line: str) -> None:
        pass


def gone(file: Path, away: Path) -> None:
    file.rename(away)


def linked(file: Path, away: Path) -> None:
    file.rename(away)
    file.symlink_to(away)


def piped(file: Path, away: Path) -> None:
    file.rename(away)
    os.mkfifo(file)


@pytest.mark.parametrize(("what", "code"), [(gone, "E_VANISHED"), (linked, "E_CHANGED"), (piped, "E_CHANGED")])
def test_a_file_that_was_away_when_it_was_to_be_read_is_read_again(place, what, code):
    file, away = place.archive / "s1/a/1.dcm", place.archive.with_name("away")
    place.scan(progress=At("scan", lambda: what(file, away)))
    found = [(row["outcome"], row["code"]) for row in place.content()["instances"]]
    assert found.count(("quarantined", code)) == 1
    away.replace(file)
    assert place.scan().read == 1
    assert place.content() == place.fresh()
    assert place.scan().read == 0


@pytest.mark.parametrize(("what", "code"), [(gone, "E_VANISHED"), (linked, "E_CHANGED")])
def test_pixels_that_were_away_when_they_were_to_be_compared_are_compared_again(place, fine, what, code):
    file, away = place.archive / "s1/a/0.dcm", place.archive.with_name("away")
    place.put("s1/a/twin.dcm", image("s1", "a", 0, RescaleIntercept=5.0))
    place.scan(progress=At("index", lambda: what(file, away)))
    assert code in [row["code"] for row in place.content()["instances"]]
    away.replace(file)
    assert place.scan().read == 0
    assert place.content() == place.fresh()


# what is lost ---------------------------------------------------------------------------------


def test_a_deleted_index_comes_back_the_same_without_a_look_at_the_archive(place, fine, tmp_path):
    # two images that claim to be one: their pixels were compared, which need not be done again
    place.put("s1/a/twin.dcm", image("s1", "a", 0, RescaleIntercept=5.0))
    place.put("gone.dcm", image("s9", "a", 0))
    place.scan()
    (place.archive / "gone.dcm").unlink()
    place.scan()
    (generation,) = place.index().generations
    before = place.content()
    lake = place.opened()
    live = {*live_index(lake), *(f"private/{name}.sealed" for name in live_private(lake))}
    files = {name: one for name, one in place.files_of_index().items() if name in live}
    shutil.rmtree(place.lake / "index")
    place.archive.rename(tmp_path / "unmounted")
    other = tmp_path / "other"
    other.mkdir()
    (other / "any.txt").write_bytes(b"another archive")
    place.scan(archive=other)
    assert files.items() <= place.files_of_index().items()
    assert generation in place.index().generations
    assert len(tombstones(place)) == 1
    (tmp_path / "unmounted").rename(place.archive)
    assert place.scan().read == 0
    found = place.content()
    assert found["versions"] == before["versions"]
    assert [row for row in found["instances"] if row["source"] in generation] == before["instances"]


def test_a_shard_that_is_missing_is_made_again_and_a_damaged_one_is_an_alarm(place, fine):
    place.scan()
    before = place.content()
    shards = sorted((place.lake / "index").rglob("*.parquet"))
    shards[0].unlink()
    assert place.scan().read == 0
    assert place.content() == before
    data = bytearray(shards[-1].read_bytes())
    data[len(data) // 2] ^= 1
    shards[-1].write_bytes(data)
    with pytest.raises(IntegrityError, match="delete the lake's index folder"):
        place.content()
    shutil.rmtree(place.lake / "index")
    place.scan()
    assert place.content() == before


def test_without_the_private_state_the_index_comes_back_from_the_files(place):
    place.scan()
    before = place.content(), place.index().generations
    shutil.rmtree(place.lake / "private")
    assert place.scan().read == 13
    assert (place.content(), place.index().generations) == before


def test_nothing_but_what_is_in_use_stays_after_changes(place, fine):
    place.scan()
    for number in range(3):
        place.put("s1/a/1.dcm", image("s1", "a", 1, RescaleSlope=2.0 + number))
        place.scan()
    lake = place.opened()
    assert set(lake.private.names("sources/")) == live_private(lake)
    live = live_index(lake)
    assert live <= set(lake.store.list("index/sources"))
    for path in set(lake.store.list("index/sources")) - live:
        lake.store.absolute(path).unlink()
    assert place.content() == place.fresh()
    assert list(lake.store.list("tmp")) == []


def test_no_patient_value_is_in_clear_anywhere_in_the_lake(place, fine, monkeypatch):
    monkeypatch.setattr("medpipe.app.scanning.SPOOL_BYTES", 200)
    spooled: list[bytes] = []
    remove = shutil.rmtree

    def kept(path: Path, *, ignore_errors: bool = False) -> None:
        spooled.extend(file.read_bytes() for file in Path(path).rglob("*") if file.is_file())
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr("medpipe.lake.store.shutil.rmtree", kept)
    place.scan()
    written = [path.read_bytes() for path in place.lake.rglob("*") if path.is_file()]
    assert len(spooled) >= 2
    for value in (b"PATIENT-s1", uid("study", "s1").encode(), b"s1/a"):
        assert not any(value in data for data in written + spooled)
        assert not any(value in os.fsencode(path) for path in place.lake.rglob("*"))
    assert place.content() == place.fresh()


# several sources ------------------------------------------------------------------------------


def test_a_series_of_two_archives_is_taken_from_one(place, fine, tmp_path):
    place.scan()
    alone = place.index().load(WHOLE)
    other = tmp_path / "other"
    shutil.copytree(place.archive / "s1", other / "copy")
    place.scan(archive=other)
    both = place.index().load(WHOLE)
    assert both.versions == alone.versions
    assert [row["n_instances"] for row in both.series] == [row["n_instances"] for row in alone.series] == [3] * 4
    assert len(both.instances) == len(alone.instances) + 3
    assert [row["code"] for row in both.instances].count("S_OTHER_SOURCE") == 3
    assert len(place.index().generations) == 2


def test_archives_that_lie_one_in_the_other_are_refused(place):
    with pytest.raises(ConfigError, match=r"lie one in the other.* name the outer one"):
        scan_archives([place.archive, place.archive / "s1"], place.lake, place.site(), Silent())
    assert not place.lake.exists()
    place.scan(archive=place.archive / "s1")
    before = place.files_of_index()
    with pytest.raises(ConfigError, match=r"scanned into this lake before.* medpipe forget it first"):
        place.scan()
    with pytest.raises(ConfigError, match="scanned into this lake before"):
        place.scan(archive=place.archive / "s1/a")
    assert place.files_of_index() == before
    assert place.scan(archive=place.archive / "s2").files == 3


def test_archives_known_from_before_that_lie_one_in_the_other_are_said():
    said = list[str]()
    check_known([Path("/a"), Path("/ab"), Path("/c")], {Path("/a"), Path("/a/b"), Path("/ab")}, said.append)
    assert len(said) == 1
    assert "/a and /a/b lie one in the other" in said[0]


# kills ----------------------------------------------------------------------------------------

POINTS = (
    "scan.after_state:1",
    pytest.param("scan.before_state:1", marks=pytest.mark.slow),
    pytest.param("scan.after_pointer:1", marks=pytest.mark.slow),
    pytest.param("pointer.before_replace:3", marks=pytest.mark.slow),
    pytest.param("put.after_link:2", marks=pytest.mark.slow),
)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_scan_leaves_the_old_index_or_the_new_one(place, fine, home, forks, point):
    place.scan()
    before = place.content()
    place.put_series("s5")
    place.put("s1/a/1.dcm", image("s1", "a", 1, RescaleSlope=2.0))
    arguments = ["scan", str(place.archive), "--lake", str(place.lake), "--workers", "1"]
    job = Job(arguments=arguments, failpoint=point)
    assert run_jobs(forks, [job], home) == [-signal.SIGKILL], (home / "output").read_text()
    after = place.fresh()
    assert place.content() in (before, after)
    place.scan()
    assert place.content() == after
    assert set(place.opened().private.names("sources/")) == live_private(place.opened())


def test_a_scan_that_was_stopped_goes_on_without_what_it_has_read(place, fine, monkeypatch):
    monkeypatch.setattr("medpipe.app.pending.PIECE_HEADERS", 2)
    monkeypatch.setattr("medpipe.app.reading.BATCH", 2)
    expected = place.fresh()

    class Stopping(At):
        left = 9

        def advance(self, steps: int = 1) -> None:
            self.left -= steps
            if not self.left:
                raise StoppedError("the storage is away")

    for _ in range(2):
        with pytest.raises(StoppedError):
            place.scan(progress=Stopping("", lambda: None))
    # were one of the first files opened again, other bytes would be found in it
    for file in (place.archive / "readme.txt", *place.archive.glob("s1/a/*.dcm")):
        found = file.stat()
        with file.open("r+b") as opened:
            opened.write(b"x" * found.st_size)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    place.scan()
    assert place.content() == expected
    assert set(place.opened().private.names("sources/")) == live_private(place.opened())


# any history ----------------------------------------------------------------------------------

FILES = st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 2))
STEPS = st.one_of(
    st.tuples(st.just("put"), FILES, st.integers(1, 3)),
    st.tuples(st.just("objects"), st.sampled_from("abc"), st.sampled_from("abc")),
    st.tuples(st.just("delete"), st.integers(0, 30), st.none()),
    st.tuples(st.just("move"), st.integers(0, 30), st.integers(0, 3)),
    st.tuples(st.just("touch"), st.integers(0, 30), st.none()),
)


def change(place: Place, kind: str, what: object, how: object) -> None:
    """Change the archive in one of many ways."""
    files = sorted(path for path in place.archive.rglob("*") if path.is_file())
    if kind == "put":
        study, series, number = what  # type: ignore[misc]
        place.put(f"{study}{series}{number}", image(study, series, number, RescaleSlope=float(how)))
    elif kind == "objects":
        place.put(f"objects-{what}{how}", structure_set(what, of_study=how, of_series="x"))
    elif files:
        file = files[what % len(files)]
        if kind == "move":
            target = place.archive / f"folder-{how}" / file.name
            target.parent.mkdir(exist_ok=True)
            file.rename(target)
        elif kind == "touch":
            os.utime(file)
        elif len(files) > 1:
            file.unlink()


def histories(examples: int) -> object:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        derandomize=True,
    )


def run_history(place: Place, history: list[list[tuple[str, object, object]]]) -> None:
    for folder in (place.archive, place.lake):
        shutil.rmtree(folder, ignore_errors=True)
    place.put("ax0", image("a", "x", 0))
    for steps in [[], *history]:
        for step in steps:
            change(place, *step)
        place.scan(accept_deletions=True)
    assert place.content() == place.fresh()


@histories(6)
@given(history=st.lists(st.lists(STEPS, min_size=2, max_size=6), min_size=2, max_size=2))
def test_any_history_ends_in_the_index_of_a_first_scan(place, fine, history):
    run_history(place, history)


@pytest.mark.long
@histories(30)
@given(history=st.lists(st.lists(STEPS, min_size=1, max_size=8), min_size=1, max_size=5))
def test_long_histories_end_in_the_index_of_a_first_scan(place, fine, history):
    run_history(place, history)


# a part of a range ----------------------------------------------------------------------------

NAMES = st.sampled_from(["", "1.2.1", "1.2.2"])
MANY = st.tuples(
    st.just("many"),
    st.integers(0, 11),
    st.fixed_dictionaries(
        {
            "StudyInstanceUID": NAMES,
            "SeriesInstanceUID": NAMES,
            "PatientID": st.sampled_from(["", "P1", "P2"]),
            "SOPInstanceUID": st.sampled_from(["1.2.3.1", "1.2.3.2", "1.2.3.3"]),
            "FrameOfReferenceUID": NAMES,
            "StudyDate": st.sampled_from(["20200110", "20200120", ""]),
            "Modality": st.sampled_from(["CT", "OT"]),
        }
    ),
)
SPOILT = st.tuples(st.just("spoil"), st.integers(0, 11), st.booleans())
SPREAD = st.lists(st.one_of(MANY, STEPS, SPOILT), min_size=1, max_size=4)


def spread(place: Place, kind: str, what: object, how: object) -> None:
    """Change the archive in one of still more ways."""
    if kind == "many":
        place.put(f"many-{what}", image("m", "m", 1, **how))  # type: ignore[arg-type]
    elif kind == "spoil":
        # with a header but no end, or with neither
        place.put(f"many-{what}", image("a", "x", 2)[: -20 if how else 20])
    else:
        change(place, kind, what, how)


class Here:
    """Reads headers and pixels in this process: of bytes made here, hundreds of times."""

    def __init__(self, root: Path, site: object, identify: object = None) -> None:
        self._root = root

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def expect(self, files: int) -> None:
        pass

    def headers(self, items: Iterable[Asked]) -> Iterator[Header]:
        for item, _ in items:
            data = (self._root / item.path).read_bytes()
            header = read_header(data, path=item.path, size=item.size, version=item.version)
            yield header

    def wholes(self, paths: Sequence[str]) -> list[Look]:
        return [Look(bytes_digest((self._root / path).read_bytes()), "") for path in paths]

    def pixels(self, path: str) -> Look:
        data = (self._root / path).read_bytes()
        header = read_header(data, path=path, size=len(data), version="")
        # the pixels of some cannot be decoded
        return Look("", "E_CODEC") if path[-1] in "79" else Look(bytes_digest(data[-header.pixel_bytes :]), "")


def kept_of(place: Place) -> tuple[object, ...]:
    """Return all that a source's state says, without names of files that hold version numbers of it."""
    lake = place.opened()
    (source,) = known_sources(lake)
    state = SourceState.load(lake, source)
    assert state is not None
    ranges = {
        number: (one.locators, one.companions, one.objects, one.incoming, dict(one.rows), one.outcomes, one.kinds)
        for number, one in state.ranges.items()
    }
    headers = {number: lake.private.get(one.headers) for number, one in state.ranges.items() if one.headers}
    return ranges, headers, state.generation, state.hosts, state.objects, state.dates, state.counts()


def run_spread(place: Place, history: list[list[tuple[str, object, object]]]) -> None:
    parts = place.beside("parts")
    patch = pytest.MonkeyPatch()
    patch.setattr("medpipe.app.scanning.Reader", Here)
    try:
        compare_spread(place, parts, history)
    finally:
        patch.undo()


def compare_spread(place: Place, parts: Place, history: list[list[tuple[str, object, object]]]) -> None:
    for folder in (place.archive, place.lake, parts.lake):
        shutil.rmtree(folder, ignore_errors=True)
    for number in range(6):
        names = {"StudyInstanceUID": f"1.2.{number % 2 + 1}", "SeriesInstanceUID": f"1.2.{number % 3 + 1}"}
        place.put(f"many-{number}", image("m", "m", number, **names))
    for steps in [[], *history]:
        for step in steps:
            spread(place, *step)
        parts.scan(accept_deletions=True)
        with pytest.MonkeyPatch.context() as whole:
            whole.setattr("medpipe.app.remaking.Remaker._going", lambda *_: None)
            place.scan(accept_deletions=True)
        assert kept_of(parts) == kept_of(place)
    assert parts.content() == place.content()


@histories(12)
@given(history=st.lists(SPREAD, min_size=2, max_size=3))
def test_a_range_of_which_a_part_was_made_anew_holds_the_bytes_of_one_made_anew_whole(place, history):
    run_spread(place, history)


@pytest.mark.long
@histories(60)
@given(history=st.lists(SPREAD, min_size=2, max_size=6))
def test_ranges_made_anew_in_parts_through_long_histories_hold_the_bytes_of_whole_ones(place, history):
    run_spread(place, history)


def test_a_change_of_one_series_leaves_the_others_of_its_range_unparsed(place, monkeypatch):
    place.scan()
    assert bits_of(place) == 0
    assembled: list[str] = []
    real = remaking.assemble

    def seen(headers: list[Header], pixels: object) -> object:
        assembled.extend(header.path for header in headers)
        return real(headers, pixels)  # type: ignore[arg-type]

    monkeypatch.setattr("medpipe.app.remaking.assemble", seen)
    place.put("s2/a/1.dcm", image("s2", "a", 1, RescaleSlope=2.0))
    place.scan()
    assert assembled == [f"s2/a/{number}.dcm" for number in range(3)]
    assert place.content() == place.fresh()
