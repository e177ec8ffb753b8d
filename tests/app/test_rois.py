from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.rois import list_rois
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.errors import ConfigError, LakeError
from tests.app.conftest import write_key
from tests.app.runs import rows
from tests.app.scanning import Place, digest_of, structure_set
from tests.archive.conftest import to_bytes, uid

RECIPE = """
name = "named"
[[route]]
name = "ct"
where = { modality = "CT" }
regions = [ { op = "segmentation_objects", map = { gtv = "(?i)^gtv" }, numbers = { second = "2" } } ]
"""
ELSEWHERE = "Elsewhere"
SQUARE = [(-0.2, -0.2), (1.2, -0.2), (1.2, 0.8), (-0.2, 0.8)]


def named(data: bytes, drawn: dict[str, float | None]) -> bytes:
    """Return a structure set with these structures, each with a square at a height, or without a contour."""
    dataset = pydicom.dcmread(BytesIO(data))
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, height) in enumerate(drawn.items(), start=1):
        roi, item = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        if name == ELSEWHERE:
            roi.ReferencedFrameOfReferenceUID = uid("frame", "another")
        item.ReferencedROINumber = number
        dataset.StructureSetROISequence.append(roi)
        if height is not None:
            contour = Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.ContourData = [value for x, y in SQUARE for value in (x, y, height)]
            item.ContourSequence = [contour]
            dataset.ROIContourSequence.append(item)
    return to_bytes(dataset)


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    """Return an archive of two studies and their structure sets; one was made on what is not there."""
    place = Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))
    for study in ("s1", "s2"):
        place.put_series(study)
    first = structure_set("s1", of_study="s1")
    place.put("rt/1.dcm", named(first, {"GTV of a\x1b[2J": 2.0, "Cord": 2.0, "Far": 900.0, "Empty": None}))
    place.put("rt/2.dcm", named(structure_set("s2", of_study="s2"), {"GTV of a\x1b[2J": 4.0}))
    place.put("rt/3.dcm", named(structure_set("s1", of_study="gone"), {"Lost": 2.0}))
    return place


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "named.toml"
    path.write_text(RECIPE)
    return str(path)


def listed(place: Place, **asked: str):
    return [tuple(row.values()) for row in list_rois(place.lake, place.site(), **asked)]


def test_names_are_shown_with_objects_volumes_and_the_label_of_a_recipe(place, recipe):
    place.scan()
    assert listed(place, recipe=recipe) == [
        ("GTV of a\x1b[2J", [], "rtstruct", 2, 2, "gtv"),
        ("Cord", [], "rtstruct", 1, 1, "second"),
        ("Empty", [], "rtstruct", 1, 1, None),
        ("Far", [], "rtstruct", 1, 1, None),
        ("Lost", [], "rtstruct", 1, 0, None),
    ]
    assert {row[-1] for row in listed(place)} == {None}


def test_nothing_is_written(place, recipe):
    place.scan()
    before = {path: digest_of(path) for path in place.lake.rglob("*") if path.is_file()}
    list_rois(place.lake, place.site(), recipe=recipe)
    assert {path: digest_of(path) for path in place.lake.rglob("*") if path.is_file()} == before


def test_without_the_key_nothing_is_shown(place, tmp_path, monkeypatch):
    place.scan()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("MEDPIPE_KEY_FILE", raising=False)
    with pytest.raises(LakeError, match="the lake's key only") as refused:
        list_rois(place.lake, Site())
    assert refused.value.exit_code == 5


def test_a_lake_without_structures_has_none(place):
    for path in (place.archive / "rt").iterdir():
        path.unlink()
    place.scan()
    assert listed(place) == []


def test_objects_of_another_archive_go_with_their_volumes(place):
    other = replace(place, archive=place.archive.with_name("other"))
    other.put("rt/1.dcm", (place.archive / "rt" / "1.dcm").read_bytes())
    (place.archive / "rt" / "1.dcm").unlink()
    place.scan()
    place.scan(archive=other.archive)
    found = listed(place, archive=str(other.archive))
    assert [(name, volumes) for name, *_, volumes, _ in found] == [
        ("Cord", 1),
        ("Empty", 1),
        ("Far", 1),
        ("GTV of a\x1b[2J", 1),
    ]
    assert {name for name, *_ in listed(place, archive=str(place.archive))} == {"GTV of a\x1b[2J", "Lost"}
    with pytest.raises(ConfigError, match="no archive"):
        listed(place, archive="nowhere")


def test_a_structure_of_another_frame_of_reference_is_set_aside_with_its_code(place, recipe):
    data = named(structure_set("s1", of_study="s1"), {"GTV": 2.0, ELSEWHERE: 2.0})
    place.put("rt/1.dcm", data)
    site = Site(engine="serial", workers=1, key_file=place.key)
    request = RunRequest(recipe=recipe, archives=(place.archive,), lake=place.lake, site=site)
    report = run_archive(request, Silent())
    found = sorted((row["name"], row["code"]) for row in rows(place.lake, "regions") if row["code"])
    assert found == [("second", "E_FRAME")]
    told = {(row["code"], row["severity"]) for row in rows(place.lake, "quarantine")}
    assert told == {("E_FRAME", "error"), ("W_NO_IMAGE", "warning")}
    assert report.exit_code(0.0) == 2


def test_structures_that_cannot_be_used_are_rows_with_codes_in_the_tables(place, recipe):
    site = Site(engine="serial", workers=1, key_file=place.key)
    request = RunRequest(recipe=recipe, archives=(place.archive,), lake=place.lake, site=site)
    report = run_archive(request, Silent())
    found = sorted((row["name"], row["code"], row["n_voxels"] > 0) for row in rows(place.lake, "regions"))
    assert found == [
        ("gtv", None, True),
        ("gtv", None, True),
        ("roi_3", "W_OUTSIDE", False),
        ("roi_4", "EMPTY_ROI", False),
        ("second", None, True),
    ]
    told = {(row["stage"], row["code"], row["severity"]) for row in rows(place.lake, "quarantine")}
    codes = {("regions", "W_OUTSIDE"), ("regions", "EMPTY_ROI"), ("scan", "W_NO_IMAGE")}
    assert told == {(*one, "warning") for one in codes}
    assert report.exit_code(0.0) == 0
