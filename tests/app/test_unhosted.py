from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.archive.closed import SEG_CLASSES
from medpipe.ranges import all_ranges
from tests.app.conftest import write_key
from tests.app.runs import RECIPE, rows
from tests.app.scanning import WHOLE, Place, structure_set
from tests.archive.conftest import make_slice, to_bytes, uid


def segmentation(study: str, *, of_series: str) -> bytes:
    """Return a segmentation that lies in a study and names a series of it."""
    series = Dataset()
    series.SeriesInstanceUID = uid("series", study, of_series)
    return to_bytes(
        make_slice(
            np.ones((4, 4), np.uint8),
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            PixelRepresentation=0,
            SOPClassUID=min(SEG_CLASSES),
            Modality="SEG",
            StudyInstanceUID=uid("study", study),
            SeriesInstanceUID=uid("series", study, "drawn", of_series),
            SOPInstanceUID=uid("segmentation", study, of_series),
            FrameOfReferenceUID=uid("frame", study, "of another"),
            PatientID=f"PATIENT-{study}",
            ReferencedSeriesSequence=[series],
        )
    )


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    """Return an archive of a series with the objects made on it, and on others that are not there."""
    place = Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))
    place.put_series("s1", slices=4)
    place.put("rt/here.dcm", structure_set("s1", of_study="s1"))
    place.put("rt/frame.dcm", structure_set("s1", of_study="s1", of_series="lost"))
    place.put("rt/lost.dcm", structure_set("s1", of_study="gone"))
    place.put("seg/here.dcm", segmentation("s1", of_series="a"))
    place.put("seg/lost.dcm", segmentation("s1", of_series="lost"))
    return place


def told(place: Place) -> tuple[int, int]:
    """Return how many files and volumes are told to be without images; no other has a code."""
    index = place.index().load(WHOLE)
    files = [row["code"] for row in index.instances if row["code"]]
    volumes = [row["code"] for row in index.volumes if row["code"]]
    assert {*files, *volumes} <= {"W_NO_IMAGE"}
    assert all(row["flags"] == ([row["code"]] if row["code"] else []) for row in index.volumes)
    return len(files), len(volumes)


def test_objects_whose_images_are_nowhere_have_a_code(place):
    place.scan()
    assert told(place) == (1, 1)


def test_the_code_goes_when_the_images_come_and_comes_when_they_go(place):
    place.scan()
    before = place.index().digest_of(WHOLE)
    added = [*place.put_series("gone"), *place.put_series("s1", "lost")]
    place.scan()
    assert (told(place), place.index().digest_of(WHOLE) == before) == ((0, 0), False)
    for path in added:
        path.unlink()
    place.scan(accept_deletions=True)
    assert told(place) == (1, 1)


def test_images_in_another_archive_count(place):
    other = replace(place, archive=place.archive.with_name("other"))
    other.put_series("gone")
    other.put("rt/lost.dcm", structure_set("s2", of_study="nowhere"))
    place.scan()
    other.scan()
    assert told(place) == (1, 1)
    found = [row for row in place.index().load(WHOLE).instances if row["code"]]
    assert len({row["source"] for row in found}) == 1
    other.put_series("nowhere")
    other.scan()
    assert told(place) == (0, 1)


def test_an_object_that_names_nothing_has_no_images(place):
    for path in (place.archive / "rt").iterdir():
        path.unlink()
    dataset = dcmread(BytesIO(structure_set("s1", of_study="s1")))
    del dataset.ReferencedFrameOfReferenceSequence, dataset.FrameOfReferenceUID
    place.put("rt/none.dcm", to_bytes(dataset))
    place.scan()
    assert told(place) == (1, 1)


def test_images_that_were_refused_are_no_images(place):
    for path in place.put_series("gone", PixelSpacing=[0.0, 0.0]):
        assert path.exists()
    place.scan()
    index = place.index().load(WHOLE)
    assert sorted(row["code"] for row in index.instances if row["outcome"] == "catalogued" and row["code"]) == [
        "W_NO_IMAGE"
    ]


def test_ranges_tell_what_the_whole_tells(place, monkeypatch):
    monkeypatch.setattr("medpipe.app.indexing.RANGE_INSTANCES", 2)
    place.scan()
    index = place.index()
    whole = index.load(WHOLE)
    pieces = [index.load(one) for one in all_ranges(4)]
    for name in ("instances", "volumes"):
        found = sorted((row for piece in pieces for row in getattr(piece, name)), key=repr)
        assert found == sorted(getattr(whole, name), key=repr)
    assert told(place) == (1, 1)


def test_the_tables_tell_it_as_a_warning(place, tmp_path):
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE)
    site = Site(engine="serial", workers=1, key_file=place.key)
    request = RunRequest(recipe=str(recipe), archives=(place.archive,), lake=place.lake, site=site)
    run_archive(request, Silent())
    found = [
        (row["subject_kind"], row["severity"]) for row in rows(place.lake, "quarantine") if row["code"] == "W_NO_IMAGE"
    ]
    assert sorted(found) == [("instance", "warning"), ("volume", "warning")]
    flags = [row["flags"] for row in rows(place.lake, "volumes") if row["code"] == "W_NO_IMAGE"]
    assert [list(one) for one in flags] == [["W_NO_IMAGE"]]
