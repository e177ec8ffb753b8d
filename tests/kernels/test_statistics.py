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
