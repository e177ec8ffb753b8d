from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from medpipe.app.progress import Silent
from medpipe.app.reading import HEADERS_VERSION
from medpipe.app.scan import ScanReport, scan_into
from medpipe.app.scan_state import SourceState, known_sources
from medpipe.app.site import Limits
from medpipe.contracts.protocols import Item
from medpipe.privacy.secret import load_secret
from tests.app.conftest import write_key
from tests.app.scanning import Place, image
from tests.archive.conftest import make_slice, to_bytes, uid

NEVER_S = 1e-9


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    """Return an archive of two studies and a file that is no image, and a lake that is not there yet."""
    place = Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))
    for study in ("s1", "s2"):
        place.put_series(study)
    place.put("readme.txt", b"no image")
    return place


def codes(place: Place) -> Counter[str | None]:
    return Counter(row["code"] for row in place.content()["instances"])


def asked_for(place: Place, *retry: str) -> ScanReport:
    """Scan as a run does that was given codes to try again."""
    lake = place.opened()
    with lake.driver():
        return scan_into(lake, load_secret(place.key), [place.archive], place.site(), Silent(), retry=retry)


def headers_are_read_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scanning", "pending"):
        monkeypatch.setattr(f"medpipe.app.{name}.HEADERS_VERSION", HEADERS_VERSION + 1)


# what was refused -----------------------------------------------------------------------------


def test_a_file_above_the_limit_is_read_once_the_limit_is_raised_and_once_only(place):
    pixels = np.ones((800, 800), np.int16)
    place.put("s1/a/big.dcm", to_bytes(make_slice(pixels, SOPInstanceUID=uid("big"), SeriesInstanceUID=uid("b"))))
    assert place.scan(limits=Limits(file_mb=1)).read == 8
    assert codes(place)["E_TOO_LARGE"] == 1
    assert place.scan(limits=Limits(file_mb=1)).read == 0
    still = place.scan(limits=Limits(file_mb=1, case_s=5.0))
    assert (still.read, still.changed) == (1, False)
    assert place.scan(limits=Limits(file_mb=1, case_s=5.0)).read == 0
    assert place.scan().read == 1
    assert place.scan().read == 0
    assert place.content() == place.fresh()


def test_a_header_that_took_too_long_is_read_when_asked_for_or_under_other_limits(place, monkeypatch):
    with monkeypatch.context() as slow:
        slow.setattr("medpipe.app.reading.HEADER_S", NEVER_S)
        place.scan()
        assert codes(place) == {"E_TIMEOUT": 7}
        assert asked_for(place, "E_OOM").read == 0
        assert asked_for(place, "E_TIMEOUT").read == 7
        assert codes(place) == {"E_TIMEOUT": 7}
    assert place.scan().read == 0
    assert asked_for(place, "E_TIMEOUT").read == 7
    assert asked_for(place, "E_TIMEOUT").read == 0
    assert place.content() == place.fresh()


def test_headers_refused_by_a_scan_that_was_killed_are_not_believed_under_other_limits(place, monkeypatch):
    monkeypatch.setattr("medpipe.app.pending.PIECE_HEADERS", 1)

    class Killed(Silent):
        def stage(self, name: str, total: int | None) -> None:
            if name == "index":
                raise KeyboardInterrupt

    with monkeypatch.context() as slow:
        slow.setattr("medpipe.app.reading.HEADER_S", NEVER_S)
        with pytest.raises(KeyboardInterrupt):
            place.scan(progress=Killed())
    place.scan(limits=Limits(case_s=5.0))
    assert place.content() == place.fresh()


def test_pixels_that_could_not_be_compared_are_compared_under_other_limits_or_when_asked_for(place, monkeypatch):
    place.put("s1/a/twin.dcm", image("s1", "a", 0, RescaleIntercept=5.0))
    with monkeypatch.context() as slow:
        slow.setattr("medpipe.app.reading.PIXELS_S", NEVER_S)
        place.scan()
    assert codes(place)["E_TIMEOUT"] == 2
    other = shutil.copytree(place.lake, place.lake.with_name("other"))
    assert place.scan().changed is False
    assert place.scan(limits=Limits(case_s=5.0)).read == 0
    assert place.content() == place.fresh()
    assert place.scan(limits=Limits(case_s=5.0)).changed is False
    place = Place(archive=place.archive, lake=other, key=place.key)
    asked_for(place, "E_TIMEOUT")
    assert place.content() == place.fresh()


