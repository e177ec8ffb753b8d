from __future__ import annotations

import math
import re
import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import local_binary_pattern

from medpipe.contracts.protocols import Extractor
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.grid import MASK_THRESHOLD, centred_axis
from medpipe.ops.features import Ibsi, Lbp
from medpipe.ops.ibsi_columns import Family
from medpipe.ops.parameters import build, changed, json_schema
from medpipe.ops.registry import spec_of
from medpipe.types import Geometry, Region, Volume

IN_SLICE = ("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb")
ALL = (*IN_SLICE, "3D_avg", "3D_comb")
FULL = Ibsi(bins=16, aggregations=ALL)
INTENSITY: tuple[Family, ...] = ("enclosing", "local_intensity", "intensity_histogram", "intensity_volume_histogram")
OF_INTENSITY = Ibsi(families=INTENSITY, bins=16, ivh_bins=100)
MATRICES = ("glrlm", "glszm", "gldzm", "ngtdm", "ngldm")
TEXTURE = Ibsi(families=MATRICES, bins=16, aggregations=ALL)


def _volume(data: np.ndarray, spacing_mm: tuple[float, float, float] | None = (2.0, 2.0, 2.0)) -> Volume:
    return Volume(data=data.astype(np.float32), geometry=Geometry(shape=data.shape, spacing_mm=spacing_mm))


def _tissue(shape: tuple[int, int, int] = (18, 20, 22), seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0.0, 1.0, shape)
    return np.rint(ndimage.gaussian_filter(noise, 1.5) * 400.0)


def _blob(shape: tuple[int, int, int] = (18, 20, 22)) -> np.ndarray:
    z, y, x = np.ogrid[tuple(slice(size) for size in shape)]
    return ((z - 8) / 5.0) ** 2 + ((y - 9) / 7.0) ** 2 + ((x - 10) / 6.0) ** 2 <= 1.0


def _measure(extraction: Extractor, data: np.ndarray, mask: np.ndarray, **spacing: object) -> dict[str, float]:
    return dict(extraction(_volume(data, **spacing), Region(mask=mask, name="roi_1")))  # type: ignore[arg-type]


def _of(family: str, values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name.startswith(family)}


# parameters and columns


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"bins": 32, "bin_width": 25.0},
        {"bins": 32, "families": []},
        {"bins": 32, "families": ["glcm", "glcm"]},
        {"bins": 32, "families": ["zones"]},
        {"families": ["statistics", "ngtdm"]},
        {"bins": 32, "aggregations": []},
        {"bins": 32, "range": [400, -1000]},
        {"bins": 32, "order": 2},
        {"bins": 1},
        {"bin_width": 0.0},
        {"bins": 32, "resample_mm": [1, 1]},
        {"bins": 32, "resample_mm": [-1, 1, 1]},
        {"bins": 32, "resample_mm": [0, 0, 0]},
        {"families": ["intensity_histogram"]},
        {"families": ["intensity_volume_histogram"], "ivh_bins": 100, "ivh_bin_width": 1.0},
    ],
)
def test_parameters_that_do_not_fit_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"route\.0\.features\.0"):
        build(Ibsi, given, "route.0.features.0")


def test_a_recipe_table_becomes_an_extraction_and_back() -> None:
    given = {"resample_mm": [1, 1, 1], "range": [-1000, 400], "bin_width": 25, "families": ["statistics", "glcm"]}
    made = build(Ibsi, given, "x")
    assert made == Ibsi(
        resample_mm=(1.0, 1.0, 1.0), range=(-1000.0, 400.0), bin_width=25.0, families=("statistics", "glcm")
    )
    assert build(Ibsi, changed(made), "x") == made
    assert set(json_schema(Ibsi)["properties"]) >= {"families", "bins", "round", "range"}


