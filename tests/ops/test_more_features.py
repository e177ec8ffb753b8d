"""Extractors of the families outside IBSI: bound to regions, parameters and degenerate cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops, hog, local_binary_pattern
from skimage.filters import gabor
from skimage.measure import moments_central, moments_hu, moments_normalized

from medpipe.errors import ConfigError, Rejected
from medpipe.ops.features import EdgeDensity, Fractal, GaborBank, Haralick, Hog, HuMoments, Ibsi, Lbp
from medpipe.ops.parameters import build, changed
from medpipe.types import Geometry, Region, Volume

SHAPE = (5, 40, 44)
OF_SHAPE = ("hu_mask", "fractal_region", "fractal_border")
EVERY = (EdgeDensity(), Fractal(), GaborBank(frequencies=(0.2, 0.4)), Haralick(bins=8), Hog(cell=4), HuMoments(), Lbp())


def image(seed=0, shape=SHAPE):
    noise = np.random.default_rng(seed).normal(0.0, 1.0, shape)
    return (ndimage.gaussian_filter(noise, (0, 1.0, 1.0)) * 300.0).astype(np.float32)


def blob():
    z, y, x = np.ogrid[tuple(slice(size) for size in SHAPE)]
    return ((z - 2) / 2.5) ** 2 + ((y - 18) / 12.0) ** 2 + ((x - 20) / 14.0) ** 2 <= 1.0


def measure(op, data, mask, spacing_mm=(2.0, 1.0, 1.0)):
    volume = Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=spacing_mm))
    found = dict(op(volume, Region(mask=mask, name="roi_1")))
    assert set(found) == {column.name for column in op.columns}
    return found


@pytest.mark.parametrize(
    ("op", "given"),
    [
        (Lbp, {"patterns": "oriented", "neighbours": 16}),
        (Lbp, {"neighbours": 12}),
        (Lbp, {"radius": 0.0}),
        (GaborBank, {"frequencies": []}),
        (GaborBank, {"frequencies": [0.2, 0.2]}),
        (GaborBank, {"frequencies": [0.6]}),
        (Hog, {"cell": 1}),
        (HuMoments, {"slices": "middle"}),
        (EdgeDensity, {"threshold": 0.0}),
        (Fractal, {"resample_mm": [0, 0, 0]}),
        (Fractal, {"range": [3, 1]}),
        (Haralick, {}),
        (Haralick, {"bins": 8, "bin_width": 2.0}),
        (Haralick, {"bins": 8, "distances": []}),
        (Haralick, {"bins": 8, "distances": [0]}),
        (Haralick, {"bins": 8, "distances": [1, 1]}),
        (Haralick, {"bins": 8, "aggregations": ["2_5D_avg"]}),
        (Haralick, {"bins": 8, "range": [4, 4]}),
        (Haralick, {"bins": 8, "resample_mm": [0, 0, 0]}),
    ],
)
def test_parameters_that_do_not_fit_are_refused(op, given):
    with pytest.raises(ConfigError, match=r"route\.0\.features\.0"):
        build(op, given, "route.0.features.0")


@pytest.mark.parametrize("op", EVERY, ids=lambda op: op.name)
def test_a_recipe_table_becomes_an_extraction_and_back(op):
    assert build(type(op), changed(op), "x") == op


@pytest.mark.parametrize("op", EVERY, ids=lambda op: op.name)
def test_degenerate_regions_have_defined_values(op):
    data = image()
    empty, one, line, whole = (np.zeros(SHAPE, bool) for _ in range(4))
    one[2, 20, 20] = line[2, 7, 3:30] = True
    whole[:] = True
    gone = np.full(SHAPE, np.nan, np.float32)
    apart = np.zeros(SHAPE, bool)
    apart[0, :9, :9] = apart[4, -9:, -9:] = True
    for mask in (empty, one, line, whole, apart):
        for given in (data, np.full(SHAPE, 5.0, np.float32), gone):
            found = measure(op, given, mask)
            assert not any(math.isinf(value) for value in found.values())
            if not mask.any():
                assert all(math.isnan(value) for value in found.values())
            if given is gone:
                # the region has a shape, though none of its intensities is known
                assert all(math.isnan(value) for name, value in found.items() if not name.startswith(OF_SHAPE))


@pytest.mark.parametrize("op", EVERY, ids=lambda op: op.name)
def test_another_grid_and_a_fourth_axis_are_refused(op):
    volume = Volume(data=image(), geometry=Geometry(shape=SHAPE))
    with pytest.raises(Rejected, match="E_GRID"):
        op(volume, Region(mask=np.ones((2, 3, 4), bool), name="x"))
    series = Volume(data=image()[None], geometry=Geometry(shape=(1, *SHAPE), axes="tzyx"))
    with pytest.raises(Rejected, match="E_AXES"):
        op(series, Region(mask=blob(), name="x"))


@pytest.mark.parametrize("op", EVERY, ids=lambda op: op.name)
def test_what_lies_far_from_the_region_changes_nothing(op):
    data, mask = image(), np.zeros(SHAPE, bool)
    mask[1:4, 16:26, 17:29] = True
    changed_far = data.copy()
    changed_far[:, :2], changed_far[:, :, -2:] = 1e4, -1e4
    assert measure(op, data, mask) == measure(op, changed_far, mask)


def test_lbp_columns_carry_what_is_not_at_its_default():
    named = {
        Lbp(): ("lbp_0", 10),
        Lbp(radius=2.0, neighbours=16): ("lbp_r2_p16_0", 18),
        Lbp(patterns="rotation_invariant"): ("lbp_ri_0", 36),
        Lbp(patterns="oriented", radius=1.5): ("lbp_r1_5_or_0", 59),
    }
    for op, (first, count) in named.items():
        assert (op.columns[0].name, len(op.columns)) == (first, count)


@pytest.mark.filterwarnings("ignore:Applying `local_binary_pattern`")
def test_lbp_of_another_circle_equals_scikit_image():
    data, mask = image(), blob()
    found = measure(Lbp(radius=3.0, neighbours=16), data, mask)
    codes = np.stack([local_binary_pattern(plane, 16, 3, method="uniform") for plane in data])
    expected = np.bincount(codes[mask].astype(int), minlength=18) / mask.sum()
    assert list(found.values()) == pytest.approx(expected.tolist())


def test_the_gabor_bank_equals_scikit_image_over_the_region():
    data, mask = image(), blob()
    found = measure(GaborBank(frequencies=(0.15, 0.4), angles=3), data, mask)
    assert len(found) == 2 * 3 * 3
    for name, frequency in (("f0_15", 0.15), ("f0_4", 0.4)):
        for turn in (0, 60, 120):
            sizes = np.stack(
                [np.hypot(*gabor(plane.astype(float), frequency, theta=math.radians(turn))) for plane in data]
            )[mask]
            expected = {"mean": sizes.mean(), "var": sizes.var(), "energy": (sizes**2).mean()}
            for statistic, value in expected.items():
                assert found[f"gabor_{name}_a{turn}_{statistic}"] == pytest.approx(value, rel=1e-5), (name, turn)


def test_hog_is_the_mean_over_the_blocks_of_the_regions_box():
    data, mask = image(), np.zeros(SHAPE, bool)
    mask[1:3, 5:37, 6:38] = True
    found = measure(Hog(), data, mask)
    blocks = np.concatenate(
        [hog(data[z, 5:37, 6:38].astype(float), 9, (8, 8), (2, 2), feature_vector=False).reshape(-1, 9) for z in (1, 2)]
    )
    assert [found[f"hog_mean_{place}"] for place in range(9)] == pytest.approx(blocks.mean(axis=0), rel=1e-5)
    assert [found[f"hog_sd_{place}"] for place in range(9)] == pytest.approx(blocks.std(axis=0), rel=1e-5)


def test_hu_moments_are_those_of_the_largest_slice_or_the_mean():
    data, mask = image(), blob()
    weights = np.where(mask, data.astype(float) - data[2][mask[2]].min(), 0.0)
    found = measure(HuMoments(), data, mask)
    for of, plane in (("mask", mask[2]), ("image", weights[2])):
        expected = moments_hu(moments_normalized(moments_central(plane.astype(float))))
        assert [found[f"hu_{of}_{place}"] for place in range(1, 8)] == pytest.approx(expected, rel=1e-6)
    each = [measure(HuMoments(), data, mask & (np.arange(5) == z)[:, None, None]) for z in range(5)]
    mean = measure(HuMoments(slices="mean"), data, mask)
    present = [one["hu_mask_1"] for one, plane in zip(each, mask, strict=True) if plane.any()]
    assert mean["hu_mask_1"] == pytest.approx(np.mean(present))


def test_edges_are_counted_within_the_region():
    data = np.zeros(SHAPE, np.float32)
    data[:, :, 20:] = 100.0
    mask = np.zeros(SHAPE, bool)
    mask[1:4, 10:30, 10:30] = True
    found = measure(EdgeDensity(), data, mask)
    assert found["edge_sobel"] == pytest.approx(2 / 20)
    assert found["edge_canny"] == pytest.approx(1 / 20)
    assert found["edge_gradient"] == pytest.approx(2 * 50.0 / 20)
    assert measure(EdgeDensity(threshold=60.0), data, mask)["edge_sobel"] == 0.0
    even = measure(EdgeDensity(), np.full(SHAPE, 3.0, np.float32), mask)
    assert (even["edge_gradient"], even["edge_sobel"], even["edge_canny"]) == (0.0, 0.0, 0.0)


def test_edges_leave_missing_voxels_out():
    data, mask = image(), blob()
    holed = data.copy()
    holed[2, 18, 20] = np.nan
    found, whole = measure(EdgeDensity(), holed, mask), measure(EdgeDensity(), data, mask)
    assert found == pytest.approx(whole, rel=0.1)
    assert found != whole


def test_fractal_dimensions_of_a_cube():
    mask = np.ones((32, 32, 32), bool)
    found = measure(Fractal(), np.full(mask.shape, 9.0, np.float32), mask)
    assert found["fractal_region"] == pytest.approx(3.0)
    assert found["fractal_image"] == 2.0
    # 6 n^2 - 12 n + 8 voxels of the border at every size of boxes
    counts = [6 * n**2 - 12 * n + 8 for n in (32, 16, 8, 4, 2)]
    slope = np.polyfit(np.log([32, 16, 8, 4, 2]), np.log(counts), 1)[0]
    assert found["fractal_border"] == pytest.approx(slope, rel=1e-9)
    coarse = measure(Fractal(resample_mm=(2.0, 2.0, 2.0)), np.full(mask.shape, 9.0, np.float32), mask, (1.0, 1.0, 1.0))
    assert coarse["fractal_region"] == pytest.approx(3.0)


# co-occurrence at distances


def test_haralick_at_distance_1_is_the_glcm_family():
    data, mask = image(), blob()
    ways = ("2D_avg", "2D_comb", "3D_avg", "3D_comb")
    found = measure(Haralick(bins=12, distances=(1,), aggregations=ways), data, mask)
    family = measure(Ibsi(families=("glcm",), bins=12, aggregations=ways), data, mask)
    assert {name.replace("_d1_", "_"): value for name, value in found.items()} == pytest.approx(family, rel=1e-12)


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_haralick_in_a_slice_equals_scikit_image(distance):
    data = np.random.default_rng(3).integers(0, 8, (1, 30, 33)).astype(np.float32)
    found = measure(
        Haralick(bin_width=1.0, range=(0.0, 7.5), distances=(distance,), aggregations=("2D_avg",)),
        data,
        np.ones(data.shape, bool),
    )
    offsets = [(0, distance), (distance, -distance), (distance, 0), (distance, distance)]
    plane = data[0].astype(np.uint8)
    matrices = []
    for down, right in offsets:
        counts = np.zeros((8, 8))
        for y in range(30):
            for x in range(33):
                if 0 <= y + down < 30 and 0 <= x + right < 33:
                    counts[plane[y, x], plane[y + down, x + right]] += 1
        matrices.append((counts + counts.T) / (2 * counts.sum()))
    for name, theirs in (
        ("contrast", "contrast"),
        ("energy", "ASM"),
        ("inv_diff_mom", "homogeneity"),
        ("corr", "correlation"),
    ):
        expected = graycoprops(np.stack(matrices, axis=-1)[:, :, None, :], theirs).mean()
        assert found[f"cm_{name}_d{distance}_2D_avg"] == pytest.approx(expected, rel=1e-9), name
    straight = graycomatrix(plane, [distance], [0], levels=8, symmetric=True, normed=True)[:, :, 0, 0]
    np.testing.assert_allclose(matrices[0], straight)


def test_haralick_in_space_counts_pairs_by_brute_force():
    rng = np.random.default_rng(5)
    data, mask = rng.integers(0, 4, (7, 8, 9)).astype(np.float32), rng.random((7, 8, 9)) < 0.8
    op = Haralick(bin_width=1.0, range=(0.0, 3.5), distances=(3,), aggregations=("3D_comb",))
    found = measure(op, data, mask)
    steps = [(z, y, x) for z in (-3, 0, 3) for y in (-3, 0, 3) for x in (-3, 0, 3) if (z, y, x) != (0, 0, 0)]
    pairs = []
    for place in map(tuple, np.argwhere(mask)):
        for step in steps:
            other = tuple(np.add(place, step))
            if all(0 <= at < size for at, size in zip(other, mask.shape, strict=True)) and mask[other]:
                pairs.append((data[place], data[other]))
    differences = np.array([one - other for one, other in pairs])
    assert found["cm_contrast_d3_3D_comb"] == pytest.approx((differences**2).mean(), rel=1e-9)
    assert found["cm_dissimilarity_d3_3D_comb"] == pytest.approx(np.abs(differences).mean(), rel=1e-9)


def test_haralick_says_what_it_is():
    op = Haralick(bins=8, distances=(1, 4))
    names = [column.name for column in op.columns]
    assert len(names) == len(set(names)) == 2 * 25
    assert {column.name: column.ibsi for column in op.columns}["cm_contrast_d4_3D_avg"] == "ACUI"
    assert (op.discretisation, op.compliance) == ("fixed bin number 8", "deviates")
    assert Haralick(bins=8, distances=(1,)).compliance == "ibsi"
    assert math.isnan(measure(Haralick(bins=8, distances=(60,)), image(), blob())["cm_contrast_d60_3D_avg"])
