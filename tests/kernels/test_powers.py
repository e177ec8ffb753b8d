from __future__ import annotations

import math

import numpy as np
import pytest

from medpipe.kernels.powers import cubes, fourths


@pytest.mark.parametrize(("powers", "exponent"), [(cubes, 3), (fourths, 4)])
def test_powers_are_those_of_the_library_to_the_last_bit(powers, exponent):
    rng = np.random.default_rng(exponent)
    spread = 10.0 ** rng.uniform(-70, 70, 9000) * rng.choice([-1.0, 1.0], 9000)
    near_one = 1.0 + rng.normal(0, 1e-3, 20_000)
    # such as intensities less their mean: halves, tenths, float32
    short = [rng.integers(-4000, 4000, 20_000) / 2, rng.normal(0, 60, 30_000).astype(np.float32).astype(np.float64)]
    odd = [0.0, -0.0, 1.0, -2.0, 5e-324, 1e-200, 1e60, -1e70, 3e-100, math.inf, -math.inf, 0.1, 1 / 3]
    x = np.concatenate([rng.normal(0, 60, 60_000), *short, near_one, spread, odd])
    expected = np.array([math.pow(value, exponent) for value in x.tolist()])
    assert powers(x).tobytes() == expected.tobytes()
    assert np.isnan(powers(np.array([math.nan]))).all()
    assert np.isinf(powers(np.array([1e200]))).all()