def test_columns_are_known_by_the_tags_and_codes_of_the_standard() -> None:
    columns = FULL.columns
    assert len(columns) == 18 + 25 + 6 * 25
    assert len({column.name for column in columns}) == len(columns)
    assert all(re.fullmatch(r"[0-9A-Z]{4}", column.ibsi) for column in columns)
    assert len({column.ibsi for column in columns}) == 18 + 25 + 25
    by_name = {column.name: column for column in columns}
    assert (by_name["stat_mean"].ibsi, by_name["stat_mean"].unit) == ("Q4LE", "image")
    assert (by_name["morph_volume"].ibsi, by_name["morph_volume"].unit) == ("RNU0", "mm3")
    assert (by_name["cm_joint_max_3D_avg"].ibsi, by_name["cm_joint_max_3D_avg"].aggregation) == ("GYBY", "3D_avg")


def test_texture_has_a_column_for_each_aggregation_that_its_matrices_know() -> None:
    columns = TEXTURE.columns
    assert len(columns) == 6 * 16 + 3 * (16 + 16 + 5 + 17)
    assert len({column.name for column in columns}) == len(columns)
    every = FULL.columns + columns
    assert len({column.ibsi for column in every}) == 18 + 25 + 25 + 16 + 16 + 16 + 5 + 17
    by_name = {column.name: column for column in columns}
    told = {
        "rlm_rl_entr_2_5D_comb": "HJ9O",
        "szm_sze_3D": "5QRC",
        "dzm_zd_entr_2D": "GBDU",
        "ngl_dc_energy_2_5D": "CAS9",
    }
    assert {name: by_name[name].ibsi for name in told} == told
    assert (by_name["ngt_busyness_3D"].family, by_name["ngt_busyness_3D"].aggregation) == ("ngtdm", "3D")
    default = [column.name for column in Ibsi(bins=8, families=("ngtdm",)).columns]
    assert default == [f"ngt_{name}_3D" for name in ("coarseness", "contrast", "busyness", "complexity", "strength")]


@pytest.mark.parametrize("family", MATRICES)
def test_a_family_alone_has_the_values_it_has_among_others(family: str) -> None:
    alone = _measure(Ibsi(families=(family,), bins=16, aggregations=ALL), _tissue(), _blob())
    among = _measure(TEXTURE, _tissue(), _blob())
    assert alone == {name: among[name] for name in alone}


def test_columns_do_not_depend_on_the_order_of_families() -> None:
    one, other = Ibsi(bins=8, families=("glcm", "statistics")), Ibsi(bins=8, families=("statistics", "glcm"))
    assert repr(one.columns) == repr(other.columns)


def test_an_extraction_says_how_levels_are_made_and_whether_it_keeps_to_the_standard() -> None:
    told = {
        Ibsi(bins=32): ("fixed bin number 32", "ibsi"),
        Ibsi(bin_width=25.0, range=(-1000.0, 400.0)): ("fixed bin size 25 from -1000", "ibsi"),
        Ibsi(bin_width=25.0): ("fixed bin size 25 from the region's minimum", "deviates"),
        Ibsi(bin_width=25.0, families=("gldzm",)): ("fixed bin size 25 from the region's minimum", "deviates"),
        Ibsi(families=("statistics",)): ("", "ibsi"),
        Ibsi(families=("local_intensity", "intensity_volume_histogram")): ("", "ibsi"),
        Ibsi(families=("intensity_histogram",), bin_width=25.0): (
            "fixed bin size 25 from the region's minimum",
            "deviates",
        ),
        Ibsi(families=("intensity_volume_histogram",), ivh_bin_width=2.5): ("", "deviates"),
    }
    assert {op: (op.discretisation, op.compliance) for op in told} == told
    assert (Lbp().discretisation, Lbp().compliance) == ("", "none")


def test_each_family_says_how_its_levels_are_made() -> None:
    op = Ibsi(families=(*INTENSITY, "statistics", "glcm", "ngtdm"), bins=32, range=(0.0, 10.0), ivh_bin_width=0.1)
    assert {family: op.discretisation_of(family) for family in op.families} == {
        "enclosing": "",
        "local_intensity": "",
        "intensity_histogram": "fixed bin number 32",
        "intensity_volume_histogram": "fixed bin size 0.1 from 0",
        "statistics": "",
        "glcm": "fixed bin number 32",
        "ngtdm": "fixed bin number 32",
    }
    assert Ibsi(bins=8).discretisation_of("intensity_volume_histogram") == "intensities in steps of 1"


