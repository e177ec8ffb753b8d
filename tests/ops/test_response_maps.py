from __future__ import annotations

import math
import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from medpipe.app.dictionary import dictionary_rows
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels import statistics
from medpipe.ops.features import Ibsi
from medpipe.ops.filters import Gabor, LaplacianOfGaussian, Laws, Mean, SeparableWavelet, Simoncelli
from medpipe.ops.parameters import build, changed
from medpipe.ops.registry import make, op_digest, spec_of
from medpipe.ops.response_maps import MOST_MAPS, WholeMaps, kept_bytes
from medpipe.recipe.lock import lock_recipe
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Geometry, Region, Volume

SHAPE = (17, 40, 38)
LOCAL = (
    Mean(size=5),
    Mean(size=3, by_slice=True, boundary="nearest"),
    LaplacianOfGaussian(sigma_mm=1.2),
    LaplacianOfGaussian(sigma_mm=1.2, by_slice=True, boundary="constant"),
    Laws(kernels="L5E5", delta=2),
    Laws(kernels="E5L5S5", pooling="mean"),
    SeparableWavelet(wavelet="db2", passes="LHL", level=2),
)
BY_PLANES = (
    Gabor(sigma_mm=1.0, wavelength_mm=3.0, gamma=0.8, theta_deg=30.0, by_slice=True),
    Gabor(sigma_mm=0.8, wavelength_mm=2.0, theta_step_deg=45.0),
)
WHOLE = (
    Mean(size=5, boundary="wrap"),
    Mean(size=5, boundary="wrap", by_slice=True),
    Simoncelli(level=1),
    Simoncelli(level=2, by_slice=True, riesz=(1, 1, 0)),
    LaplacianOfGaussian(sigma_mm=1.0, riesz=(0, 0, 1)),
)


def volume(shape=SHAPE, spacing_mm=(2.0, 1.0, 1.0), seed=0):
    data = np.random.default_rng(seed).normal(50, 100, shape).astype(np.float32)
    return Volume(data=data, geometry=Geometry(shape=shape, spacing_mm=spacing_mm), unit="HU", modality="CT")


def region(at=(8, 20, 19), radius=3, shape=SHAPE):
    away = sum((axis - middle) ** 2 for axis, middle in zip(np.indices(shape), at, strict=True))
    return Region(mask=away <= radius**2, name="roi_1")


def measured(filters, given=None, where=None, **changes):
    extraction = Ibsi(families=("statistics",), filters=filters, **changes)
    return dict(extraction(given or volume(), where or region()))


@pytest.mark.parametrize("one", LOCAL + WHOLE, ids=lambda one: one.tag)
@pytest.mark.parametrize("at", [(8, 20, 19), (0, 1, 36)])
def test_a_map_around_the_region_is_that_of_the_whole_image_to_the_last_bit(one, at):
    given, where = volume(), region(at)
    found = measured((one,), given, where)
    expected = statistics.intensity_statistics(one(given).data.astype(np.float64)[where.mask])
    assert {key: found[f"{one.tag}_stat_{key}"] for key in expected} == expected


@pytest.mark.parametrize("one", BY_PLANES, ids=lambda one: one.tag)
def test_a_map_by_transforms_of_a_part_is_that_of_the_whole_image_but_for_rounding(one):
    given, where = volume(shape=(17, 60, 60)), region((0, 30, 40), shape=(17, 60, 60))
    found = measured((one,), given, where)
    expected = statistics.intensity_statistics(one(given).data.astype(np.float64)[where.mask])
    for key, value in expected.items():
        assert found[f"{one.tag}_stat_{key}"] == pytest.approx(value, rel=1e-4), key


def test_the_map_is_made_of_the_interpolated_and_rounded_image():
    one, chain = LaplacianOfGaussian(sigma_mm=1.5), {"resample_mm": (1.3, 1.3, 1.3), "round": True}
    given, where = volume(), region((8, 20, 19), 5)
    resampled = make("image", {"op": "resample", "spacing_mm": [1.3] * 3, "round": True}, "here")
    after = resampled(given)
    mask = resampled.carry(where.mask, given)
    expected = statistics.intensity_statistics(one(after).data.astype(np.float64)[mask])
    found = measured((one,), given, where, **chain)
    for key, value in expected.items():
        assert found[f"{one.tag}_stat_{key}"] == pytest.approx(value, rel=1e-5, abs=1e-4), key