def test_refused_pixels_stay_as_they_are_when_an_index_is_made_again(place, monkeypatch, tmp_path):
    place.put("s1/a/twin.dcm", image("s1", "a", 0, RescaleIntercept=5.0))
    with monkeypatch.context() as slow:
        slow.setattr("medpipe.app.reading.PIXELS_S", NEVER_S)
        place.scan()
    shutil.rmtree(place.lake / "index")
    place.archive.rename(tmp_path / "unmounted")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "any.txt").write_bytes(b"another archive")
    place.scan(archive=tmp_path / "other", limits=Limits(case_s=5.0))
    assert codes(place)["E_TIMEOUT"] == 2
    assert codes(place)["E_VANISHED"] == 0


# headers that are read otherwise --------------------------------------------------------------


@pytest.mark.parametrize("is_gone", [False, True])
def test_all_headers_are_read_again_when_they_are_read_otherwise(place, monkeypatch, is_gone):
    place.scan()
    if is_gone:
        shutil.rmtree(place.lake / "index")
    headers_are_read_otherwise(monkeypatch)
    assert place.scan().read == 7
    assert place.scan().read == 0


def test_headers_that_had_to_wait_are_read_otherwise_later(place, monkeypatch):
    place.scan()
    headers_are_read_otherwise(monkeypatch)
    assert place.scan(settled=lambda item: item.path < "s2").read == 4
    assert place.scan(settled=lambda item: item.path < "s2").read == 0
    assert place.scan().read == 3
    assert place.scan().read == 0


def test_headers_below_a_folder_that_was_away_are_read_otherwise_later(place, monkeypatch):
    place.scan()
    headers_are_read_otherwise(monkeypatch)
    away = place.archive.with_name("away")

    def settled(item: Item) -> bool:
        # the listing of the root has named the folder; it is gone before it is listed itself
        if not away.exists():
            (place.archive / "s2").rename(away)
        return item.path != ""

    report = place.scan(settled=settled)
    assert (report.unreachable, report.read) == (3, 4)
    away.rename(place.archive / "s2")
    assert place.scan().read == 3
    assert place.scan().read == 0


def test_headers_of_files_proposed_for_deletion_are_read_otherwise_if_they_come_back(place, monkeypatch):
    place.put_series("s3", slices=8)
    place.scan()
    headers_are_read_otherwise(monkeypatch)
    away = place.archive.with_name("away")
    (place.archive / "s3").rename(away)
    report = place.scan()
    assert (report.proposed_deletions, report.read) == (8, 7)
    away.rename(place.archive / "s3")
    assert place.scan().read == 8
    assert place.scan().read == 0


def test_a_renamed_file_that_had_to_wait_is_read_otherwise_later(place, monkeypatch):
    place.scan()
    before = place.content()["versions"]
    headers_are_read_otherwise(monkeypatch)
    (place.archive / "s2/a/1.dcm").rename(place.archive / "s2/a/later.dcm")
    assert place.scan(settled=lambda item: "later" not in item.path).deleted == 0
    assert place.content()["versions"] == before
    report = place.scan()
    assert (report.read, report.moved, report.deleted) == (1, 1, 0)
    assert place.content() == place.fresh()


def test_a_file_that_is_gone_goes_while_one_of_another_length_has_to_wait(place):
    place.scan()
    place.put("s3/a/0.dcm", image("s3", "a", 0) + b"longer than any other")
    (place.archive / "s2/a/1.dcm").unlink()
    report = place.scan(settled=lambda item: not item.path.startswith("s3"))
    assert (report.deferred, report.deleted) == (1, 1)


# what cannot be looked at ---------------------------------------------------------------------


def test_a_file_that_could_not_be_looked_at_stays_what_it_was(place):
    file, away = place.put("z.dcm", image("s9", "a", 0)), place.archive.with_name("away")
    place.scan()
    before = place.content()

    def settled(item: Item) -> bool:
        # the listing of the root has named the file; it is gone before it is looked at
        file.rename(away)
        return item.path == ""

    place.put("a-new-file", b"what the scan asks about first")
    report = place.scan(settled=settled)
    assert (report.unreachable, report.read, report.changed) == (1, 0, False)
    assert place.content() == before
    away.rename(file)
    assert place.scan(settled=lambda item: item.path == "").unreachable == 0
    assert place.content() == before


# files that were gone and came back -------------------------------------------------------------


def test_files_that_came_back_are_asked_for_no_more(place):
    for study in ("s3", "s4", "s5"):
        place.put_series(f"goes/{study}")
    place.scan()
    elsewhere = (place.archive / "goes").rename(place.archive.with_name("elsewhere"))
    place.put_series("s6")
    assert place.scan().proposed_deletions > 0
    elsewhere.rename(place.archive / "goes")
    assert place.scan().proposed_deletions == 0
    states = [SourceState.load(place.opened(), source) for source in known_sources(place.opened())]
    assert [state and state.asked_of for state in states] == [0]
