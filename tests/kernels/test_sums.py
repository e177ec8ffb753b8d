"""Sums in parts against NumPy's own of a whole copy in float64, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.kernels.sums import mean_and_deviation


@pytest.mark.parametrize("size", [1, 7, 128, 129, (1 << 16) - 1, (1 << 16) + 1, 200_003, 1_048_577])
@pytest.mark.parametrize("offset", [0.0, -1e6])
def test_mean_and_deviation_are_those_of_a_copy_in_float64(size, offset):
    values = np.random.default_rng(size).normal(offset, 300, size).astype(np.float32)
    wide = values.astype(np.float64)
    assert mean_and_deviation(values) == (float(wide.mean()), float(wide.std()))