def counting(kind, **parameters):
    """Return a filter that notes each time it is applied, and its notes."""
    notes = []

    class Counted(kind):
        def __call__(self, given):
            notes.append(given.data.shape)
            return super().__call__(given)

    return Counted(**parameters), notes


def test_a_map_of_the_whole_image_is_made_once_for_all_of_its_regions():
    given, places = volume(), [(8, 20, 19), (4, 10, 30), (12, 8, 6)]
    one, of_all = counting(Simoncelli, level=1)
    near, of_parts = counting(Mean, size=5)
    extraction = Ibsi(families=("statistics",), filters=(one, near))
    found = [dict(extraction(given, region(at))) for at in places]
    assert (len(of_all), len(of_parts)) == (1, 3)
    for at, values in zip(places, found, strict=True):
        again = replace(given, data=given.data.copy())
        plain = Ibsi(families=("statistics",), filters=(Simoncelli(level=1), Mean(size=5)))
        assert values == dict(plain(again, region(at)))
    extraction(volume(seed=1), region())
    assert len(of_all) == 2
    # another step before the filter is another image
    replace(extraction, round=True)(given, region())
    assert len(of_all) == 3


def test_maps_that_are_kept_are_few_and_go_with_their_image():
    whole, given = WholeMaps(), volume()
    kept = whole.of("extractor", given.data)
    kept[Simoncelli()] = given.data
    assert whole.of("extractor", given.data) is kept
    other = volume(seed=1)
    assert whole.of("extractor", other.data) == {}
    held = whole.of("extractor", other.data)
    held[Simoncelli()] = np.zeros(3)
    del other
    assert held == {}
    filters = tuple(Simoncelli(level=level) for level in range(1, MOST_MAPS + 4))
    bytes_a_map = 4 * math.prod(SHAPE)
    assert kept_bytes(filters, given.geometry) == MOST_MAPS * bytes_a_map
    assert kept_bytes(LOCAL, given.geometry) == 0


def test_the_range_is_that_of_the_original_intensities():
    one, given, where = Mean(size=3), volume(), region()
    found = measured((one,), given, where, range=(0.0, 100.0))
    kept = where.mask & (given.data >= 0.0) & (given.data <= 100.0)
    assert found["mean_3D_3_stat_mean"] == pytest.approx(float(one(given).data[kept].mean(dtype=np.float64)), rel=1e-6)


def test_columns_of_maps_follow_those_of_the_image_and_say_the_filter():
    filters = (Mean(size=5), LaplacianOfGaussian(sigma_mm=1.5, riesz=(0, 2, 0)))
    extraction = Ibsi(
        families=("statistics", "morphology"),
        filters=filters,
        filter_families=("statistics", "glcm"),
        filter_bins=16,
        aggregations=("3D_comb",),
    )
    own = Ibsi(families=("statistics", "morphology"), aggregations=("3D_comb",)).columns
    columns = extraction.columns
    assert columns[: len(own)] == own
    assert len(columns) == len(own) + 2 * (18 + 25)
    by_name = {column.name: column for column in columns}
    assert len(by_name) == len(columns)
    made = by_name["log_3D_s1_5_riesz_0_2_0_cm_joint_avg_3D_comb"]
    assert (made.filter, made.filter_ibsi, made.ibsi) == ("log_3D_s1_5_riesz_0_2_0", "L6PA/AYRS", "60VM")
    assert by_name["mean_3D_5_stat_var"].unit == "map^2"
    assert by_name["stat_var"].unit == "image^2"
    values = dict(extraction(volume(), region()))
    assert list(values) == [column.name for column in columns]
    assert all(math.isfinite(value) for value in values.values())


def test_two_extractions_with_other_filters_stand_side_by_side():
    tags = [one.tag for one in LOCAL + BY_PLANES + WHOLE]
    assert len(set(tags)) == len(tags)
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", tag) for tag in tags)
    base = Laws(kernels="L5E5E5")
    others = [
        replace(base, kernels="L5E5S5"),
        replace(base, rotation_invariant=False),
        replace(base, pooling="mean"),
        replace(base, delta=7),
        replace(base, boundary="wrap"),
    ]
    wave = Gabor(sigma_mm=5.0, wavelength_mm=2.0)
    others += [
        wave,
        replace(wave, sigma_mm=5.5),
        replace(wave, wavelength_mm=2.5),
        replace(wave, gamma=1.5),
        replace(wave, theta_deg=45.0),
        replace(wave, theta_step_deg=45.0),
        replace(wave, theta_step_deg=45.0, pooling="max"),
        replace(wave, by_slice=True),
    ]
    band = SeparableWavelet(wavelet="bior1.3", passes="LLH")
    others += [band, replace(band, wavelet="db3"), replace(band, level=2), replace(band, passes="LL")]
    blob = LaplacianOfGaussian(sigma_mm=1.5)
    others += [blob, replace(blob, truncate=6.0), replace(blob, by_slice=True), replace(blob, riesz=(1, 0, 0))]
    assert len({one.tag for one in [base, *others]}) == 1 + len(others)


