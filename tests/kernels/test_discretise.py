from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medpipe.kernels.discretise import fixed_bin_number, fixed_bin_size


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