def test_intensities_of_a_volume_histogram_in_bins_by_number_have_no_unit() -> None:
    units = {
        op.ivh_bins: {column.unit for column in op.columns if column.name in ("ivh_i10", "ivh_i90", "ivh_diff_i10_i90")}
        for op in (OF_INTENSITY, replace(OF_INTENSITY, ivh_bins=None))
    }
    assert units == {100: {"1"}, None: {"image"}}


def test_an_extraction_of_the_old_families_keeps_its_digest() -> None:
    assert spec_of(Ibsi(bins=32)) == {"op": "ibsi", "version": 2, "bins": 32}
    names = [column.name for column in Ibsi(bins=32).columns]
    assert len(names) == 18 + 25 + 2 * 25
    assert not any(name.startswith(("loc_", "ih_", "ivh_")) or name.endswith(("ombb", "mvee")) for name in names)


@pytest.mark.parametrize("extraction", [FULL, OF_INTENSITY, TEXTURE, Lbp()])
def test_an_extractor_keeps_the_protocol(extraction: Extractor) -> None:
    assert isinstance(extraction, Extractor)
    values = _measure(extraction, _tissue(), _blob())
    assert list(values) == [column.name for column in extraction.columns]
    assert all(type(value) is float for value in values.values())


@pytest.mark.parametrize("extraction", [FULL, OF_INTENSITY, TEXTURE])
def test_values_lie_within_the_range_of_their_column(extraction: Ibsi) -> None:
    for seed in range(3):
        values = _measure(extraction, _tissue(seed=seed), _blob())
        for column in extraction.columns:
            value = values[column.name]
            assert math.isfinite(value), column.name
            assert math.isnan(column.low) or value >= column.low - 1e-12, column.name
            assert math.isnan(column.high) or value <= column.high + 1e-12, column.name


# laws


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (0, 2)])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_changes_no_feature_in_space(axes: tuple[int, int], turns: int) -> None:
    families = ("statistics", "morphology", *INTENSITY, "glcm", *MATRICES)
    extraction = Ibsi(families=families, bins=16, ivh_bins=100)
    before = _measure(extraction, _tissue(), _blob())
    after = _measure(extraction, np.rot90(_tissue(), turns, axes), np.rot90(_blob(), turns, axes))
    assert after == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize("extraction", [FULL, TEXTURE])
def test_a_mirror_changes_no_feature(extraction: Ibsi) -> None:
    before = _measure(extraction, _tissue(), _blob())
    for axis in range(3):
        after = _measure(extraction, np.flip(_tissue(), axis), np.flip(_blob(), axis))
        assert after == pytest.approx(before, rel=1e-6)


def test_texture_with_a_fixed_bin_number_ignores_scale_and_shift() -> None:
    for extraction in (Ibsi(families=("glcm",), bins=16, aggregations=ALL), TEXTURE):
        before = _measure(extraction, _tissue(), _blob())
        assert _measure(extraction, _tissue() * 4.0 + 1024.0, _blob()) == before


def test_distances_of_zones_are_to_the_region_before_intensities_were_left_out() -> None:
    mask = np.pad(np.ones((5, 5, 5), dtype=bool), 1)
    data = np.where(mask, 50.0, 0.0)
    data[3, 3, 3] = 10.0
    values = _measure(Ibsi(families=("gldzm",), bins=2, range=(0.0, 20.0)), data, mask)
    assert values["dzm_lde_3D"] == 9.0