def test_an_extraction_without_filters_keeps_its_digest():
    assert spec_of(Ibsi(bins=32)) == {"op": "ibsi", "version": 2, "bins": 32}
    table = {"families": ["statistics"], "filters": [{"op": "mean_filter", "size": 5}]}
    made = build(Ibsi, table, "x")
    assert made.filters == (Mean(size=5),)
    assert build(Ibsi, changed(made), "x") == made
    assert op_digest(made) != op_digest(Ibsi(families=("statistics",)))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"filters": [{"op": "median"}]}, r"filters\.0: 'median' makes no response map"),
        ({"filters": [{"op": "mean_filter", "size": 4}]}, r"filters\.0: size: 4 is even"),
        ({"filters": [{"op": "mean_filter", "size": 3}] * 2}, r"filters\.1: mean_3D_3 is there twice"),
        ({"filters": [{"op": "simoncelli"}], "filter_families": ["glcm"]}, "filter_bins"),
        ({"filters": [{"op": "simoncelli"}], "filter_families": []}, "filter_families: names at least one"),
        ({"filters": [{"op": "simoncelli"}], "filter_families": ["morphology"]}, "filter_families"),
        (
            {"filters": [{"op": "simoncelli"}], "filter_families": ["glcm"], "filter_bins": 8, "filter_bin_width": 1},
            "not both",
        ),
        ({"filters": [{"op": "laws", "kernels": "L5"}]}, "kernels: 'L5' is not two or three of"),
        ({"filters": [{"op": "separable_wavelet", "wavelet": "morl", "passes": "LH"}]}, "wavelet: 'morl' is none of"),
        ({"filters": [{"op": "separable_wavelet", "wavelet": "db2", "passes": "LX"}]}, "passes: 'LX'"),
        ({"filters": [{"op": "simoncelli", "riesz": [0, 0, 0]}]}, "riesz: at least one order"),
        ({"filters": [{"op": "simoncelli", "riesz": [0, 0, 1], "by_slice": True}]}, "riesz: within slices"),
        ({"filters": [{"op": "laplacian_of_gaussian", "sigma_mm": -1}]}, r"sigma_mm: -1.* is below 0"),
        (
            {"filters": [{"op": "gabor", "sigma_mm": 1, "wavelength_mm": 2, "theta_step_deg": 50}]},
            "theta_step_deg: 50 does not go into 360",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_their_path(given, path):
    with pytest.raises(ConfigError, match=rf"route\.0\.features\.0.*{path}"):
        build(Ibsi, {"families": ["statistics"], **given}, "route.0.features.0")


def test_without_spacing_a_filter_in_mm_is_refused_and_one_in_voxels_is_not():
    bare = volume(spacing_mm=None)
    with pytest.raises(Rejected, match="E_SPACING"):
        measured((LaplacianOfGaussian(sigma_mm=1.0),), bare)
    assert math.isfinite(measured((Mean(size=3), Simoncelli()), bare)["simoncelli_3D_1_stat_mean"])
    with pytest.raises(Rejected, match="NO_SPACING"):
        measured((Mean(size=3),), bare, resample_mm=(1.0, 1.0, 1.0))


def test_degenerate_regions_and_images_have_defined_values():
    filters = LOCAL + BY_PLANES + WHOLE
    lone = np.zeros(SHAPE, bool)
    lone[3, 4, 5] = True
    for where in (Region(mask=lone, name="roi_1"), Region(mask=np.ones(SHAPE, bool), name="roi_1")):
        for data in (volume().data, np.full(SHAPE, 7.0, np.float32)):
            values = measured(filters, volume().with_data(data), where)
            assert not any(math.isinf(value) for value in values.values())
            assert all(math.isfinite(values[f"{one.tag}_stat_mean"]) for one in filters)
    empty = measured(filters, where=Region(mask=np.zeros(SHAPE, bool), name="roi_1"))
    assert all(math.isnan(value) for value in empty.values())
    plane = volume(shape=(1, 12, 14))
    flat = measured(filters, plane, Region(mask=np.ones((1, 12, 14), bool), name="roi_1"))
    assert all(math.isfinite(flat[f"{one.tag}_stat_mean"]) for one in filters)


def test_voxels_that_a_missing_one_leaves_without_response_do_not_count():
    given, where = volume(), region()
    data = given.data.copy()
    data[8, 20, 19] = np.nan
    found = measured((Mean(size=3), Simoncelli()), given.with_data(data), where)
    response = Mean(size=3)(given.with_data(data)).data
    inside = where.mask & np.isfinite(response)
    assert inside.sum() == where.mask.sum() - 27
    assert found["mean_3D_3_stat_mean"] == pytest.approx(float(response[inside].mean(dtype=np.float64)), rel=1e-6)
    assert math.isfinite(found["simoncelli_3D_1_stat_mean"])
    nothing = measured((Mean(size=3),), given.with_data(np.full(SHAPE, np.nan, np.float32)), where)
    assert all(math.isnan(value) for value in nothing.values())


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value)")
def test_a_map_that_leaves_float32_is_refused_and_not_measured_without_the_voxels_that_do():
    given = volume()
    data = given.data.copy()
    data[8, 20, 19] = 3e38
    with pytest.raises(Rejected, match="E_OP_NONFINITE"):
        measured(BY_PLANES[1:], given.with_data(data), region())


