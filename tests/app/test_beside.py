"""Features of a PET on a CT through whole runs: plan, tables, dictionary, explain, scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.app.explain import explain_key
from medpipe.app.fit import FitRequest, fit_standard
from medpipe.app.prepare import plan_run
from medpipe.app.progress import Silent
from medpipe.errors import ConfigError
from medpipe.lake.lake import Lake
from medpipe.lake.volumes import read_volume
from tests.app.conftest import write_key
from tests.app.runs import Bench, assert_whole, computed, rows
from tests.app.test_companion_images import change, ct, itk, write
from tests.archive.conftest import uid
from tests.archive.pets import WEIGHT_KG, pet

RECIPE = """
name = "beside"

[[route]]
name = "ct"
where = { modality = "CT" }
regions = [ { op = "body", opening_mm = 0.0 }, { op = "hot", name = "avid", image = "pet", fraction = 0.7 } ]
features = [
    { name = "uptake", op = "ibsi", families = ["statistics"], image = "pet" },
    { name = "voxels", op = "ibsi", families = ["statistics"], image = "pet", grid = "companion" },
    { name = "density", op = "ibsi", families = ["statistics"] },
    { name = "marks", op = "landmarks", image = "pet" },
]

[[route.companions]]
name = "pet"
where = { modality = "PT" }
image = [ { op = "suv" } ]

[[route]]
name = "rest"
"""


@pytest.fixture
def bench(tmp_path: Path, home: Path) -> Bench:
    """Return an archive of a CT and a PET of one frame of reference, and a recipe that measures both."""
    recipe, archive = tmp_path / "beside.toml", tmp_path / "archive"
    recipe.write_text(RECIPE, encoding="utf-8")
    archive.mkdir()
    bench = Bench(archive=archive, lake=tmp_path / "lake", key=write_key(home), recipe=recipe)
    write(bench, ct=ct(), pet=pet(4))
    return bench


def uptake_on(lake, first, second):
    """Return the uptake on the grid of another volume as SimpleITK resamples it, and that of the PET's own voxels."""
    image, other = (read_volume(Lake.open(lake), row["store"]) for row in (first, second))
    resampled = sitk.Resample(itk(other), itk(image), sitk.Transform(), sitk.sitkLinear, np.nan)
    factor = second["suv_factor"][0]
    return image.data, sitk.GetArrayFromImage(resampled) * factor, other.data * factor


def test_the_uptake_of_a_region_stands_beside_its_density_and_is_explained(bench):
    planned = plan_run(bench.request(), Silent())
    assert planned["products to compute (at most)"]["features"] == 8
    assert planned["features to compute (at most)"]["ct uptake"] == 2
    bench.run()
    volumes = {row["modality"]: row for row in rows(bench.lake, "volumes")}
    density, uptake, voxels = uptake_on(bench.lake, volumes["CT"], volumes["PT"])
    regions = {row["name"]: row for row in rows(bench.lake, "regions")}
    found = {(row["region"], row["extraction"]): row for row in rows(bench.lake, "features")}
    assert {(row["image"], name) for (_, name), row in found.items()} == {
        ("pet", "uptake"), ("pet", "voxels"), ("original", "density"), ("pet", "marks")
    }  # fmt: skip

    # the body of the CT is a block of bright values; half of its border voxels lie beyond the PET
    body = density > -500
    assert regions["body"]["n_voxels"] == body.sum()
    seen = body & np.isfinite(uptake)
    row = found["body", "uptake"]
    assert (row["status"], row["code"]) == ("flagged", "W_BEYOND" if seen.sum() < body.sum() else "W_ALIGNED")
    assert row["stat_mean"] == pytest.approx(uptake[seen].mean(), rel=1e-5)
    assert row["stat_max"] == pytest.approx(uptake[seen].max(), rel=1e-5)
    assert found["body", "density"]["stat_mean"] == pytest.approx(density[body].mean(), rel=1e-5)
    own = found["body", "voxels"]
    assert np.isclose(own["stat_max"], voxels, rtol=1e-6).any()
    assert own["stat_max"] >= row["stat_max"] * (1 - 1e-6)

    avid = found["avid", "uptake"]
    assert avid["stat_min"] >= 0.7 * np.nanmax(uptake) * (1 - 1e-5)
    assert avid["stat_max"] == pytest.approx(np.nanmax(uptake), rel=1e-5)

    dictionary = {(row["extraction"], row["name"]): row for row in rows(bench.lake, "feature_dictionary")}
    assert dictionary["uptake", "stat_mean"]["unit"] == "g/mL"
    assert dictionary["density", "stat_mean"]["unit"] == "image"

    facts = explain_key(bench.lake, regions["avid"]["region_key"], column="stat_mean")
    told = facts["features"]["uptake"]
    assert (told["image"], told["value"], told["code"]) == ("pet", avid["stat_mean"], avid["code"])
    assert told["dictionary"]["image"] == "pet"
    shown = facts["companion images"]["pet"]
    assert shown["volume_key"] == volumes["PT"]["volume_key"]
    assert (shown["measured by"], shown["regions found on it"]) == (["uptake", "voxels", "marks"], ["avid"])
    assert_whole(bench.lake)
    with pytest.raises(ConfigError, match="companion image 'pet'"):
        fit_standard(FitRequest(lake=bench.lake, recipe="beside", extraction="marks", name="pets"))


