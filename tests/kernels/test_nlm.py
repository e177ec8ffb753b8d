"""Non-local means against the definition, cube by cube."""

import numpy as np
import pytest
from scipy.special import ive

from medpipe.kernels.nlm import non_local_means
from tests.kernels import whole_arrays


def noisy(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (np.indices(shape).sum(0) // 9 + rng.normal(0, 0.3, shape)).astype(np.float32)


def by_definition(x, *, patch_size, distance, h, sigma):
    x = x.astype(np.float64)
    half = [patch_size // 2 if n > 1 else 0 for n in x.shape]
    reach = [distance if n > 1 else 0 for n in x.shape]
    padded = np.pad(x, [(a + b,) * 2 for a, b in zip(half, reach, strict=True)], mode="reflect")
    result = np.empty_like(x)
    for place in np.ndindex(x.shape):
        cubes = {}
        for shift in np.ndindex(*(2 * one + 1 for one in reach)):
            low = [p + s for p, s in zip(place, shift, strict=True)]
            cubes[shift] = padded[tuple(slice(a, a + 2 * b + 1) for a, b in zip(low, half, strict=True))]
        own = cubes[tuple(reach)]
        middle = tuple(half)
        weights = {
            shift: np.exp(-max(np.mean((own - cube) ** 2) - 2 * sigma**2, 0) / h**2) for shift, cube in cubes.items()
        }
        result[place] = sum(weights[shift] * cube[middle] for shift, cube in cubes.items()) / sum(weights.values())
    return result


@pytest.mark.parametrize(("patch_size", "distance"), [(3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 7, 8), (3, 9, 4)])
def test_it_is_the_mean_of_what_looks_alike(patch_size, distance, shape):
    x = noisy(shape)
    settings = {"patch_size": patch_size, "distance": distance, "h": 0.4, "sigma": 0.3}
    expected = by_definition(x, **settings)
    found = non_local_means(x, **settings, rician=False)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4 * np.ptp(x)
    # what larger images are held against is the definition too
    np.testing.assert_allclose(whole_arrays.non_local_means(x, **settings, rician=False), expected, rtol=1e-9)


def test_tiles_leave_no_seam():
    x = noisy((20, 40, 33))
    settings = {"patch_size": 3, "distance": 2, "h": 0.4, "sigma": 0.3, "rician": False}
    expected = whole_arrays.non_local_means(x, **settings)
    assert np.abs(non_local_means(x, **settings) - expected).max() < 1e-5 * np.ptp(x)


def test_the_bias_of_a_magnitude_is_taken_off():
    rng = np.random.default_rng(3)
    sigma = 1.0
    clean = np.full((16, 32, 32), 2.0)
    x = np.hypot(clean + rng.normal(0, sigma, clean.shape), rng.normal(0, sigma, clean.shape)).astype(np.float32)
    settings = {"patch_size": 3, "distance": 2, "h": 1.0, "sigma": sigma}
    plain, corrected = (non_local_means(x, **settings, rician=rician).mean() for rician in (False, True))
    assert abs(corrected - 2.0) < 0.05 < abs(plain - 2.0)


def rician_mean(signal):
    """Return the mean of a magnitude of noise 1."""
    t = signal**2 / 4
    return np.sqrt(np.pi / 2) * ((1 + 2 * t) * ive(0, t) + 2 * t * ive(1, t))


@pytest.mark.parametrize(
    ("signal", "most"), [(0.0, 0.25), (0.5, 0.1), (1.0, 0.06), (1.5, 0.06), (2.0, 0.06), (4.0, 0.06)]
)
@pytest.mark.parametrize("sigma", [1.0, 40.0])
def test_signals_below_two_deviations_are_as_unbiased_as_those_above(signal, most, sigma):
    shape = (10, 30, 30)
    rng = np.random.default_rng(7)
    x = np.hypot(signal + rng.normal(size=shape), rng.normal(size=shape)) * sigma
    x = x.astype(np.float32)
    settings = {"patch_size": 3, "distance": 2, "h": 0.8 * sigma, "sigma": sigma}
    plain, found = (non_local_means(x, **settings, rician=rician) / sigma for rician in (False, True))
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert abs(found.mean() - signal) < most
    # the mean of the magnitudes turned back into the signal they come of
    signals = np.linspace(0, 8, 4001)
    exact = np.interp(plain, rician_mean(signals), signals)
    assert abs(found.mean() - exact.mean()) < 0.03
    # the correction of single magnitudes, on means, leaves more
    single = np.sqrt(np.abs(plain**2 - 1))
    assert signal > 1.0 or abs(found.mean() - signal) < 0.5 * abs(single.mean() - signal)


def test_a_mean_of_squares_below_that_of_noise_gives_nothing():
    x = np.full((5, 6, 7), 3.0, np.float32)
    settings = {"patch_size": 3, "distance": 1, "h": 1.0, "rician": True}
    assert (non_local_means(x, **settings, sigma=3.0) == 0.0).all()
    np.testing.assert_allclose(non_local_means(x, **settings, sigma=2.0), 1.0, rtol=1e-6)


def test_a_missing_voxel_takes_with_it_what_looks_at_it_and_no_more():
    x = noisy((9, 40, 20))
    x[4, 33, 10] = np.nan
    settings = {"patch_size": 3, "distance": 1, "h": 0.4, "sigma": 0.3, "rician": False}
    away = np.abs(np.indices(x.shape) - np.array([4, 33, 10])[:, None, None, None]).max(axis=0)
    np.testing.assert_array_equal(np.isnan(non_local_means(x, **settings)), away <= 2)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2), (30, 1, 4), (5, 6, 1)])
def test_the_least_images_are_no_exception(shape):
    x = noisy(shape)
    settings = {"patch_size": 3, "distance": 3, "h": 0.4, "sigma": 0.3, "rician": True}
    expected = whole_arrays.non_local_means(x, **settings)
    np.testing.assert_allclose(non_local_means(x, **settings), expected, rtol=1e-4, atol=1e-4)
