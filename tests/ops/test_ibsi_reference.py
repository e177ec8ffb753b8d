"""The IBSI reference values, and the mistakes that must be seen by them.

Passing rule: the value, rounded to three significant digits, lies within the tolerance.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medpipe.kernels import (
    discretise,
    grid,
    intensity_histogram,
    intensity_volume,
    local_intensity,
    morphology,
    ranks,
    resample,
    zones,
)
from medpipe.ops import extract_ibsi, roi
from medpipe.ops.features import Ibsi
from medpipe.ops.ibsi_columns import Family
from medpipe.types import Geometry, Region, Volume

IN_SLICE = ("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb")
IN_SPACE = ("3D_avg", "3D_comb")
FAMILIES: tuple[Family, ...] = (
    "statistics",
    "morphology",
    "enclosing",
    "local_intensity",
    "intensity_histogram",
    "intensity_volume_histogram",
    "glcm",
    "glrlm",
    "glszm",
    "gldzm",
    "ngtdm",
    "ngldm",
)
PREFIXES = ("stat_", "morph_", "loc_", "ih_", "ivh_", "cm_", "rlm_", "szm_", "dzm_", "ngt_", "ngl_")
EXTRACTIONS = {
    "digital_phantom": Ibsi(families=FAMILIES, bin_width=1.0, range=(1.0, 6.0), aggregations=IN_SLICE + IN_SPACE),
    "ct_config_a": Ibsi(families=FAMILIES, round=True, range=(-500.0, 400.0), bin_width=25.0, aggregations=IN_SLICE),
    "ct_config_b": Ibsi(
        families=FAMILIES,
        round=True,
        resample_mm=(3.0, 2.0, 2.0),
        range=(-500.0, 400.0),
        bins=32,
        aggregations=IN_SLICE,
    ),
    "ct_config_c": Ibsi(
        families=FAMILIES,
        round=True,
        resample_mm=(2.0, 2.0, 2.0),
        range=(-1000.0, 400.0),
        bin_width=25.0,
        ivh_bin_width=2.5,
    ),
}
ROWS = {"digital_phantom": 224 + 258, "ct_config_a": 174 + 172, "ct_config_b": 174 + 172, "ct_config_c": 124 + 86}
WITHOUT_CONSENSUS = {
    "ivh_auc",
    "morph_vol_dens_ombb",
    "morph_area_dens_ombb",
    "morph_vol_dens_mvee",
    "morph_area_dens_mvee",
}


@cache
def _case(folder: Path) -> tuple[Volume, Region]:
    image, mask = (nibabel.load(folder / f"{name}.nii.gz") for name in ("image", "mask"))
    # The header keeps float32: 0.977 must not become 0.97699999.
    x, y, z = (float(str(step)) for step in image.header.get_zooms())
    data = np.rint(np.asarray(image.dataobj, dtype=np.float32)).T
    geometry = Geometry(shape=data.shape, spacing_mm=(z, y, x))
    return Volume(data=data, geometry=geometry), Region(mask=np.asarray(mask.dataobj).T > 0, name="gtv")


def ct_case(data_root: Path) -> tuple[Volume, Region]:
    """Return the CT phantom and its region."""
    return _case(data_root / "ibsi" / "ct_phantom")


def references(data_root: Path, data_set: str) -> dict[str, tuple[float, float]]:
    """Return the reference values and tolerances of a data set, of the families that are measured."""
    with (data_root / "ibsi" / f"reference_{data_set}.csv").open(newline="") as lines:
        return {
            row["tag"]: (float(row["reference_value"]), float(row["tolerance"]))
            for row in csv.DictReader(lines)
            if row["tag"].startswith(PREFIXES) and row["reference_value"] and "Diagnostics" not in row["family"]
        }


def _measured(data_root: Path, data_set: str, extraction: Ibsi) -> Mapping[str, float]:
    folder = "digital_phantom" if data_set == "digital_phantom" else "ct_phantom"
    return extraction(*_case(data_root / "ibsi" / folder))


def _wrong(data_root: Path, data_set: str, extraction: Ibsi | None = None) -> set[str]:
    return wrong_of(data_root, data_set, _measured(data_root, data_set, extraction or EXTRACTIONS[data_set]))


def is_met(found: float, value: float, tolerance: float) -> bool:
    """Tell whether a number, rounded to three significant digits, lies within the tolerance of a reference value."""
    return abs(float(f"{found:.2e}") - value) <= tolerance + 1e-9 * abs(value)


def wrong_of(data_root: Path, data_set: str, found: Mapping[str, float]) -> set[str]:
    """Return the features that miss their reference value."""
    wrong = set()
    for tag, (value, tolerance) in references(data_root, data_set).items():
        if not is_met(found[tag], value, tolerance):
            wrong.add(tag)
    return wrong


@pytest.mark.data
@pytest.mark.parametrize("data_set", EXTRACTIONS)
def test_every_reference_value_is_met(data_root: Path, data_set: str) -> None:
    expected = references(data_root, data_set)
    columns = {column.name for column in EXTRACTIONS[data_set].columns}
    assert set(expected) == columns - WITHOUT_CONSENSUS
    assert len(expected) == ROWS[data_set]
    assert _wrong(data_root, data_set) == set()


@pytest.mark.data
def test_voxel_counts_are_those_of_the_standard(data_root: Path) -> None:
    volume = _measured(data_root, "ct_config_c", Ibsi(families=("morphology",), resample_mm=(2.0, 2.0, 2.0)))
    assert volume["morph_vol_approx"] == 45985 * 8.0
    volume = _measured(data_root, "ct_config_b", Ibsi(families=("morphology",), resample_mm=(3.0, 2.0, 2.0)))
    assert volume["morph_vol_approx"] == pytest.approx(29842 * 12.0)


@pytest.mark.data
@pytest.mark.parametrize("data_set", ["ct_config_b", "ct_config_c"])
def test_a_grid_aligned_by_the_origin_is_seen(data_root: Path, data_set: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = resample.centred_axis

    def from_the_origin(size: int, /, *, spacing_mm: float, target_mm: float) -> grid.GridAxis:
        axis = right(size, spacing_mm=spacing_mm, target_mm=target_mm)
        return grid.GridAxis(count=axis.count, start=0.0, step=axis.step)

    monkeypatch.setattr(resample, "centred_axis", from_the_origin)
    assert len(_wrong(data_root, data_set)) > 10


@pytest.mark.data
@pytest.mark.parametrize("data_set", ["ct_config_b", "ct_config_c"])
def test_a_grid_aligned_by_the_corner_is_seen(data_root: Path, data_set: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = resample.centred_axis

    def from_the_corner(size: int, /, *, spacing_mm: float, target_mm: float) -> grid.GridAxis:
        axis = right(size, spacing_mm=spacing_mm, target_mm=target_mm)
        return grid.GridAxis(count=axis.count, start=0.5 * (axis.step - 1.0), step=axis.step)

    monkeypatch.setattr(resample, "centred_axis", from_the_corner)
    assert len(_wrong(data_root, data_set)) > 10


@pytest.mark.data
def test_a_mask_resampled_to_the_nearest_voxel_is_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nearest(mask: np.ndarray, axes: resample.Axes, /, *, slice_positions: tuple[float, ...] | None) -> np.ndarray:
        image = mask.astype(np.float32)
        return resample.resample(image, axes, order=0, integral=False, slice_positions=slice_positions) > 0.5

    monkeypatch.setattr(resample, "resample_mask", nearest)
    assert len(_wrong(data_root, "ct_config_c")) > 10


@pytest.mark.data
def test_half_voxels_left_out_of_the_mask_are_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resample, "MASK_THRESHOLD", 0.5 + 1e-6)
    assert "morph_sphericity" in _wrong(data_root, "ct_config_c")


@pytest.mark.data
def test_intensities_that_are_not_rounded_are_seen(data_root: Path) -> None:
    for data_set in ("ct_config_b", "ct_config_c"):
        assert "stat_p90" in _wrong(data_root, data_set, replace(EXTRACTIONS[data_set], round=False))


@pytest.mark.data
def test_bins_that_start_at_the_region_are_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = discretise.fixed_bin_size

    def from_a_multiple(values: np.ndarray, /, *, width: float, low: float) -> np.ndarray:
        return right(values, width=width, low=float(np.floor(values.min() / width) * width))

    monkeypatch.setattr(discretise, "fixed_bin_size", from_a_multiple)
    assert "cm_joint_avg_3D_avg" in _wrong(data_root, "ct_config_c")


@pytest.mark.data
def test_a_covariance_divided_by_n_is_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(morphology, "_COVARIANCE_DDOF", 0)
    assert {"morph_pca_min_axis", "morph_vol_dens_aee"} <= _wrong(data_root, "digital_phantom")


@pytest.mark.data
def test_a_spacing_that_is_put_right_is_seen(data_root: Path) -> None:
    volume, region = _case(data_root / "ibsi" / "ct_phantom")
    assert volume.geometry.spacing_mm == (3.0, 0.977, 0.977)
    rounded = replace(volume, geometry=replace(volume.geometry, spacing_mm=(3.0, 0.9765625, 0.9765625)))
    found = {data_set: EXTRACTIONS[data_set](rounded, region) for data_set in ("ct_config_b", "ct_config_c")}
    assert len(wrong_of(data_root, "ct_config_b", found["ct_config_b"])) > 26
    assert {"stat_max", "loc_peak_loc"} <= wrong_of(data_root, "ct_config_c", found["ct_config_c"])


@pytest.mark.data
def test_a_peak_that_sees_the_region_alone_is_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = local_intensity.intensity_peaks

    def inside(image: np.ndarray, region: np.ndarray, /, *, box: roi.Box, spacing_mm: roi.Spacing) -> dict[str, float]:
        alone = np.full(image.shape, np.nan)
        alone[box][region] = image[box][region]
        return right(alone, region, box=box, spacing_mm=spacing_mm)

    monkeypatch.setattr(local_intensity, "intensity_peaks", inside)
    assert "loc_peak_loc" in _wrong(data_root, "digital_phantom")


@pytest.mark.data
def test_a_histogram_of_the_levels_that_occur_alone_is_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = intensity_histogram.histogram_features

    def sparse(levels: np.ndarray, /) -> dict[str, float]:
        return right(np.unique(levels, return_inverse=True)[1] + 1)

    monkeypatch.setattr(intensity_histogram, "histogram_features", sparse)
    assert {"ih_max_grad", "ih_mean"} <= _wrong(data_root, "digital_phantom")


@pytest.mark.data
def test_a_volume_histogram_over_what_occurs_alone_is_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = intensity_volume.volume_features

    def narrow(values: np.ndarray, /, *, low: float, high: float, step: float) -> dict[str, float]:
        del low, high
        return right(values, low=float(values.min()), high=float(values.max()), step=step)

    monkeypatch.setattr(intensity_volume, "volume_features", narrow)
    assert {"ivh_v10", "ivh_diff_v10_v90"} <= _wrong(data_root, "ct_config_c")


@pytest.mark.data
def test_distances_to_the_outside_of_what_intensities_left_are_seen(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = zones.zones_of

    def from_intensities(padded: np.ndarray, mask: np.ndarray, /, *, in_slices: bool) -> zones.Zones:
        return right(padded, padded[1:-1, 1:-1, 1:-1] > 0, in_slices=in_slices)

    monkeypatch.setattr(zones, "zones_of", from_intensities)
    wrong = _wrong(data_root, "ct_config_a")
    assert len(wrong) > 10
    assert all(tag.startswith("dzm_") for tag in wrong)


@pytest.mark.data
def test_zones_in_space_that_stay_within_their_slice_are_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = zones.zones_of

    def within_slices(padded: np.ndarray, mask: np.ndarray, /, *, in_slices: bool) -> zones.Zones:
        return right(padded, mask, in_slices=True)

    monkeypatch.setattr(zones, "zones_of", within_slices)
    assert {tag[:4] for tag in _wrong(data_root, "ct_config_c")} == {"szm_", "dzm_"}


@pytest.mark.data
def test_levels_counted_from_the_lowest_that_occurs_are_seen(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = ranks.ranks_of

    def by_rank(levels: np.ndarray, /) -> ranks.Ranks:
        made = right(levels)
        return ranks.Ranks(padded=made.padded, levels=np.arange(1.0, made.levels.size + 1.0))

    monkeypatch.setattr(extract_ibsi, "ranks_of", by_rank)
    wrong = _wrong(data_root, "digital_phantom")
    # The phantom has levels 1, 3, 4 and 6.
    assert {tag.split("_")[0] for tag in wrong} == {"cm", "rlm", "szm", "dzm", "ngt", "ngl"}
