"""Archive files inside an archive, and as the archive: scanned, changed, scanned again, run."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet

from medpipe.app.forget import forget_archive
from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.reading import HEADERS_VERSION, Reader
from medpipe.app.run import run_archive
from medpipe.app.scan import scan_archives
from medpipe.app.scan_state import known_states
from medpipe.app.site import Limits, Site
from medpipe.app.watch import Settling, Watch
from medpipe.engine.sandbox import SandboxSpec
from medpipe.errors import ConfigError, StoppedError
from medpipe.work.scan_session import open_scan
from tests.app.conftest import write_key
from tests.app.phantom import noise_archive, rows
from tests.app.runs import volumes_of
from tests.app.scanning import Place, image

RECIPE = """
name = "unpacking"
[[route]]
name = "all"
regions = [ { op = "body" } ]
features = [ { name = "first", op = "ibsi", families = ["statistics"] } ]
"""
HINTS = {"source", "instance_key"}


def zipped(files: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=zipfile.ZIP_DEFLATED)
    return held.getvalue()


def tarred(files: Mapping[str, bytes], packed: str = "") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=f"w:{packed}") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return held.getvalue()


PACKERS: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    "zip": zipped,
    "tar": tarred,
    "gzip": lambda files: tarred(files, "gz"),
    "bzip2": lambda files: tarred(files, "bz2"),
    "xz": lambda files: tarred(files, "xz"),
}


def study(name: str, slices: int = 3, **elements: str) -> dict[str, bytes]:
    return {f"{name}/{number}": image(name, "a", number, **elements) for number in range(slices)}


class Inside:
    """Does in this process, and at once, what a pool of sandboxes does for a scan."""

    def __init__(self, spec: SandboxSpec, *, size: int) -> None:
        self._session = open_scan(spec.init)

    def map_batches(self, kind: str, batches: Iterable[Sequence[Any]], **_: Any) -> Iterator[list[Any]]:
        for batch in batches:
            found = self._session.call(kind, json.loads(json.dumps({"items": batch})), lambda *_: None)
            yield json.loads(json.dumps(found["results"], allow_nan=False))

    def close(self) -> None:
        pass


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scans start no sandboxes."""
    monkeypatch.setattr("medpipe.app.reading.SandboxPool", Inside)


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    """Return an archive of a study in files, one in a zip and a file that is no image; the lake is not there yet."""
    place = Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))
    place.put_series("s1")
    place.put("s2.zip", zipped(study("s2")))
    place.put("zz", b"no image")
    return place


def codes(place: Place) -> Counter[str | None]:
    return Counter(row["code"] for row in place.content()["instances"])


def assert_as_new(place: Place) -> None:
    """The index is what a first scan finds."""
    assert place.content() == place.fresh()


# one way in is as good as another -------------------------------------------------------------


def test_the_same_bytes_give_the_same_volumes_keys_and_digests_from_files_and_archive_files(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    plain = noise_archive(tmp_path / "plain", series=2, slices=4)
    files = {path.relative_to(plain).as_posix(): path.read_bytes() for path in sorted(plain.rglob("*.dcm"))}
    key = write_key(tmp_path / "home")

    def run(archive: Path, lake: Path) -> None:
        site = Site(engine="serial", workers=1, key_file=key)
        run_archive(
            RunRequest(recipe=str(tmp_path / "recipe.toml"), archives=(archive,), lake=lake, site=site), Silent()
        )

    run(plain, tmp_path / "lake")
    wanted = found_in(tmp_path / "lake")
    assert len(wanted["volumes"]) == 2
    for kind, pack in PACKERS.items():
        archive = tmp_path / kind / "named.txt"
        archive.parent.mkdir()
        archive.write_bytes(pack(files))
        run(archive if kind in {"zip", "gzip"} else archive.parent, tmp_path / f"lake-{kind}")
        assert found_in(tmp_path / f"lake-{kind}") == wanted
        outcomes = Counter(row["outcome"] for row in rows(tmp_path / f"lake-{kind}", "instances"))
        assert outcomes == {"used": 8, "skipped": 1}


def found_in(lake: Path) -> dict[str, object]:
    names = ("series", "volumes", "regions", "features")
    tables = {name: [{k: v for k, v in row.items() if k not in HINTS} for row in rows(lake, name)] for name in names}
    return {**tables, "objects": volumes_of(lake)}


def test_every_member_has_a_row_that_says_where_it_lies_and_what_it_is(tmp_path, home):
    place = Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))
    one, two, three, four = study("s", 4).values()
    place.put("scan.txt", one)
    place.put("scan.zip", two)
    place.put(
        "pack.dcm",
        zipped(
            {
                "x.tar": three,
                "in.zip": zipped({"a": one}),
                "in.tgz": tarred({"a": one}, "gz"),
                "in.gz": gzip.compress(one),
            }
        ),
    )
    place.put("pack.jpg", tarred({"none": b"", "text": b"text", "../up": one}))
    place.put("one.gz", gzip.compress(four))
    place.put("setup.exe", b"MZ" + bytes(500) + zipped({"a": one}))
    place.put("part.z01", b"PK\x07\x08" + zipped({"a": one})[:200])
    place.put("text.gz", gzip.compress(b"text" * 100))
    site = place.site().model_copy(update={"privacy": "identified"})
    scan_archives([place.archive], place.lake, site, Silent())
    found = {row["path"]: (row["outcome"], row["code"]) for row in place.content()["instances"]}
    assert found == {
        "scan.txt": ("used", None),
        "scan.zip": ("used", None),
        "one.gz": ("skipped", "S_ARCHIVE"),
        "one.gz/content": ("used", None),
        "setup.exe": ("skipped", "E_ARCHIVE_PROGRAM"),
        "part.z01": ("quarantined", "E_ARCHIVE_SPLIT"),
        "text.gz": ("skipped", "E_NOT_DICOM"),
        "pack.dcm": ("skipped", "S_ARCHIVE"),
        "pack.dcm/x.tar": ("used", None),
        "pack.dcm/in.zip": ("quarantined", "E_ARCHIVE_NESTED"),
        "pack.dcm/in.tgz": ("quarantined", "E_ARCHIVE_NESTED"),
        "pack.dcm/in.gz": ("quarantined", "E_ARCHIVE_NESTED"),
        "pack.jpg": ("skipped", "S_ARCHIVE"),
        "pack.jpg/none": ("quarantined", "E_EMPTY"),
        "pack.jpg/text": ("skipped", "E_NOT_DICOM"),
        "pack.jpg/../up": ("quarantined", "E_ARCHIVE_SLIP"),
    }