@pytest.mark.parametrize("order", [1, 3])
def test_the_crop_changes_no_number(order: int) -> None:
    data, mask = _tissue((40, 60, 60)), np.zeros((40, 60, 60), dtype=bool)
    mask[15:27, 20:38, 26:33] = np.random.default_rng(3).random((12, 18, 7)) < 0.9
    old, new = (3.0, 0.977, 0.8), (2.0, 1.5, 1.5)
    families: tuple[Family, ...] = ("statistics", "morphology", *INTENSITY, "glcm")
    measured = Ibsi(families=families, bins=8, ivh_bins=50, resample_mm=new, order=order)  # type: ignore[arg-type]
    found = _measure(measured, data, mask, spacing_mm=old)
    axes = [centred_axis(size, spacing_mm=a, target_mm=b) for size, a, b in zip(data.shape, old, new, strict=True)]
    points = np.meshgrid(*(axis.start + axis.step * np.arange(axis.count) for axis in axes), indexing="ij")
    image = ndimage.map_coordinates(data.astype(np.float64), points, order=order, mode="nearest")
    share = ndimage.map_coordinates(mask.astype(np.float64), points, order=1, mode="nearest")
    whole = Volume(data=image, geometry=Geometry(shape=image.shape, spacing_mm=new))
    expected = Ibsi(families=families, bins=8, ivh_bins=50)(whole, Region(mask=share >= MASK_THRESHOLD, name="roi_1"))
    assert found == pytest.approx(dict(expected), rel=1e-6)


def test_a_target_of_zero_keeps_the_slices_and_a_single_slice_keeps_itself() -> None:
    data, mask = _tissue(), _blob()
    kept = _measure(Ibsi(bins=8, resample_mm=(0.0, 1.5, 1.5)), data, mask, spacing_mm=(3.0, 2.0, 2.0))
    named = _measure(Ibsi(bins=8, resample_mm=(3.0, 1.5, 1.5)), data, mask, spacing_mm=(3.0, 2.0, 2.0))
    assert kept == named
    single = _measure(Ibsi(bins=8, resample_mm=(1.0, 1.0, 1.0)), data[:1], mask[8:9], spacing_mm=(5.0, 2.0, 2.0))
    assert single["morph_pca_least_axis"] == 0.0


def test_uneven_slices_are_measured_where_they_are() -> None:
    # Intensity is the position along z: a mean over an even grid is the middle of the region.
    positions = (0.0, 2.0, 3.0, 4.0, 8.0, 9.0, 12.0)
    data = np.broadcast_to(np.array(positions)[:, None, None], (7, 6, 6)).astype(np.float32)
    mask = np.zeros(data.shape, dtype=bool)
    mask[1:6, 1:5, 1:5] = True
    geometry = Geometry(shape=data.shape, spacing_mm=(2.0, 1.0, 1.0), slice_positions_mm=positions)
    volume, region = Volume(data=data, geometry=geometry), Region(mask=mask, name="roi_1")
    values = Ibsi(families=("statistics", "morphology"), resample_mm=(0.5, 1.0, 1.0))(volume, region)
    # Between the slices on either side half belongs to the region: 1 to 10.5 mm.
    assert values["stat_mean"] == pytest.approx((1.0 + 10.5) / 2, abs=0.26)
    assert values["morph_vol_approx"] == pytest.approx(16 * 9.5, abs=16 * 0.51)
    with pytest.raises(Rejected, match="W_UNEVEN"):
        Ibsi(bins=8, resample_mm=(1.0, 1.0, 1.0), order=3)(volume, region)


def test_the_input_is_left_as_it_was() -> None:
    data, mask = _tissue().astype(np.float32), _blob()
    data.setflags(write=False)
    mask.setflags(write=False)
    volume = Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=(1.0, 1.0, 1.0)))
    for extraction in (Ibsi(bins=8, round=True, range=(-50.0, 50.0), outlier_sigma=2.0), Lbp()):
        extraction(volume, Region(mask=mask, name="roi_1"))


# re-segmentation


