"""Anscombe's transform against sums over Poisson's distribution."""

import numpy as np
import pytest
from scipy.stats import poisson

from medpipe.errors import Rejected
from medpipe.kernels.anscombe import anscombe, gain_of, unbiased_inverse

COUNTS = np.arange(4000)


@pytest.mark.parametrize("gain", [1.0, 37.5])
def test_the_inverse_takes_the_mean_of_the_transform_to_the_mean(gain):
    means = np.array([0.003, 0.05, 0.4, 1.0, 2.7, 10.0, 60.0, 119.9, 120.1, 400.0, 2500.0])
    transformed = anscombe((COUNTS * gain).astype(np.float32), gain=gain).astype(np.float64)
    expected = np.array([(transformed * poisson.pmf(COUNTS, mean)).sum() for mean in means], np.float32)
    found = unbiased_inverse(expected.reshape(1, 1, -1), gain=gain)
    np.testing.assert_allclose(found[0, 0], means * gain, rtol=2e-5, atol=2e-6 * gain)


def test_the_algebraic_inverse_would_be_biased():
    mean = 1.0
    transformed = (2 * np.sqrt(COUNTS + 0.375) * poisson.pmf(COUNTS, mean)).sum()
    assert abs((transformed / 2) ** 2 - 0.375 - mean) > 0.1


@pytest.mark.parametrize("mean", [4.0, 30.0])
def test_noise_becomes_one(mean):
    variance = (anscombe(COUNTS.astype(np.float32), gain=1.0) ** 2 * poisson.pmf(COUNTS, mean)).sum()
    variance -= (anscombe(COUNTS.astype(np.float32), gain=1.0) * poisson.pmf(COUNTS, mean)).sum() ** 2
    assert variance == pytest.approx(1.0, abs=0.03)


def test_beyond_the_ends_the_inverse_is_zero_or_goes_on_and_a_missing_voxel_stays_missing():
    y = np.array([[[-3.0, 0.0, 1.0, np.nan, 2000.0]]], np.float32)
    np.testing.assert_allclose(unbiased_inverse(y, gain=2.0)[0, 0], [0, 0, 0, np.nan, 2 * (1e6 - 0.125)], rtol=1e-6)
    assert anscombe(np.array([-5.0], np.float32), gain=1.0)[0] == 0.0


@pytest.mark.parametrize("gain", [0.02, 250.0])
def test_the_gain_is_variance_over_mean(gain):
    means = np.indices((12, 60, 60)).sum(0) / 4 + 3.0
    x = np.random.default_rng(1).poisson(means) * gain
    assert gain_of(x.astype(np.float32)) == pytest.approx(gain, rel=0.05)


@pytest.mark.parametrize(
    "x", [np.zeros((2, 6, 6)), np.full((2, 6, 6), 5.0), np.full((2, 6, 6), np.nan), -np.ones((1, 1, 9))]
)
def test_without_counts_there_is_no_gain(x):
    with pytest.raises(Rejected, match="E_CONSTANT"):
        gain_of(x.astype(np.float32))