def test_a_damaged_archive_file_is_told_beside_what_it_holds(place):
    whole = tarred(study("s3"))
    place.put("s3", whole[: whole.index(b"s3/2") + 100])
    place.put("s4", zipped(study("s4"))[:-40])
    place.scan()
    assert codes(place) == {None: 8, "E_NOT_DICOM": 1, "S_ARCHIVE": 1, "E_TRUNCATED": 1, "E_ARCHIVE_DAMAGED": 1}


@pytest.mark.usefixtures("inside")
def test_an_archive_file_has_no_limit_its_members_have(place):
    place.put("big", zipped({"a": random.Random(1).randbytes(2 << 20), "b": b"x"}))
    place.scan(limits=Limits(file_mb=1))
    assert codes(place)["E_TOO_LARGE"] == 1
    place.scan(limits=Limits(file_mb=3))
    assert codes(place)["E_TOO_LARGE"] == 0
    assert_as_new(place)


# scanned again --------------------------------------------------------------------------------


@pytest.mark.usefixtures("inside")
def test_an_archive_file_that_did_not_change_is_not_read(place):
    assert place.scan().read == 8
    again = place.scan()
    assert (again.read, again.changed, again.files) == (0, False, 8)


@pytest.mark.usefixtures("inside")
def test_of_a_zip_that_was_written_again_only_what_changed_is_read(place):
    place.scan()
    (place.archive / "s2.zip").write_bytes(zipped(study("s2")))
    same = place.scan()
    assert (same.read, same.changed) == (1, False)
    place.put("s2.zip", zipped(study("s2") | {"s2/1": image("s2", "a", 1, InstanceNumber=77)}))
    assert place.scan().read == 2
    assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_of_a_tar_that_was_written_again_everything_is_read(place):
    place.put("s3", tarred(study("s3")))
    place.scan()
    (place.archive / "s3").touch()
    assert place.scan().read == 4
    assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_members_that_are_gone_are_deleted_and_those_packed_or_unpacked_have_moved(place):
    place.scan()
    place.put("s2.zip", zipped(study("s2", 2)))
    assert place.scan().deleted == 1
    assert_as_new(place)
    shutil.rmtree(place.archive / "s1")
    place.put("s1.zip", zipped({f"s1/a/{number}.dcm": image("s1", "a", number) for number in range(3)}))
    packed = place.scan()
    assert (packed.moved, packed.deleted) == (3, 0)
    assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_most_members_gone_at_once_stay_until_that_is_accepted(place):
    place.put("s3", zipped(study("s3", 30)))
    place.scan()
    place.put("s3", zipped(study("s3", 1)))
    proposed = place.scan()
    assert (proposed.deleted, proposed.proposed_deletions) == (0, 29)
    assert place.scan(accept_deletions=True).deleted == 29
    assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_members_that_stay_until_that_is_accepted_do_so_however_many_are_new(place):
    place.put("s2.zip", zipped(study("s2") | study("s3")))
    place.scan()
    place.put("s2.zip", zipped(study("s4", 6)))
    for slices in (6, 40):
        place.put("s2.zip", zipped(study("s4", slices)))
        for _ in range(2):
            found = place.scan()
            assert (found.deleted, found.proposed_deletions) == (0, 6)
    place.scan(accept_deletions=True)
    assert_as_new(place)
    # what was asked then is forgotten
    place.put("s2.zip", zipped(study("s4", 35)))
    assert place.scan().deleted == 5
    assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_a_file_becomes_an_archive_file_a_folder_and_back(place):
    place.scan()
    for kind in ("zip", "folder", "text", "tar", "zip", "gone", "zip", "folder", "zip"):
        target = place.archive / "s2.zip"
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        if kind == "folder":
            for name, data in study("s2").items():
                place.put(f"s2.zip/{name}", data)
        elif kind != "gone":
            place.put("s2.zip", {"zip": zipped, "tar": tarred}[kind](study("s2")) if kind != "text" else b"text")
        place.scan(accept_deletions=True)
        assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_random_histories_end_where_a_first_scan_does(place):
    chance = random.Random(6)
    pool = {f"{name}/{number}": data for name in ("p", "q") for number, data in enumerate(study(name).values())}
    for _ in range(12):
        for name in chance.sample(["c1", "c2", "c2.", "c2/x", "d"], 2):
            target = place.archive / name
            if (place.archive / "c2").is_file() and name == "c2/x":
                (place.archive / "c2").unlink()
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
            files = dict(chance.sample(sorted(pool.items()), chance.randrange(len(pool))))
            if chance.random() < 0.8:
                place.put(name, chance.choice([*PACKERS.values()])(files))
        place.scan(accept_deletions=True)
        assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_what_could_not_be_listed_stays_and_is_listed_later(place, monkeypatch):
    place.scan()
    before = place.content()["volumes"]
    (place.archive / "s2.zip").touch()
    with monkeypatch.context() as slow:
        slow.setattr(Reader, "members", lambda *_: ([], "E_TIMEOUT"))
        late = place.scan()
        assert (late.unreachable, late.deleted, late.proposed_deletions) == (3, 0, 0)
        assert place.content()["volumes"] == before
        assert codes(place)["E_TIMEOUT"] == 1
    place.scan(limits=Limits(case_s=5.0))
    assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_members_of_a_file_that_is_not_complete_yet_stay(place):
    place.scan()
    place.put("s2.zip", zipped(study("s2", 1)))
    waiting = place.scan(settled=lambda item: item.path != "s2.zip")
    assert (waiting.deferred, waiting.deleted, waiting.changed) == (1, 0, False)
    assert place.scan().deleted == 2
    assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_all_members_are_read_again_when_headers_are_read_otherwise(place, monkeypatch):
    place.scan()
    for name in ("scanning", "pending"):
        monkeypatch.setattr(f"medpipe.app.{name}.HEADERS_VERSION", HEADERS_VERSION + 1)
    assert place.scan(settled=lambda item: item.path != "s2.zip").read == 4
    assert place.scan().read == 4
    assert place.scan().read == 0
    assert_as_new(place)