def test_re_segmentation_moves_intensities_and_leaves_shape() -> None:
    data, mask = _tissue(), _blob()
    kept = _measure(Ibsi(bins=8, range=(-50.0, 60.0)), data, mask)
    free = _measure(Ibsi(bins=8), data, mask)
    assert -50.0 <= kept["stat_min"] <= kept["stat_max"] <= 60.0
    assert kept["morph_volume"] == free["morph_volume"]
    assert kept["morph_integ_int"] == pytest.approx(kept["morph_volume"] * kept["stat_mean"])


def test_outliers_are_told_by_mean_and_deviation_before_the_range() -> None:
    data, mask = _tissue(), _blob()
    data[8, 9, 10] = 30000.0
    inside = data[mask]
    near = inside[np.abs(inside - inside.mean()) <= 3.0 * inside.std()]
    found = _measure(Ibsi(families=("statistics",), outlier_sigma=3.0, range=(-40.0, 1e5)), data, mask)
    assert found["stat_mean"] == pytest.approx(near[near >= -40.0].mean())
    assert found["stat_max"] < 30000.0


def test_equal_intensities_have_no_outliers() -> None:
    mask = np.ones((5, 5, 5), dtype=bool)
    found = _measure(Ibsi(families=("statistics",), outlier_sigma=3.0), np.full(mask.shape, 0.1), mask)
    assert found["stat_var"] == 0.0


def test_a_voxel_that_is_no_number_is_left_out() -> None:
    data, mask = _tissue(), _blob()
    data[8, 9, 10], data[8, 9, 11] = np.nan, np.inf
    found = _measure(Ibsi(bins=8), data, mask)
    assert all(math.isfinite(value) for value in found.values())


# degenerate regions


