from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medpipe.kernels.separable import ALONE, by_arrays, convolved, mean_term, reach_of

BOUNDARIES = ("constant", "nearest", "wrap", "reflect")
SHAPE = (6, 9, 11)


def image(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 100, shape).astype(np.float32)


def taps(seed: int, length: int) -> tuple[float, ...]:
    return tuple(np.random.default_rng(seed).normal(size=length).tolist())


TERMS = [
    (taps(1, 5), taps(2, 3), taps(3, 9)),
    (taps(1, 5), taps(4, 7), taps(3, 9)),
    (taps(5, 3), ALONE, taps(6, 1)),
    (taps(7, 5), (0.0, 0.0, 2.0, 0.0, -1.0), ALONE),
]


def by_scipy(x: np.ndarray, terms: list, joined: str, boundary: str) -> np.ndarray:
    made = []
    for term in terms:
        one = x.astype(np.float64)
        for axis, weights in enumerate(term):
            one = ndimage.convolve1d(one, weights, axis=axis, mode=boundary)
        made.append(one)
    together = {"sum": np.sum, "max": np.max, "size": lambda every, axis: np.max(np.abs(every), axis=axis)}
    return together[joined](made, axis=0)


def test_a_kernel_is_turned_round_as_a_convolution_does():
    row = np.array([[[0, 0, 1, 0, 0]]], np.float32)
    found = convolved(row, [(ALONE, ALONE, (1.0, 2.0, 3.0))], joined="sum", boundary="constant")
    assert found.tolist() == [[[0.0, 1.0, 2.0, 3.0, 0.0]]]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("joined", ["sum", "max", "size"])
def test_terms_are_those_of_scipy(joined, boundary):
    x = image()
    expected = by_scipy(x, TERMS, joined, boundary)
    for found in (convolved, by_arrays):
        made = found(x, TERMS, joined=joined, boundary=boundary)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, expected, atol=1e-6 * np.ptp(expected))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 2), (3, 1, 5)])
def test_kernels_may_be_longer_than_the_image(boundary, shape):
    x = image(2, shape)
    term = (taps(1, 9), taps(2, 7), taps(3, 13))
    expected = by_scipy(x, [term], "sum", boundary)
    found = convolved(x, [term], joined="sum", boundary=boundary)
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("by_slice", [True, False])
def test_a_mean_is_the_uniform_filter(boundary, by_slice):
    x = image(3)
    expected = ndimage.uniform_filter(x.astype(np.float64), (1 if by_slice else 5, 5, 5), mode=boundary)
    found = convolved(x, [mean_term(5, by_slice=by_slice)], joined="sum", boundary=boundary)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("joined", ["sum", "max", "size"])
def test_what_a_missing_voxel_weighs_in_is_missing_by_either_body(joined):
    x = image(4)
    x[3, 4, 5] = np.nan
    terms = [(taps(1, 3), taps(2, 3), taps(3, 3)), ((0.0, 0.0, 1.0), ALONE, ALONE)]
    found, other = (body(x, terms, joined=joined, boundary="reflect") for body in (convolved, by_arrays))
    expected = np.zeros(SHAPE, bool)
    expected[2:5, 3:6, 4:7] = True
    np.testing.assert_array_equal(np.isnan(found), expected)
    np.testing.assert_array_equal(np.isnan(other), expected)


def test_how_far_terms_look_is_the_longest_of_each_axis():
    assert reach_of(TERMS) == (2, 3, 4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), scale=st.floats(-8, 8), boundary=st.sampled_from(BOUNDARIES))
def test_a_sum_of_terms_is_linear(seed, scale, boundary):
    one, other = image(seed), image(seed + 1)
    both = (one + np.float32(scale) * other).astype(np.float32)
    responses = [convolved(x, TERMS, joined="sum", boundary=boundary) for x in (one, other, both)]
    np.testing.assert_allclose(responses[0] + scale * responses[1], responses[2], atol=0.05)