def test_another_uptake_makes_anew_what_stands_on_it_and_a_refused_pair_has_codes_and_no_rows(bench):
    bench.run()
    before = {(row["region"], row["extraction"]): row["stat_mean"] for row in rows(bench.lake, "features")}
    assert bench.run().executed == 0
    change(bench, "pet", PatientWeight=2 * WEIGHT_KG)
    # the region of the PET is found again, and what is measured of it and of the PET
    assert computed(bench.lake, bench.run().run) == {"registrations": 1, "regions": 1, "features": 7}
    after = {(row["region"], row["extraction"]): row["stat_mean"] for row in rows(bench.lake, "features")}
    assert after["body", "uptake"] == pytest.approx(2 * before["body", "uptake"], rel=1e-6)
    assert after["body", "density"] == before["body", "density"]

    change(bench, "pet", FrameOfReferenceUID=uid("another frame"))
    bench.run()
    found = {(row["region"], row["extraction"]) for row in rows(bench.lake, "features")}
    assert found == {("body", "density")}
    told = {(row["stage"], row["code"]) for row in rows(bench.lake, "quarantine")}
    assert told == {(stage, "E_FRAME") for stage in ("registrations", "regions", "features")}
    (pair,) = rows(bench.lake, "registrations")
    shown = explain_key(bench.lake, pair["volume_key"])["companion images"]["pet"]
    assert (shown["status"], shown["code"]) == ("refused", "E_FRAME")
    assert shown["measured by"] == ["uptake", "voxels", "marks"]


PHANTOMS = """
name = "phantoms"

[[route]]
name = "ct"
where = { modality = "CT", min_slices = 30 }
regions = [ { op = "hot", name = "avid", image = "pet" } ]
features = [
    { name = "uptake", op = "ibsi", families = ["statistics"], image = "pet", grid = "companion" },
    { name = "aligned", op = "ibsi", families = ["statistics"], image = "pet" },
]

[[route.companions]]
name = "pet"
where = { modality = "PT" }
image = [ { op = "suv" } ]
"""


def test_the_uptake_that_a_phantom_was_made_with_is_found_on_its_ct(phantoms, tmp_path, home):
    recipe = tmp_path / "phantoms.toml"
    recipe.write_text(PHANTOMS, encoding="utf-8")
    bench = Bench(archive=phantoms, lake=tmp_path / "lake", key=write_key(home), recipe=recipe)
    bench.run()
    truth = json.loads((phantoms.parent / "truth" / "truth.json").read_text(encoding="ascii"))
    hottest = {
        next(one["spacing_mm"][0] for one in study["series"] if one["role"] == "ct"): study["pet"]["spheres"][2]["suv"]
        for study in truth["studies"]
    }
    volumes = {row["volume_key"]: row for row in rows(bench.lake, "volumes", route="ct")}
    assert len(volumes) == len(hottest) == 2
    for key, volume in volumes.items():
        of_avid = {row["extraction"]: row for row in rows(bench.lake, "features", volume_key=key)}
        # the phantom's spheres have edges; what lies between voxels smooths them
        made_with = hottest[volume["spacing_mm"][0]]
        assert of_avid["uptake"]["stat_mean"] == pytest.approx(made_with, rel=2e-3)
        assert of_avid["aligned"]["stat_mean"] < 0.9 * made_with
        assert [of_avid[name]["code"] for name in ("uptake", "aligned")] == [None, "W_ALIGNED"]
