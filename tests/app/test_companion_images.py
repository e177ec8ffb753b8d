"""Companion images and views through whole runs: tables, files, what a change costs, verify and gc."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image

from medpipe.app.explain import explain_key
from medpipe.app.gc import collect_garbage
from medpipe.app.prepare import plan_run
from medpipe.app.progress import Silent
from medpipe.app.site import RetentionTable, Site
from medpipe.app.verify import verify_lake
from medpipe.errors import StoppedError
from medpipe.lake.lake import Lake
from medpipe.lake.volumes import open_array, read_volume
from tests.app.conftest import write_key
from tests.app.runs import Bench, assert_whole, computed, rows
from tests.archive.conftest import make_slice, to_bytes, uid
from tests.archive.pets import WEIGHT_KG, pet

RECIPE = """
name = "pairs"

[[route]]
name = "ct"
where = { modality = "CT" }
regions = [ { op = "body", opening_mm = 0.0 } ]
views = [
    { name = "small", op = "thumbnail", size = 32 },
    { name = "uptake", op = "projection", image = "pet", plane = "coronal", inverted = true },
    { name = "skin", op = "surface", format = "glb" },
]

[[route.companions]]
name = "mr"
where = { modality = "MR" }
align = { op = "rigid" }

[[route.companions]]
name = "pet"
where = { modality = "PT" }
prefer = ["complete"]
image = [ { op = "suv" } ]
fuse = true