@pytest.mark.usefixtures("inside")
def test_members_read_by_a_scan_that_was_killed_are_not_read_again(place, monkeypatch):
    monkeypatch.setattr("medpipe.app.pending.PIECE_HEADERS", 1)
    read: list[str] = []

    class Killed(Silent):
        def stage(self, name: str, total: int | None) -> None:
            if name == "index":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.scan(progress=Killed())
    own = Reader._asked

    def noted(self, items, under_way):
        for batch in own(self, items, under_way):
            read.extend(item["path"] for item in batch)
            yield batch

    monkeypatch.setattr(Reader, "_asked", noted)
    place.scan()
    assert read == []
    assert_as_new(place)


@pytest.mark.slow
@pytest.mark.usefixtures("inside")
def test_a_hundred_thousand_members_have_as_many_rows(place):
    place.put("many", zipped({f"{number:06d}": b"%d" % number for number in range(100_000)} | study("m")))
    assert place.scan().read == 100_003 + 9
    assert codes(place) == {"E_NOT_DICOM": 100_001, "S_ARCHIVE": 2, None: 9}
    assert place.scan().read == 0


@pytest.mark.usefixtures("inside")
def test_a_sandbox_that_names_members_elsewhere_is_not_believed(place, monkeypatch):
    def elsewhere(self, kind, batches, **given):
        for batch in own(self, kind, batches, **given):
            yield [
                {**one, "members": [["s1/a/0.dcm", 1, "1-x-y", None]]} if kind == "members" else one for one in batch
            ]

    own = Inside.map_batches
    monkeypatch.setattr(Inside, "map_batches", elsewhere)
    place.scan()
    assert codes(place) == {None: 3, "E_NOT_DICOM": 1, "E_ARCHIVE_DAMAGED": 1}


