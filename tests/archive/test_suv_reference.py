"""Uptake of real and reference PET series against the values published with them."""

from __future__ import annotations

import csv

import nibabel
import numpy as np
import pytest

from medpipe.ops.suv import Suv
from tests.archive.conftest import Archive

pytestmark = pytest.mark.data


def loaded(folder):
    """Return the PET of a folder, its stack, and the largest rescale slope."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    archive = Archive(files)
    index = next(place for place, stack in enumerate(archive.assembly.stacks) if stack.modality == "PT")
    stack = archive.assembly.stacks[index]
    volume, _ = archive.load(index)
    return volume, stack, max(archive.headers[path].top.slope for path in stack.paths)


def test_the_reference_objects_have_their_published_uptake(data_root):
    with (data_root / "suv" / "expected_suv.csv").open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    assert expected
    for row in expected:
        folder = data_root / row["series_folder"]
        volume, stack, slope = loaded(folder)
        uptake = Suv()(volume)
        mask = np.asarray(nibabel.load(data_root / "suv" / f"{folder.name}_DRO_mask.nii.gz").dataobj).T > 0
        inside = uptake.data[mask]
        half_a_quantum = 0.5 * slope * stack.suv.by_kind["bw"][0]
        tolerance = max(0.005, half_a_quantum)
        found = float(inside.min()), float(np.median(inside)), float(inside.max())
        published = tuple(float(row[name]) for name in ("suv_min", "suv_median", "suv_max"))
        assert found == pytest.approx(published, abs=tolerance), folder.name
        assert uptake.unit == "g/mL"


@pytest.mark.parametrize(
    ("patient", "lean"),
    # a woman of 80 kg and 163 cm, a man of 65 kg and 170 cm: lean mass over weight
    [("STS_003", 1.07 - 148 * 80 / 163**2), ("STS_024", 1.10 - 120 * 65 / 170**2)],
)
def test_series_in_uptake_stay_as_they_are_and_have_a_lean_mass(data_root, patient, lean):
    volume, _, _ = loaded(data_root / "archive" / "onc" / patient)
    np.testing.assert_array_equal(Suv()(volume).data, volume.data)
    np.testing.assert_allclose(Suv(kind="lbm")(volume).data, volume.data * lean, rtol=2e-7)
