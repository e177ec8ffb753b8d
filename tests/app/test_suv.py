"""Uptake through a whole run: what is stored and told, and what a corrected header costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from medpipe.lake.lake import Lake
from medpipe.lake.volumes import read_volume
from tests.app.conftest import write_key
from tests.app.runs import Bench, computed, rows
from tests.archive.conftest import to_bytes
from tests.archive.pets import DOSE_BQ, HALF_LIFE_S, WEIGHT_KG, injection, pet

RECIPE = """
name = "uptake"

[[route]]
name = "pet"
where = { modality = "PT" }
image = [ { op = "suv" } ]
regions = [ { op = "hot", fraction = 0.01 } ]
features = [
    { name = "raw", op = "ibsi", families = ["statistics"] },
    { name = "uptake", op = "ibsi", families = ["statistics"], image = "final" },
]
keep = [ "original", "final" ]
"""
PLAIN = WEIGHT_KG * 1000 / (DOSE_BQ * 0.5 ** (3600 / HALF_LIFE_S))


@pytest.fixture
def empty(tmp_path: Path, home: Path) -> Bench:
    """Return a recipe, an archive that holds nothing yet, and a lake that does not exist yet."""
    recipe, archive = tmp_path / "uptake.toml", tmp_path / "archive"
    recipe.write_text(RECIPE, encoding="utf-8")
    archive.mkdir()
    return Bench(archive=archive, lake=tmp_path / "lake", key=write_key(home), recipe=recipe)


def write(bench: Bench, slices) -> None:
    for place, one in enumerate(slices):
        (bench.archive / f"{place}.dcm").write_bytes(to_bytes(one))


def change(bench: Bench, **elements) -> None:
    for path in bench.archive.iterdir():
        image = pydicom.dcmread(path)
        for keyword, value in elements.items():
            setattr(image, keyword, value)
        image.save_as(path)


def images(bench: Bench):
    """Return the one volume's row, its values, and its uptake or None."""
    (row,) = rows(bench.lake, "volumes")
    lake = Lake.open(bench.lake)
    final = None if row["final_store"] is None else read_volume(lake, row["final_store"])
    return row, read_volume(lake, row["store"]), final


def means(bench: Bench) -> dict[str, float]:
    return {row["extraction"]: row["stat_mean"] for row in rows(bench.lake, "features")}


def test_uptake_is_stored_measured_and_told_and_a_corrected_weight_makes_it_anew_alone(empty):
    write(empty, pet(4))
    empty.run()
    row, original, final = images(empty)
    expected = (original.data.astype(np.float64) * row["suv_factor"][0]).astype(np.float32)
    assert row["suv_factor"] == pytest.approx([PLAIN], rel=1e-6)
    assert (row["suv_code"], row["suv_flags"], row["unit"], final.unit) == (None, [], "BQML", "g/mL")
    np.testing.assert_array_equal(final.data, expected)
    before = means(empty)
    assert before["uptake"] / before["raw"] == pytest.approx(PLAIN, rel=1e-6)

    change(empty, PatientWeight=2 * WEIGHT_KG)
    report = empty.run()
    assert computed(empty.lake, report.run) == {"volume": 1, "features": 1}
    after = means(empty)
    assert after["raw"] == before["raw"]
    assert after["uptake"] == pytest.approx(2 * before["uptake"], rel=1e-6)

    change(empty, PatientSize=1.6, StudyDescription="another text")
    report = empty.run()
    assert (report.executed, computed(empty.lake, report.run)) == (1, {})
    assert empty.run().executed == 0


def test_a_pet_that_cannot_become_uptake_yields_the_rest_and_a_code(empty):
    write(empty, pet(4, RadiopharmaceuticalInformationSequence=injection(RadionuclideTotalDose=0)))
    empty.run()
    row, _, final = images(empty)
    assert (row["suv_factor"], row["suv_code"], final) == (None, "E_SUV_NO_DOSE", None)
    assert set(means(empty)) == {"raw"}
    told = {(one["stage"], one["code"], one["severity"]) for one in rows(empty.lake, "quarantine")}
    assert told == {("image", "E_SUV_NO_DOSE", "error"), ("features", "E_SUV_NO_DOSE", "error")}

    # the same cases run again once the header is right, and the raw features are kept
    change(empty, RadiopharmaceuticalInformationSequence=injection())
    report = empty.run()
    assert computed(empty.lake, report.run) == {"volume": 1, "features": 1}
    assert images(empty)[2].unit == "g/mL"
    assert rows(empty.lake, "quarantine") == []


def test_weights_doses_and_times_are_in_no_table_and_no_open_file(empty):
    planted = {"PatientWeight": 71.234567, "PatientSize": 1.8765432}
    sequence = injection(RadionuclideTotalDose=371234567, RadiopharmaceuticalStartDateTime="20250101095432.98")
    write(empty, pet(4, **planted, RadiopharmaceuticalInformationSequence=sequence))
    empty.run()
    needles = [b"71.2345", b"1.87654", b"371234567", b"095432", b"20250101"]
    texts = [
        repr(rows(empty.lake, name)).encode() for name in ("series", "volumes", "instances", "quarantine", "features")
    ]
    opened = [path for path in empty.lake.rglob("*") if path.is_file() and "private" not in path.parts]
    for data in [*texts, *(path.read_bytes() for path in opened)]:
        assert not [needle for needle in needles if needle in data]