@pytest.mark.usefixtures("inside")
def test_ranges_are_cut_for_members_too(place, monkeypatch):
    monkeypatch.setattr("medpipe.app.indexing.RANGE_INSTANCES", 4)
    place.put("many", zipped({name: data for number in range(20) for name, data in study(f"m{number}", 2).items()}))
    place.scan()
    (state,) = known_states(place.opened())
    assert state.bits >= 3
    assert_as_new(place)
    assert place.scan().changed is False


# an archive file as the archive, forgotten, watched --------------------------------------------


@pytest.mark.usefixtures("inside")
def test_an_archive_file_may_be_the_archive(place, tmp_path):
    root = place.archive / "s2.zip"
    assert place.scan(archive=root).files == 4
    assert place.scan(archive=root).changed is False
    for other in (place.archive / "zz", place.archive):
        with pytest.raises(ConfigError):
            place.scan(archive=other)
    moved = root.rename(tmp_path / "away")
    with pytest.raises(StoppedError, match="is it mounted"):
        place.scan(archive=root)
    moved.rename(root)
    site = place.site()
    assert forget_archive(place.lake, str(root), site).files == 4
    assert place.scan().files == 8


@pytest.mark.usefixtures("inside")
def test_a_file_that_is_no_archive_file_is_not_taken_for_an_archive(place):
    with pytest.raises(ConfigError, match="no zip or tar"):
        place.scan(archive=place.archive / "zz")
    assert not place.lake.exists()


def test_a_watch_takes_a_new_archive_file_when_it_is_complete(place, tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    said: list[str] = []
    site = Site(engine="serial", workers=1, key_file=place.key)
    request = RunRequest(recipe=str(tmp_path / "recipe.toml"), archives=(place.archive,), lake=place.lake, site=site)
    watch = Watch(
        request=request, progress=Silent(), run=run_archive, say=said.append, settling=Settling(0.0), every_s=0.0
    )
    assert watch.looks(1)
    place.put("s3.zip.part", zipped(study("s3")))
    assert watch.looks(2)
    assert len(rows(place.lake, "volumes")) == 2
    (place.archive / "s3.zip.part").rename(place.archive / "s3.zip")
    assert watch.looks(2)
    assert len(rows(place.lake, "volumes")) == 3
    assert len(said) == 2


def test_a_case_refuses_a_member_that_changed_since_the_scan(place, tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    site = Site(engine="serial", workers=1, key_file=place.key)
    request = RunRequest(recipe=str(tmp_path / "recipe.toml"), archives=(place.archive,), lake=place.lake, site=site)

    class Changing(Silent):
        def stage(self, name: str, total: int | None) -> None:
            if name == "plan":
                place.put("s2.zip", zipped(study("s2") | {"s2/1": image("s2", "a", 1, PatientID="OTHER")}))

    report = run_archive(request, Changing())
    assert report.planned == 2
    assert Counter(row["code"] for row in rows(place.lake, "cases")) == {None: 1, "E_CHANGED": 1}


# directories of media -------------------------------------------------------------------------


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("pack", [None, *PACKERS.values()], ids=["files", *PACKERS])
def test_a_directory_of_a_medium_is_a_hint_and_what_it_misses_is_told(place, tmp_path, pack):
    medium = FileSet()
    said = {"StudyTime": "101112", "StudyID": "1", "SeriesNumber": "1"}
    for number in range(3):
        data = image("s5", "a", number, InstanceNumber=number + 1, **said)
        medium.add(dcmread(io.BytesIO(data)))
    medium.write(tmp_path / "medium")
    files = {
        path.relative_to(tmp_path / "medium").as_posix(): path.read_bytes()
        for path in sorted((tmp_path / "medium").rglob("*"))
        if path.is_file()
    }

    def put(present: Mapping[str, bytes]) -> None:
        shutil.rmtree(place.archive / "cd", ignore_errors=True)
        if pack is not None:
            place.put("cd/held", pack(present))
        else:
            for name, data in present.items():
                place.put(f"cd/{name}", data)

    lost = next(name for name in files if name != "DICOMDIR")
    whole = {**files, "unnamed": image("s5", "a", 3, InstanceNumber=4, **said)}
    put({name: data for name, data in whole.items() if name != lost})
    place.scan()
    assert codes(place)["S_DICOMDIR_LACKS"] == 1
    assert codes(place)[None] == 6 + 3
    put(whole)
    place.scan()
    assert codes(place)["E_DICOMDIR"] == 1
    assert codes(place)[None] == 6 + 4
    assert_as_new(place)
    assert place.scan().read == 0