[[route]]
name = "rest"
"""
CT_STEP = (2.0, 0.6, 0.8)


def ct(*, seed=3):
    """Return the slices of a bright block in air that lies around the PET."""
    values = np.full((8, 10, 12), 24, np.uint16)
    values[1:7, 2:8, 2:10] = np.random.default_rng(seed).integers(1000, 1100, (6, 6, 8))
    return [
        make_slice(
            pixels,
            position=(-0.3, -0.9, 2.0 * place - 1.0),
            PixelSpacing=[0.6, 0.8],
            SeriesInstanceUID=uid("ct"),
            SOPInstanceUID=uid("ct", place),
            InstanceNumber=place + 1,
        )
        for place, pixels in enumerate(values)
    ]


@pytest.fixture
def empty(tmp_path: Path, home: Path) -> Bench:
    recipe, archive = tmp_path / "pairs.toml", tmp_path / "archive"
    recipe.write_text(RECIPE, encoding="utf-8")
    archive.mkdir()
    return Bench(archive=archive, lake=tmp_path / "lake", key=write_key(home), recipe=recipe)


@pytest.fixture
def bench(empty: Bench) -> Bench:
    """Return an archive of a CT and a PET of one frame of reference."""
    write(empty, ct=ct(), pet=pet(4))
    return empty


def write(bench, **series):
    for name, slices in series.items():
        for place, one in enumerate(slices):
            (bench.archive / f"{name}-{place}.dcm").write_bytes(to_bytes(one))


def change(bench, name, **elements):
    for path in bench.archive.glob(f"{name}-*"):
        image = pydicom.dcmread(path)
        for keyword, value in elements.items():
            setattr(image, keyword, value)
        image.save_as(path)


def itk(volume):
    image = sitk.GetImageFromArray(volume.data.astype(np.float64))
    image.SetSpacing(volume.geometry.spacing_mm[::-1])
    image.SetOrigin(volume.geometry.matrix[:3, 3].tolist())
    return image


def test_a_pair_is_told_stored_and_shown_and_a_missing_one_has_its_code(bench):
    bench.run()
    volumes = {row["modality"]: row for row in rows(bench.lake, "volumes")}
    pairs = {row["companion"]: row for row in rows(bench.lake, "registrations")}
    assert set(pairs) == {"mr", "pet"}
    lacking = pairs["mr"]
    assert (lacking["status"], lacking["code"], lacking["companion_volume_key"]) == ("refused", "S_NO_COMPANION", None)
    told = pairs["pet"]
    assert (told["status"], told["method"], told["code"]) == ("ok", "frame", None)
    assert told["volume_key"] == volumes["CT"]["volume_key"]
    assert told["companion_volume_key"] == volumes["PT"]["volume_key"]
    assert told["matrix_lps"] == np.eye(4).reshape(-1).tolist()

    facts = explain_key(bench.lake, volumes["CT"]["volume_key"])
    images = facts["companion images"]
    assert list(images) == ["mr", "pet"]
    assert (images["mr"]["volume_key"], images["mr"]["code"]) == (None, "S_NO_COMPANION")
    assert images["mr"]["aligned by"]["op"] == "rigid"
    shown = images["pet"]
    assert {name: shown[name] for name in ("status", "method", "matrix_lps", "overlap", "store")} == {
        name: told[name] for name in ("status", "method", "matrix_lps", "overlap", "store")
    }
    assert (shown["volume_key"], shown["modality"], shown["shown by"]) == (
        volumes["PT"]["volume_key"],
        "PT",
        ["uptake"],
    )
    assert (shown["aligned by"]["op"], [op["op"] for op in shown["image ops"]]) == ("same_frame", ["suv"])
    pet_facts = explain_key(bench.lake, volumes["PT"]["volume_key"])
    assert shown["read from"] == pet_facts["read from"]
    assert shown["read from"]["instances"] == 4
    assert pet_facts["companion image of"] == {volumes["CT"]["volume_key"]: "pet"}
    assert "companion images" not in pet_facts

    lake = Lake.open(bench.lake)
    first, second, fused = (
        read_volume(lake, path) for path in (volumes["CT"]["store"], volumes["PT"]["store"], told["store"])
    )
    np.testing.assert_array_equal(fused.data[0], first.data)
    resampled = sitk.Resample(itk(second), itk(first), sitk.Transform(), sitk.sitkLinear, np.nan)
    uptake = sitk.GetArrayFromImage(resampled) * volumes["PT"]["suv_factor"][0]
    np.testing.assert_allclose(fused.data[1], uptake, rtol=1e-5)
    assert 0 < np.isnan(uptake).sum() < uptake.size
    _, attributes = open_array(lake, told["store"])
    assert [(one["name"], one["unit"]) for one in attributes["channels"]] == [("original", "HU"), ("pet", "g/mL")]

    views = {row["view"]: row for row in rows(bench.lake, "views")}
    assert {name: row["code"] for name, row in views.items()} == dict.fromkeys(("small", "uptake", "skin"))
    for row in views.values():
        data = (bench.lake / row["store"] / row["file"]).read_bytes()
        assert (row["bytes"], row["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        if row["file"].endswith(".png"):
            with Image.open(BytesIO(data)) as picture:
                assert picture.size == (row["width"], row["height"])
    (region,) = rows(bench.lake, "regions")
    assert (views["skin"]["region_key"], views["small"]["region_key"]) == (region["region_key"], None)
    assert views["uptake"]["image"] == "pet"
    assert_whole(bench.lake)
    assert rows(bench.lake, "quarantine", stage="registrations") == []


def test_a_companion_that_changes_makes_anew_what_stands_on_it_and_nothing_else(bench):
    bench.run()
    assert bench.run().executed == 0
    before = {row["view"]: row["sha256"] for row in rows(bench.lake, "views")}

    change(bench, "pet", PatientWeight=2 * WEIGHT_KG)
    report = bench.run()
    assert computed(bench.lake, report.run) == {"registrations": 1, "views": 1}
    after = {row["view"]: row for row in rows(bench.lake, "views")}
    # twice the uptake, and the window goes with it
    assert {name: row["sha256"] for name, row in after.items()} == before
    assert after["uptake"]["high"] > 0

    change(bench, "pet", StudyDescription="another text")
    report = bench.run()
    assert computed(bench.lake, report.run) == {}

    write(bench, ct=ct(seed=4))
    report = bench.run()
    assert computed(bench.lake, report.run) == {"volume": 1, "registrations": 2, "regions": 1, "views": 3}
    assert bench.run().executed == 0


def test_a_companion_that_comes_later_in_another_archive_is_taken_up_and_where_that_is_away_no_case_runs(empty):
    write(empty, ct=ct())
    empty.run()
    assert {row["code"] for row in rows(empty.lake, "registrations")} == {"S_NO_COMPANION"}
    assert rows(empty.lake, "views", view="uptake")[0]["code"] == "S_NO_COMPANION"
    other = empty.archive.with_name("other")
    other.mkdir()
    for place, one in enumerate(pet(4)):
        (other / f"{place}.dcm").write_bytes(to_bytes(one))
    both = (empty.archive, other)
    assert plan_run(empty.request(archives=both), Silent())["cases"]["to run"] == 2
    report = empty.run(archives=both)
    assert computed(empty.lake, report.run) == {"volume": 1, "registrations": 1, "views": 1}
    (pair,) = rows(empty.lake, "registrations", companion="pet")
    assert pair["status"] == "ok"

    # the CT has to be read again, and the PET it would read is not there
    other.rename(other.with_name("elsewhere"))
    changed = empty.recipe_with({'plane = "coronal"': 'plane = "axial"'})
    with pytest.raises(StoppedError, match="is away"):
        empty.run(recipe=changed)


def test_another_frame_of_reference_is_refused_and_the_one_that_shares_it_comes_first(bench):
    change(bench, "pet", FrameOfReferenceUID=uid("another frame"))
    bench.run()
    (pair,) = rows(bench.lake, "registrations", companion="pet")
    assert (pair["status"], pair["code"], pair["store"]) == ("refused", "E_FRAME", None)
    assert pair["companion_volume_key"] is not None
    told = {(row["stage"], row["code"]) for row in rows(bench.lake, "quarantine")}
    assert told == {("registrations", "E_FRAME"), ("views", "E_FRAME")}
    # a second PET, thought less of by its keys or not, lies in the frame of the CT
    write(bench, second=pet(4, SeriesInstanceUID=uid("second"), FrameOfReferenceUID=uid("frame")))
    for place, path in enumerate(sorted(bench.archive.glob("second-*"))):
        image = pydicom.dcmread(path)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = uid("second", place)
        image.save_as(path)
    bench.run()
    (pair,) = rows(bench.lake, "registrations", companion="pet")
    assert (pair["status"], pair["code"]) == ("ok", None)


def test_verify_finds_a_damaged_view_and_a_run_makes_a_lost_one_again(bench):
    bench.run()
    views = {row["view"]: row for row in rows(bench.lake, "views")}
    small, skin = (bench.lake / views[name]["store"] for name in ("small", "skin"))
    path = small / views["small"]["file"]
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-9] + b"x" + data[-8:])
    (line,) = verify_lake(bench.lake)["damaged"]
    assert path.name in line
    for folder in (small, skin):
        for file in sorted(folder.rglob("*"), reverse=True):
            file.unlink()
        folder.rmdir()
    report = bench.run()
    assert report.executed == 1
    assert computed(bench.lake, report.run) == {"views": 2}
    assert path.read_bytes() == data
    assert verify_lake(bench.lake)["damaged"] == []


def test_gc_keeps_views_and_pairs_that_are_shown_and_removes_those_that_are_not(bench):
    bench.run()
    site = Site(
        engine="serial",
        workers=1,
        key_file=bench.key,
        retention=RetentionTable(snapshots=1, runs=1, superseded_volumes="drop", superseded_results="drop"),
    )

    def swept():
        passes = [collect_garbage(bench.lake, site, Silent(), grace=timedelta(0)) for _ in range(2)]
        return {one.path for sweep in passes for one in sweep.removed if one.kind == "volume"}

    stored = {row["store"] for name in ("views", "registrations") for row in rows(bench.lake, name)} - {None}
    assert len(stored) == 4
    assert swept() == set()
    plain = RECIPE.replace("fuse = true", "fuse = false").replace("size = 32", "size = 40")
    bench.recipe.write_text(plain, encoding="utf-8")
    bench.run()
    left = {row["store"] for name in ("views", "registrations") for row in rows(bench.lake, name)} - {None}
    gone = swept()
    assert gone == stored - left
    assert len(gone) == 3
    assert_whole(bench.lake)