def test_the_dictionary_says_filter_code_and_whether_levels_keep_to_the_standard():
    table = {
        "name": "x",
        "op": "ibsi",
        "families": ["statistics", "glcm"],
        "bin_width": 25,
        "range": [-1000, 400],
        "filters": [{"op": "laws", "kernels": "L5E5E5", "delta": 7}],
        "filter_families": ["statistics", "glcm"],
    }
    for levels, told, compliance in (
        ({"filter_bins": 32}, "fixed bin number 32", "ibsi"),
        ({"filter_bin_width": 5}, "fixed bin size 5 from the region's minimum", "deviates"),
    ):
        recipe = {"name": "maps", "route": [{"name": "ct", "regions": [{"op": "body"}], "features": [table | levels]}]}
        rows = {row["name"]: row for row in dictionary_rows(lock_recipe(parse_recipe(recipe), pytest.fail))}
        own, on_map = rows["cm_joint_avg_3D_avg"], rows["laws_3D_L5E5E5_inv_max_energy_7_cm_joint_avg_3D_avg"]
        assert (own["filter"], own["filter_ibsi"], own["compliance"]) == (None, None, "ibsi")
        assert own["discretisation"] == "fixed bin size 25 from -1000"
        assert (on_map["filter"], on_map["filter_ibsi"]) == ("laws_3D_L5E5E5_inv_max_energy_7", "JTXT")
        assert (on_map["ibsi"], on_map["discretisation"], on_map["compliance"]) == ("60VM", told, compliance)


@pytest.mark.parametrize("one", [*LOCAL, *BY_PLANES, *WHOLE], ids=lambda one: one.tag)
def test_a_filter_stays_within_its_projected_memory(one):
    given = volume(shape=(24, 48, 52))
    one(given)
    tracemalloc.start()
    one(given)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= one.memory(given.geometry) + 100_000
    assert one.memory(given.geometry) <= 3 * peak


@pytest.mark.parametrize(
    "one",
    [
        LaplacianOfGaussian(sigma_mm=90.0),
        Gabor(sigma_mm=20.0, wavelength_mm=6.0),
        Gabor(sigma_mm=20.0, wavelength_mm=6.0, by_slice=True),
    ],
    ids=lambda one: one.tag,
)
def test_a_kernel_larger_than_the_image_is_in_the_projected_memory(one):
    given = volume(shape=(2, 20, 22))
    one(given)
    tracemalloc.start()
    one(given)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= one.memory(given.geometry) <= 3 * peak


@pytest.mark.parametrize("filters", [(Mean(size=3),), (Simoncelli(), Laws(kernels="L5E5E5", delta=2))])
def test_an_extraction_with_filters_stays_within_its_projected_memory(filters):
    given = volume(shape=(32, 64, 64))
    where = Region(mask=np.ones((32, 64, 64), bool), name="roi_1")
    extraction = Ibsi(families=("statistics",), filters=filters)
    extraction(volume(), region())
    tracemalloc.start()
    extraction(given, where)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= extraction.memory(given.geometry) <= 3 * peak + 2**22
