from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from medpipe.kernels.statistics import NAMES, intensity_statistics


def test_values_by_hand() -> None:
    found = intensity_statistics(np.array([1.0, 2.0, 3.0, 6.0], dtype=np.float32))
    assert tuple(found) == NAMES
    assert found["mean"] == 3.0
    assert found["var"] == 3.5
    assert found["median"] == 2.5
    assert found["range"] == 5.0
    assert found["mad"] == 1.5
    assert found["medad"] == 1.5
    assert found["energy"] == 50.0
    assert found["rms"] == pytest.approx(math.sqrt(12.5))
    assert found["iqr"] == pytest.approx(2.0)
    assert found["qcod"] == pytest.approx(2.0 / 5.5)
    assert found["rmad"] == pytest.approx(0.5)  # 2 and 3 lie within the 10th and 90th percentiles


def test_moments_and_percentiles_equal_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, 30.0, 5000).astype(np.float32)
    found = intensity_statistics(values)
    wide = values.astype(np.float64)
    assert found["skew"] == pytest.approx(stats.skew(wide), rel=1e-12)
    assert found["kurt"] == pytest.approx(stats.kurtosis(wide), rel=1e-12)
    assert found["cov"] == pytest.approx(stats.variation(wide), rel=1e-12)
    assert found["iqr"] == pytest.approx(stats.iqr(wide), rel=1e-12)
    assert found["p10"] == pytest.approx(stats.scoreatpercentile(wide, 10), rel=1e-12)
    assert found["p90"] == pytest.approx(stats.scoreatpercentile(wide, 90), rel=1e-12)
    assert found["medad"] == pytest.approx(np.mean(np.abs(wide - np.median(wide))), rel=1e-12)


@given(arrays(np.int16, st.integers(1, 40), elements=st.integers(-1000, 1000)), st.integers(-500, 500))
def test_a_shift_moves_places_and_keeps_spreads(values: np.ndarray, shift: int) -> None:
    before, after = intensity_statistics(values), intensity_statistics(values + shift)
    for name in ("mean", "median", "min", "p10", "p90", "max"):
        assert after[name] == pytest.approx(before[name] + shift, abs=1e-9)
    for name in ("var", "skew", "kurt", "iqr", "range", "mad", "rmad", "medad"):
        assert after[name] == pytest.approx(before[name], abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("values", [[0.1], [0.1] * 27, [-1000.3] * 1001])
def test_equal_values_have_no_spread_and_no_shape(values: list[float]) -> None:
    found = intensity_statistics(np.array(values, dtype=np.float32))
    assert [found[name] for name in ("var", "skew", "kurt", "cov", "iqr", "mad", "rmad", "medad")] == [0.0] * 8


def test_a_ratio_over_zero_is_nan() -> None:
    found = intensity_statistics(np.array([-1.0, 1.0]))
    assert math.isnan(found["cov"])
    assert math.isnan(found["qcod"])


@pytest.mark.parametrize("size", [1, 2, 9, 10, 11, 41, 1000, 70_001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_percentiles_and_moments_are_those_of_numpy_to_the_last_bit(size, dtype):
    rng = np.random.default_rng(size)
    for values in (rng.normal(40, 60, size).astype(dtype), np.rint(rng.normal(0, 2, size)).astype(dtype)):
        found, wide = intensity_statistics(values), values.astype(np.float64)
        percentiles = np.percentile(wide, [0.0, 10.0, 50.0, 90.0, 100.0])
        given = np.array([found[name] for name in ("min", "p10", "median", "p90", "max")])
        # the same zero, too
        assert given.tobytes() == percentiles.tobytes()
        assert found["mean"] == (wide.mean() if np.ptp(wide) else wide[0])
        assert found["var"] == ((wide - found["mean"]) ** 2).mean()
        assert found["energy"] == (wide**2).sum()
        assert found["medad"] == np.abs(wide - found["median"]).mean()
