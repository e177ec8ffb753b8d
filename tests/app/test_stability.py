"""A cohort measured perturbed: its rows, that they repeat, and how well they agree."""

from __future__ import annotations

import csv
from collections import Counter

import nibabel
import numpy as np
import pytest
from scipy import ndimage

import medpipe
from medpipe.app.prepare import RunRequest, plan_run
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.cli.main import run
from medpipe.contracts.tables import PERTURBED_KEYS
from medpipe.errors import ConfigError
from tests.app.runs import rows
from tests.kernels.test_agreement import by_hand

CASES = 4
TIMES = 3
RECIPE = """
name = "stable"
[[route]]
name = "image"
regions = [ { op = "segmentation_objects" } ]
features = [
    { name = "fine", op = "ibsi", families = ["statistics", "intensity_histogram"], bins = 32 },
    { name = "coarse", op = "ibsi", families = ["statistics", "intensity_histogram"], bins = 4 },
]
[[route.perturb]]
name = "moved"
times = 3
steps = [ { op = "rotate" }, { op = "shift" }, { op = "noise", sd = 4.0 }, { op = "grow" }, { op = "contour" } ]
[[route.perturb]]
name = "still"
times = 2
steps = [ { op = "shift", voxels = [0, 0, 1e-9] } ]
features = [ "coarse" ]
"""


def write_cases(folder):
    """Write images whose regions differ more from each other than a perturbation makes of one, and their list."""
    rng = np.random.default_rng(3)
    lines = [("ID", "Image", "Mask")]
    for number in range(CASES):
        noise = ndimage.gaussian_filter(rng.normal(size=(6, 20, 22)), 1.0)
        labels = np.zeros(noise.shape, np.uint8)
        labels[1:5, 5:15, 6:16] = 1
        image = noise * 50.0 * (number + 1) + 200.0 * (labels > 0) + 40.0 * number
        affine = np.diag([1.0, 1.0, 2.0, 1.0])
        for name, data in (("image", image.astype(np.float32)), ("mask", labels)):
            nibabel.save(nibabel.Nifti1Image(data.T, affine), folder / f"{name}{number}.nii.gz")
        lines.append((str(number), f"image{number}.nii.gz", f"mask{number}.nii.gz"))
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    return folder / "cases.csv"


def request_in(folder, cases, text=RECIPE, lake="lake"):
    recipe, key = folder / "recipe.toml", folder / "key"
    recipe.write_text(text, encoding="utf-8")
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text("ab" * 32, encoding="ascii")
    site = Site().model_copy(update={"engine": "serial", "workers": 1, "key_file": key})
    return RunRequest(recipe=str(recipe), archives=(cases,), lake=folder / lake, site=site)


def run_in(folder, cases, text=RECIPE, lake="lake"):
    return run_archive(request_in(folder, cases, text, lake), Silent())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stability")
    cases = write_cases(folder)
    run_in(folder, cases)
    return folder, cases


def perturbed(folder, lake="lake"):
    return rows(folder / lake, "perturbed")


def test_each_time_is_a_row_beside_the_row_of_the_image_as_it_is(place):
    folder, _ = place
    found = perturbed(folder)
    counted = Counter((row["extraction"], row["perturbation"], row["number"]) for row in found)
    expected = [(name, "moved", number) for name in ("fine", "coarse") for number in range(1, TIMES + 1)]
    expected += [("coarse", "still", number) for number in (1, 2)]
    assert counted == dict.fromkeys(expected, CASES)
    assert list(found[0])[: len(PERTURBED_KEYS)] == [field.name for field in PERTURBED_KEYS]
    assert len(rows(folder / "lake", "features")) == 2 * CASES
    assert {row["status"] for row in found} == {"ok"}
    homes = {row["region_key"] for row in rows(folder / "lake", "regions")}
    assert {row["region_key"] for row in found} == homes


def test_times_differ_from_each_other_and_extractions_see_the_same_images(place):
    by_place = {
        (row["region_key"], row["extraction"], row["number"]): row["stat_mean"]
        for row in perturbed(place[0])
        if row["perturbation"] == "moved"
    }
    for key, extraction, number in by_place:
        assert by_place[key, "fine", number] == by_place[key, "coarse", number]
        others = {by_place[key, extraction, other] for other in range(1, TIMES + 1)}
        assert len(others) == TIMES


def test_a_perturbation_of_nothing_measures_what_is_there(place):
    folder, _ = place
    plain = {row["region_key"]: row for row in rows(folder / "lake", "features") if row["extraction"] == "coarse"}
    for row in perturbed(folder):
        if row["perturbation"] == "still":
            assert row["stat_mean"] == pytest.approx(plain[row["region_key"]]["stat_mean"], rel=1e-6)


