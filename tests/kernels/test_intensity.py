from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.exposure import rescale_intensity

from medpipe.errors import Rejected
from medpipe.kernels.intensity import WINDOWS_HU, clip, percentile_scale, scale_planes, window, zscore

IMAGES = hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-2000, 2000, width=32))


def everywhere(x):
    return np.ones(x.shape, dtype=bool)


def test_a_window_maps_its_ends_to_0_and_1():
    x = np.array([-1000, -160, 40, 240, 3000, np.nan], np.float32)
    np.testing.assert_allclose(window(x, center=40.0, width=400.0), [0, 0, 0.5, 1, 1, np.nan], atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(IMAGES, st.sampled_from(sorted(WINDOWS_HU)))
def test_a_window_equals_scikit_image(x, preset):
    center, width = WINDOWS_HU[preset]
    ends = (center - width / 2, center + width / 2)
    expected = rescale_intensity(x, in_range=ends, out_range=(0.0, 1.0))
    np.testing.assert_allclose(window(x, center=center, width=width), expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(IMAGES)
def test_clipping_twice_is_clipping_once(x):
    once = clip(x, low=-100.0, high=50.0)
    assert once.min() >= -100
    assert once.max() <= 50
    np.testing.assert_array_equal(clip(once, low=-100.0, high=50.0), once)


def test_planes_are_scaled_by_hand():
    x = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    np.testing.assert_array_equal(scale_planes(x, factors=[2.0, 10.0]).ravel(), [0, 2, 4, 6, 40, 50, 60, 70])
    np.testing.assert_array_equal(scale_planes(x, factors=[0.5]), x / 2)


@settings(max_examples=30, deadline=None)
@given(IMAGES, st.lists(st.floats(1e-6, 1e3), min_size=3, max_size=3))
def test_a_product_is_rounded_once(x, factors):
    exact = [np.float32(float(value) * factors[place]) for place, plane in enumerate(x) for value in plane.ravel()]
    np.testing.assert_array_equal(scale_planes(x, factors=factors).ravel(), exact)


def test_zscore_by_hand():
    x = np.array([[[1.0, 3.0, 100.0]]], np.float32)
    mask = np.array([[[True, True, False]]])
    np.testing.assert_allclose(zscore(x, mask)[0, 0], [-1.0, 1.0, 98.0], rtol=1e-6)


def test_zscore_has_mean_0_and_deviation_1_in_the_mask():
    x = np.random.default_rng(12).normal(500, 80, (6, 7, 8)).astype(np.float32)
    mask = x > 450
    scaled = zscore(x, mask)
    assert scaled.dtype == np.float32
    assert scaled[mask].mean(dtype=np.float64) == pytest.approx(0, abs=1e-5)
    assert scaled[mask].std(dtype=np.float64) == pytest.approx(1, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 20), st.floats(-500, 500))
def test_zscore_forgets_scale_and_offset(scale, offset):
    x = np.random.default_rng(13).normal(0, 10, (4, 5, 6)).astype(np.float32)
    moved = (scale * x.astype(np.float64) + offset).astype(np.float32)
    np.testing.assert_allclose(zscore(moved, everywhere(x)), zscore(x, everywhere(x)), atol=1e-3)


def test_percentiles_become_0_and_1():
    x = np.arange(101, dtype=np.float32).reshape(1, 1, 101)
    scaled = percentile_scale(x, everywhere(x), low=10.0, high=60.0)
    np.testing.assert_allclose(scaled[0, 0, [10, 35, 60, 85]], [0, 0.5, 1, 1.5], rtol=1e-6)


def test_percentiles_equal_numpy_over_the_mask():
    x = np.random.default_rng(14).gamma(2, 50, (6, 7, 8)).astype(np.float32)
    mask = x > 40
    low, high = np.percentile(x[mask].astype(np.float64), [1, 99])
    expected = (x - low) / (high - low)
    np.testing.assert_allclose(percentile_scale(x, mask, low=1.0, high=99.0), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [zscore, lambda x, mask: percentile_scale(x, mask, low=1.0, high=99.0)])
def test_what_cannot_be_scaled_is_rejected_by_code(scale):
    x = np.full((2, 3, 4), 0.1, np.float32)
    with pytest.raises(Rejected, match="E_CONSTANT"):
        scale(x, everywhere(x))
    with pytest.raises(Rejected, match="EMPTY_ROI"):
        scale(x, ~everywhere(x))


def test_missing_values_stay_missing_and_do_not_count():
    x = np.random.default_rng(15).normal(size=(3, 4, 5)).astype(np.float32)
    holed = x.copy()
    holed[1, 1, 1] = np.nan
    scaled = zscore(holed, everywhere(x))
    assert np.isnan(scaled).sum() == 1
    known = np.isfinite(holed)
    np.testing.assert_array_equal(scaled[known], zscore(x, known)[known])
