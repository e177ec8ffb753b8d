from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medpipe.kernels.discretise import anchored_bins, fixed_bin_number, fixed_bin_size, histogram_bins


def test_fixed_bin_size_counts_from_the_lower_bound() -> None:
    values = np.array([-1000.0, -975.1, -975.0, 0.0, 399.0, 400.0], dtype=np.float32)
    assert fixed_bin_size(values, width=25.0, low=-1000.0).tolist() == [1, 1, 2, 41, 56, 57]


def test_fixed_bin_number_puts_the_maximum_into_the_last_bin() -> None:
    assert fixed_bin_number(np.array([0.0, 0.9, 1.0, 3.9, 4.0]), bins=4).tolist() == [1, 1, 2, 4, 4]


def test_fixed_bin_number_of_equal_values_is_one_level() -> None:
    assert fixed_bin_number(np.full(27, 7.25), bins=32).tolist() == [1] * 27


@given(
    arrays(np.int32, st.integers(1, 60), elements=st.integers(-2000, 2000)),
    st.integers(2, 64),
    st.sampled_from([0.25, 0.5, 2.0, 8.0]),
    st.integers(-1000, 1000),
)
def test_fixed_bin_number_ignores_scale_and_shift(values: np.ndarray, bins: int, scale: float, shift: int) -> None:
    levels = fixed_bin_number(values, bins=bins)
    assert levels.min() == 1
    assert levels.max() <= bins
    assert np.array_equal(fixed_bin_number(values * scale + shift, bins=bins), levels)


@given(
    arrays(np.float64, st.integers(1, 60), elements=st.floats(-500, 500, width=32)),
    st.sampled_from([0.1, 0.3, 5.0, 7.77, 25.0, 1000.0]),
)
def test_anchored_bins_are_between_multiples_of_the_width(values: np.ndarray, width: float) -> None:
    first = values.min() - values.min() % width
    edges = np.arange(first, values.max() + 2 * width, width)
    assert anchored_bins(values, width=width).tolist() == np.digitize(values, edges).tolist()


def test_an_intensity_on_an_edge_is_in_the_bin_above() -> None:
    assert anchored_bins(np.array([54.0, 75.0, 166.0]), width=25.0).tolist() == [1, 2, 5]
    assert anchored_bins(np.array([-30.0, -25.0, 0.0]), width=25.0).tolist() == [1, 2, 3]


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-500, 500, width=32)), st.integers(1, 64))
def test_bins_of_a_histogram_hold_as_many_as_it_counts(values: np.ndarray, bins: int) -> None:
    levels = histogram_bins(values, bins=bins)
    counts, edges = np.histogram(values, bins)
    edges[-1] += 1
    assert levels.tolist() == np.minimum(np.digitize(values, edges), bins).tolist()
    assert levels.min() >= 1
    assert counts.sum() == levels.size
