"""Sums in parts against NumPy's own of a whole copy in float64, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.kernels.sums import mean_and_deviation, sum_of


@pytest.mark.parametrize("size", [1, 7, 128, 129, (1 << 16) - 1, (1 << 16) + 1, 200_003, 1_048_577])
@pytest.mark.parametrize("offset", [0.0, -1e6])
def test_mean_and_deviation_are_those_of_a_copy_in_float64(size, offset):
    values = np.random.default_rng(size).normal(offset, 300, size).astype(np.float32)
    wide = values.astype(np.float64)
    assert mean_and_deviation(values) == (float(wide.mean()), float(wide.std()))


@pytest.mark.parametrize("size", [1, 7, 1000, (1 << 16) + 1, 200_003])
def test_the_sum_of_what_is_made_is_that_of_a_copy_in_float64(size):
    values = np.random.default_rng(size).normal(3, 300, size).astype(np.float32)
    assert sum_of(values, lambda x: (x - 3.0) ** 2) == float(((values.astype(np.float64) - 3.0) ** 2).sum())
    # what is handed over may be written to
    wide = values.astype(np.float64)
    sum_of(wide, lambda x: np.negative(x, out=x))
    assert (wide == values).all()