def test_every_number_is_made_again_in_another_lake_and_by_another_recipe(place):
    folder, cases = place
    before = perturbed(folder)
    run_in(folder, cases, lake="again")
    assert perturbed(folder, "again") == before
    kept = RECIPE.replace('name = "fine"', 'name = "other"').replace("bins = 32", "bins = 5")
    run_in(folder, cases, text=kept.replace('name = "stable"', 'name = "else"'), lake="else")
    moved = [row["stat_mean"] for row in before if (row["extraction"], row["perturbation"]) == ("fine", "moved")]
    found = [
        row["stat_mean"]
        for row in perturbed(folder, "else")
        if (row["extraction"], row["perturbation"]) == ("other", "moved")
    ]
    assert found == moved


def test_the_same_run_again_does_nothing_and_more_times_leave_the_rest(place):
    folder, cases = place
    assert run_in(folder, cases).executed == 0
    changed = RECIPE.replace("times = 2", "times = 4")
    planned = plan_run(request_in(folder, cases, changed), Silent())
    assert planned["changed in the recipe"] == ["route image, perturb still: times 2 -> 4"]
    run_in(folder, cases, text=changed)
    assert {row["features_made"] for row in rows(folder / "lake", "cases")} == {0}
    assert len([row for row in perturbed(folder) if row["perturbation"] == "still"]) == 4 * CASES
    run_in(folder, cases)


def test_agreement_is_that_of_the_rows(place):
    folder, _ = place
    found = {
        (row["extraction"], row["perturbation"], row["feature"]): row
        for row in medpipe.open_lake(folder / "lake").stability(recipe="stable").to_pylist()
    }
    features = len(rows(folder / "lake", "feature_dictionary")) // 2
    assert len(found) == 3 * features
    measured = perturbed(folder)
    for feature in ("stat_mean", "stat_p90", "ih_entropy"):
        subjects = {}
        for row in measured:
            if (row["extraction"], row["perturbation"]) == ("fine", "moved"):
                subjects.setdefault(row["region_key"], []).append(row[feature])
        expected = by_hand(np.array(list(subjects.values())))
        row = found["fine", "moved", feature]
        assert (row["subjects"], row["repeats"], row["region"]) == (CASES, TIMES, "roi_1")
        assert {kind: row[f"icc_{kind}"] for kind in expected} == pytest.approx(expected, rel=1e-6), feature
        assert row["icc_1_1_lower"] < row["icc_1_1"] < row["icc_1_1_upper"]
    assert found["fine", "moved", "stat_mean"]["icc_1_1"] > 0.8
    assert found["coarse", "still", "stat_mean"]["icc_3_1"] == pytest.approx(1.0)


def test_the_command_writes_the_table(place, tmp_path, capsys):
    out = tmp_path / "stability.csv"
    assert run(["stability", str(place[0] / "lake"), "-r", "stable", "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    with out.open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert {"extraction", "feature", "icc_1_1", "icc_3_1", "icc_3_1_upper"} <= set(table[0])
    assert "ih_entropy" in printed


def test_a_run_without_perturbations_has_an_empty_table_and_no_agreement(place):
    folder, cases = place
    run_in(folder, cases, text=RECIPE[: RECIPE.index("[[route.perturb]]")], lake="plain")
    assert perturbed(folder, "plain") == []
    with pytest.raises(ConfigError, match="nothing was measured perturbed"):
        medpipe.open_lake(folder / "plain").stability()


def test_two_settings_of_one_image_stand_side_by_side_by_their_names(place):
    folder, _ = place
    found = rows(folder / "lake", "features")
    by_region = {}
    for row in found:
        by_region.setdefault(row["region_key"], {})[row["extraction"]] = row
    assert len(by_region) == CASES
    for both in by_region.values():
        assert set(both) == {"fine", "coarse"}
        assert both["fine"]["stat_mean"] == both["coarse"]["stat_mean"]
        assert both["fine"]["ih_entropy"] > both["coarse"]["ih_entropy"]
        assert both["fine"]["extraction_digest"] != both["coarse"]["extraction_digest"]
    told = {
        (row["extraction"], row["name"]): row["discretisation"] for row in rows(folder / "lake", "feature_dictionary")
    }
    assert told["fine", "ih_entropy"] == "fixed bin number 32"
    assert told["coarse", "ih_entropy"] == "fixed bin number 4"
