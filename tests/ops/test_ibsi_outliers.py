"""Two more configurations of the standard: outliers left out, bins by number, cubic splines.

Every value of the consensus, and the mistakes that these configurations see and the others do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medpipe.kernels import resample, zones
from medpipe.ops.features import Ibsi
from tests.ops.ibsi1_values import reference_values
from tests.ops.test_ibsi_reference import FAMILIES, WITHOUT_CONSENSUS, ct_case, is_met

D = Ibsi(families=FAMILIES, round=True, resample_mm=(2.0, 2.0, 2.0), outlier_sigma=3.0, bins=32)
E = Ibsi(
    families=FAMILIES,
    round=True,
    resample_mm=(2.0, 2.0, 2.0),
    order=3,
    range=(-1000.0, 400.0),
    outlier_sigma=3.0,
    bins=32,
    ivh_bins=1000,
)
CONFIGURATIONS = {"D": D, "E": E}


def _wrong(configuration: str, found: Mapping[str, float]) -> set[str]:
    return {name for name, told in reference_values()[configuration].items() if not is_met(found[name], *told)}


@pytest.mark.data
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_every_value_with_outliers_and_splines_is_met(data_root: Path, configuration: str) -> None:
    extraction = CONFIGURATIONS[configuration]
    assert set(reference_values()[configuration]) == {column.name for column in extraction.columns} - WITHOUT_CONSENSUS
    assert len(reference_values()[configuration]) == 210
    assert _wrong(configuration, extraction(*ct_case(data_root))) == set()


@pytest.mark.data
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_distances_from_what_outliers_left_are_seen(
    data_root: Path, configuration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = zones.zones_of

    def from_intensities(padded: np.ndarray, mask: np.ndarray, /, *, in_slices: bool) -> zones.Zones:
        return right(padded, padded[1:-1, 1:-1, 1:-1] > 0, in_slices=in_slices)

    monkeypatch.setattr(zones, "zones_of", from_intensities)
    wrong = _wrong(configuration, CONFIGURATIONS[configuration](*ct_case(data_root)))
    assert len(wrong) == 10
    assert all(name.startswith("dzm_") for name in wrong)


@pytest.mark.data
def test_outliers_that_stay_and_outliers_by_half_the_width_are_seen(data_root: Path) -> None:
    for sigma in (None, 1.5):
        wrong = _wrong("D", replace(D, outlier_sigma=sigma)(*ct_case(data_root)))
        assert {"stat_min", "ih_mean", "cm_contrast_3D_avg", "dzm_sde_3D", "ngt_busyness_3D"} <= wrong


@pytest.mark.data
def test_a_range_that_is_left_out_is_seen(data_root: Path) -> None:
    assert len(_wrong("E", replace(E, range=None)(*ct_case(data_root)))) > 26


@pytest.mark.data
def test_linear_interpolation_for_splines_is_seen(data_root: Path) -> None:
    assert len(_wrong("E", replace(E, order=1)(*ct_case(data_root)))) > 100


@pytest.mark.data
def test_textures_of_a_spacing_that_is_put_right_are_seen(data_root: Path) -> None:
    volume, region = ct_case(data_root)
    rounded = replace(volume, geometry=replace(volume.geometry, spacing_mm=(3.0, 0.9765625, 0.9765625)))
    textures = {
        name for name in _wrong("D", D(rounded, region)) if name.startswith(("cm_", "rlm_", "szm_", "dzm_", "ng"))
    }
    assert len(textures) >= 26


@pytest.mark.data
def test_intensities_with_outliers_that_are_not_rounded_are_seen(data_root: Path) -> None:
    assert "stat_p90" in _wrong("D", replace(D, round=False)(*ct_case(data_root)))


@pytest.mark.data
def test_half_voxels_left_out_of_a_mask_with_outliers_are_seen(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resample, "MASK_THRESHOLD", 0.5 + 1e-6)
    assert len(_wrong("D", D(*ct_case(data_root)))) > 100