def _some(shape: tuple[int, int, int], *voxels: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    for voxel in voxels:
        mask[voxel] = True
    return mask


@pytest.mark.parametrize("extraction", [FULL, OF_INTENSITY, TEXTURE, Lbp()])
def test_an_empty_region_has_no_numbers(extraction: Extractor) -> None:
    values = _measure(extraction, _tissue(), np.zeros((18, 20, 22), dtype=bool))
    assert all(math.isnan(value) for value in values.values())


@pytest.mark.parametrize("extraction", [FULL, OF_INTENSITY])
def test_a_region_of_no_numbers_at_all_has_none_itself(extraction: Extractor) -> None:
    values = _measure(extraction, np.full((18, 20, 22), np.nan), _blob())
    assert all(math.isnan(value) for value in values.values())


def test_several_components_that_touch_the_border_are_one_region() -> None:
    mask = np.zeros((18, 20, 22), dtype=bool)
    mask[:3, :4, :5], mask[-4:, -3:, -2:] = True, True
    values = _measure(OF_INTENSITY, _tissue(), mask)
    assert all(math.isfinite(value) for value in values.values())
    assert 0.0 < values["morph_vol_dens_ombb"] < 0.5


def test_a_region_emptied_by_its_range_has_no_numbers() -> None:
    values = _measure(Ibsi(bins=8, range=(1e6, 2e6)), _tissue(), _blob())
    assert all(math.isnan(value) for value in values.values())


def test_one_voxel_has_a_size_but_no_axes_and_no_texture() -> None:
    values = _measure(FULL, _tissue(), _some((18, 20, 22), (5, 6, 7)))
    assert [values[f"stat_{name}"] for name in ("var", "skew", "kurt", "cov")] == [0.0] * 4
    assert values["morph_volume"] == pytest.approx(8.0 / 6.0)
    assert values["morph_area_mesh"] == pytest.approx(math.sqrt(3.0) * 4.0)
    undefined = ("pca_maj_axis", "pca_flatness", "vol_dens_aee", "area_dens_aee", "moran_i", "geary_c")
    assert all(math.isnan(values[f"morph_{name}"]) for name in undefined)
    assert all(math.isnan(value) for value in _of("cm_", values).values())


def test_one_voxel_and_equal_voxels_have_a_histogram_of_one_bin() -> None:
    cube = np.pad(np.ones((3, 3, 3), dtype=bool), 1)
    for mask in (_some((5, 5, 5), (2, 2, 2)), cube):
        values = _measure(OF_INTENSITY, np.full((5, 5, 5), 7.0), mask)
        assert all(math.isfinite(value) for value in values.values())
        assert 0.0 < values["morph_vol_dens_mvee"] < 1.0
        assert (values["loc_peak_loc"], values["loc_peak_glob"]) == (7.0, 7.0)
        assert [values[f"ih_{name}"] for name in ("mean", "entropy", "max_grad")] == [1.0, 0.0, 0.0]
        assert [values[f"ivh_{name}"] for name in ("v10", "v90", "diff_i10_i90", "auc")] == [1.0, 1.0, 0.0, 0.0]


def test_the_volume_histogram_spans_the_range_of_re_segmentation() -> None:
    data, mask = _tissue(), _blob()
    kept = data[mask & (data >= -60.0) & (data <= 80.0)]
    found = _measure(Ibsi(families=("intensity_volume_histogram",), range=(-60.0, 80.0)), data, mask)
    assert found["ivh_v10"] == pytest.approx((kept >= -46.0).mean())
    assert found["ivh_v90"] == pytest.approx((kept >= 66.0).mean())
    assert found["ivh_i10"] == min(level for level in range(-60, 82) if (kept >= level).mean() <= 0.1)


def test_a_peak_sees_what_lies_around_the_region_as_far_as_the_image_goes() -> None:
    data = np.zeros((9, 9, 9))
    data[4, 4, 4], data[4, 4, 5] = 10.0, 1000.0
    one = _some((9, 9, 9), (4, 4, 4))
    near = _measure(Ibsi(families=("local_intensity",)), data, one, spacing_mm=(4.0, 4.0, 4.0))
    assert near["loc_peak_loc"] == pytest.approx(1010.0 / 19.0)  # the voxel, 6 at a face, 12 at an edge
    far = _measure(Ibsi(families=("local_intensity",)), data[4:, 4:, 4:], one[4:, 4:, 4:], spacing_mm=(4.0, 4.0, 4.0))
    assert far["loc_peak_loc"] == pytest.approx(1010.0 / 7.0)  # in the corner of the image


def test_one_voxel_is_a_run_a_zone_and_a_dependence_but_has_no_tone() -> None:
    values = _measure(TEXTURE, _tissue(), _some((18, 20, 22), (5, 6, 7)))
    assert all(math.isnan(value) for value in _of("ngt_", values).values())
    for name, value in values.items():
        if not name.startswith("ngt_") and not re.search("nu_(2D|2_5D|3D)_comb$", name):
            assert value == (0.0 if re.search("_(var|entr)_", name) else 1.0), name


def test_a_constant_cube_is_one_zone_and_as_coarse_as_can_be() -> None:
    values = _measure(TEXTURE, np.full((5, 5, 5), 7.0), np.pad(np.ones((3, 3, 3), dtype=bool), 1))
    expected = {"szm_lze": 729.0, "szm_z_perc": 1 / 27, "ngt_coarseness": 1e6, "ngt_contrast": 0.0}
    expected |= {"ngt_busyness": 0.0, "ngt_complexity": 0.0, "ngt_strength": 0.0, "ngl_hde": 181.963}
    assert {name: values[f"{name}_3D"] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_every_degenerate_region_has_finite_texture_or_none() -> None:
    shape = (6, 7, 8)
    flat, edge = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    flat[3, 1:6, 1:7], edge[:2, :3, 5:] = True, True
    apart = _some(shape, (0, 0, 0), (0, 0, 1), (5, 6, 7), (5, 6, 6))
    for mask in (flat, edge, apart, np.ones(shape, dtype=bool)):
        values = _measure(TEXTURE, _tissue(shape), mask)
        assert all(math.isfinite(value) for value in values.values())
    nothing = _measure(TEXTURE, np.full(shape, np.nan), flat)
    assert all(math.isnan(value) for value in nothing.values())


def test_a_constant_cube_has_texture_of_one_level() -> None:
    values = _measure(FULL, np.full((5, 5, 5), 7.0), np.pad(np.ones((3, 3, 3), dtype=bool), 1))
    expected = {"joint_max": 1.0, "joint_entr": 0.0, "corr": 1.0, "info_corr1": 1.0, "info_corr2": 0.0, "inv_var": 0.0}
    assert {name: values[f"cm_{name}_3D_comb"] for name in expected} == expected
    assert math.isnan(values["morph_moran_i"])


def test_two_voxels_of_two_levels_are_anticorrelated() -> None:
    data = np.zeros((3, 3, 3))
    data[1, 1, 1] = 1.0
    values = _measure(Ibsi(bins=2), data, _some((3, 3, 3), (1, 1, 1), (1, 1, 2)))
    assert values["cm_corr_3D_avg"] == pytest.approx(-1.0)
    assert values["cm_info_corr1_3D_avg"] == pytest.approx(-1.0)
    assert values["cm_info_corr2_3D_avg"] == pytest.approx(0.9299, abs=1e-4)


def test_a_flat_region_has_no_thickness() -> None:
    mask = np.zeros((18, 20, 22), dtype=bool)
    mask[9, 4:15, 5:17] = True
    values = _measure(FULL, _tissue(), mask)
    assert values["morph_pca_least_axis"] == 0.0
    assert values["morph_pca_flatness"] == 0.0
    assert math.isnan(values["morph_vol_dens_aee"])
    assert all(math.isfinite(value) for name, value in values.items() if name != "morph_vol_dens_aee")


def test_intensities_that_sum_to_nothing_have_no_centre() -> None:
    data = np.zeros((3, 3, 4))
    data[1, 1, 1], data[1, 1, 2] = 5.0, -5.0
    values = _measure(Ibsi(bins=2), data, _some((3, 3, 4), (1, 1, 1), (1, 1, 2)))
    assert math.isnan(values["morph_com"])


def test_without_spacing_there_is_no_shape_but_texture() -> None:
    values = _measure(FULL, _tissue(), _blob(), spacing_mm=None)
    assert all(math.isnan(value) for value in _of("morph_", values).values())
    peaks = _measure(Ibsi(families=("enclosing", "local_intensity")), _tissue(), _blob(), spacing_mm=None)
    assert all(math.isnan(value) for value in peaks.values())
    assert all(math.isfinite(value) for value in (_of("stat_", values) | _of("cm_", values)).values())


def test_without_spacing_nothing_can_be_resampled() -> None:
    with pytest.raises(Rejected, match="NO_SPACING"):
        _measure(Ibsi(bins=8, resample_mm=(1.0, 1.0, 1.0)), _tissue(), _blob(), spacing_mm=None)


@pytest.mark.parametrize("extraction", [FULL, Lbp()])
def test_a_volume_with_time_and_a_mask_of_another_grid_are_refused(extraction: Extractor) -> None:
    region = Region(mask=_blob(), name="roi_1")
    series = np.zeros((2, 18, 20, 22), dtype=np.float32)
    with pytest.raises(Rejected, match="E_AXES"):
        extraction(Volume(data=series, geometry=Geometry(shape=series.shape, axes="tzyx")), region)
    with pytest.raises(Rejected, match="E_GRID"):
        extraction(_volume(np.zeros((18, 20, 21))), region)


def test_a_box_above_the_limit_has_no_autocorrelation() -> None:
    values = _measure(Ibsi(bins=8, autocorrelation_voxels=100), _tissue(), _blob())
    assert math.isnan(values["morph_moran_i"])
    assert math.isfinite(values["morph_volume"])


# local binary patterns


def test_patterns_equal_scikit_image_over_the_region() -> None:
    data, mask = _tissue(), np.zeros((18, 20, 22), dtype=bool)
    mask[3:9, 0:13, 9:22] = np.random.default_rng(1).random((6, 13, 13)) < 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patterns = np.stack([local_binary_pattern(plane, 8, 1, method="uniform") for plane in data.astype(np.float32)])
    counts = np.bincount(patterns[mask].astype(int), minlength=10)
    values = _measure(Lbp(), data, mask)
    assert list(values.values()) == [count / mask.sum() for count in counts.tolist()]


# memory


@pytest.mark.parametrize(
    "extraction",
    [
        Ibsi(bins=32),
        Ibsi(bins=32, families=("statistics",)),
        Ibsi(families=("local_intensity",)),
        Ibsi(families=("enclosing",)),
        Ibsi(bins=32, families=("intensity_histogram",)),
        Ibsi(ivh_bins=1000, families=("intensity_volume_histogram",)),
        Ibsi(families=("local_intensity",), resample_mm=(1.5, 1.5, 1.5)),
        Ibsi(bins=32, families=("glcm",), aggregations=IN_SLICE),
        Ibsi(bin_width=1.0, range=(-400.0, 400.0), families=("glcm",)),
        Ibsi(bins=32, resample_mm=(1.5, 1.5, 1.5), order=3),
        Ibsi(bins=32, families=MATRICES, aggregations=ALL),
        Ibsi(bin_width=1.0, range=(-400.0, 400.0), families=MATRICES, aggregations=ALL),
        Lbp(),
    ],
)
def test_a_region_as_large_as_the_volume_stays_within_the_projected_memory(extraction: Extractor) -> None:
    peak, projected = _peak_and_projection(extraction, (40, 64, 64))
    assert peak <= projected <= 8 * peak


def test_texture_of_a_single_slice_stays_within_the_projected_memory() -> None:
    peak, projected = _peak_and_projection(Ibsi(bins=32, families=MATRICES), (1, 400, 400))
    assert peak <= projected <= 8 * peak


@pytest.mark.parametrize(
    "side", [96, pytest.param(457, marks=[pytest.mark.long, pytest.mark.timeout(1200)])], ids=["box", "5e7 voxels"]
)
def test_a_large_region_takes_three_times_its_box_and_stays_within_the_projected_memory(side: int) -> None:
    families: tuple[Family, ...] = ("statistics", "morphology", "enclosing", "intensity_histogram", "glcm", *MATRICES)
    extraction = Ibsi(bins=32, families=families, aggregations=("3D_avg",), autocorrelation_voxels=side**3)
    rng = np.random.default_rng(9)
    data, mask = np.empty((side, side, side), dtype=np.float32), np.empty((side, side, side), dtype=bool)
    places = (np.arange(side) + 0.5) / side * 2 - 1
    for z, place in enumerate(places):
        data[z] = rng.normal(40, 60, (side, side)).cumsum(axis=1)
        mask[z] = place**2 + places[:, None] ** 2 + places**2 <= 1.0
    volume, region = _volume(data), Region(mask=mask, name="roi_1")
    extraction(_volume(data[:4, :8, :8]), Region(mask=np.ones((4, 8, 8), dtype=bool), name="roi_1"))
    tracemalloc.start()
    try:
        values = extraction(volume, region)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= extraction.memory(volume.geometry)
    assert peak <= 3 * data.nbytes
    assert values["stat_mean"] == pytest.approx(data[mask].mean(dtype=np.float64), rel=1e-9)
    assert not any(math.isnan(value) for value in values.values())


def _peak_and_projection(extraction: Extractor, shape: tuple[int, int, int]) -> tuple[int, int]:
    data = np.random.default_rng(9).uniform(-400.0, 400.0, shape).astype(np.float32)
    mask = np.ones(shape, dtype=bool)
    geometry = Geometry(shape=shape, spacing_mm=(2.0, 2.0, 2.0))
    volume, region = Volume(data=data, geometry=geometry), Region(mask=mask, name="roi_1")
    extraction(_volume(data[:4, :8, :8]), Region(mask=mask[:4, :8, :8], name="roi_1"))
    tracemalloc.start()
    try:
        extraction(volume, region)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return peak, extraction.memory(geometry)
