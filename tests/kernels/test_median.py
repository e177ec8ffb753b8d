from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medpipe.kernels.median import LANES, median


def test_a_lone_bright_voxel_vanishes():
    x = np.ones((3, 3, 3), np.float32)
    x[1, 1, 1] = 100.0
    np.testing.assert_array_equal(median(x, size=3), np.ones((3, 3, 3), np.float32))


def test_the_middle_of_27_different_values_is_their_median():
    values = np.random.default_rng(3).permutation(27).astype(np.float32)
    assert median(values.reshape(3, 3, 3), size=3)[1, 1, 1] == 13.0


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (1, 5, 7), (2, 2, 2), (4, 1, 9), (5, 8, LANES), (3, 7, LANES + 1), (3, 6, 2 * LANES - 1), (7, 9, 1)],
)
def test_the_cube_of_3_is_identical_to_scipy(shape):
    x = np.random.default_rng(4).normal(0, 100, shape).astype(np.float32)
    np.testing.assert_array_equal(median(x, size=3), ndi.median_filter(x, size=3, mode="nearest"))


@pytest.mark.parametrize("size", [5, 7])
def test_larger_cubes_are_identical_to_scipy(size):
    x = np.random.default_rng(5).normal(0, 100, (6, 11, 13)).astype(np.float32)
    np.testing.assert_array_equal(median(x, size=size), ndi.median_filter(x, size=size, mode="nearest"))


# Two values are enough: a network of comparators that sorts all of 0 and 1 sorts everything.
@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.float32, (3, 4, 5), elements=st.sampled_from([0.0, 1.0])))
def test_zeros_and_ones_come_out_as_the_majority(x):
    count = ndi.uniform_filter(np.pad(x.astype(np.float64), 1, mode="edge"), 3)[1:-1, 1:-1, 1:-1] * 27
    np.testing.assert_array_equal(median(x, size=3), (np.rint(count) >= 14).astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float32, (3, 5, 6), elements=st.floats(-1e4, 1e4, width=32)))
def test_order_is_all_that_counts(x):
    # A monotone map commutes with the median.
    np.testing.assert_array_equal(median(np.float32(2) * x, size=3), np.float32(2) * median(x, size=3))


def test_missing_values_spread_over_their_cube_and_no_further():
    x = np.random.default_rng(6).normal(size=(6, 7, 8)).astype(np.float32)
    x[2, 3, 4] = np.nan
    missing = np.zeros(x.shape, bool)
    missing[1:4, 2:5, 3:6] = True
    filtered = median(x, size=3)
    np.testing.assert_array_equal(np.isnan(filtered), missing)
    whole = median(np.where(np.isnan(x), np.float32(0), x), size=3)
    np.testing.assert_array_equal(filtered[~missing], whole[~missing])


def test_a_zero_has_one_sign():
    x = np.where(np.random.default_rng(7).random((4, 5, 6)) < 0.5, np.float32(-0.0), np.float32(0.0))
    assert not np.signbit(median(x, size=3)).any()
    assert not np.signbit(median(x, size=5)).any()
