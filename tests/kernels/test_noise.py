"""The level of noise against scikit-image, and against noise that was put in."""

import numpy as np
import pytest
from skimage.restoration import estimate_sigma

from medpipe.errors import Rejected
from medpipe.kernels.noise import air_noise, detail_noise, magnitude_noise

SHAPE = (40, 48, 48)


def sphere(radius=14.0):
    z, y, x = (np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2).T
    return np.where(z * z + y * y + x * x < radius**2, 100.0, 0.0)


def magnitude(clean, sigma, seed=5):
    rng = np.random.default_rng(seed)
    return np.hypot(clean + rng.normal(0, sigma, SHAPE), rng.normal(0, sigma, SHAPE)).astype(np.float32)


@pytest.mark.parametrize("shape", [(9, 14, 17), (6, 8, 10), (1, 20, 21)])
def test_it_is_what_scikit_image_estimates(shape):
    x = np.random.default_rng(2).normal(40, 7, shape).astype(np.float32)
    # its transform finds no detail along an axis of one voxel, so that has to go first
    assert detail_noise(x) == pytest.approx(estimate_sigma(np.squeeze(x)), rel=1e-5)


@pytest.mark.parametrize("sigma", [5.0, 20.0, 50.0])
def test_noise_on_a_sphere_is_found_within_5_percent(sigma):
    x = sphere() + np.random.default_rng(3).normal(0, sigma, SHAPE)
    assert detail_noise(x.astype(np.float32)) == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_noise_of_a_magnitude_is_found_in_the_air_within_3_percent(sigma):
    x = magnitude(sphere(), sigma)
    assert air_noise(x) == pytest.approx(sigma, rel=0.03)
    assert magnitude_noise(x) == air_noise(x)


def test_air_that_was_cut_away_does_not_count():
    x = magnitude(sphere(), 4.0)
    x[:, :20] = 0.0
    assert air_noise(x) == pytest.approx(4.0, rel=0.03)


@pytest.mark.parametrize("left", ["nothing", "a little"])
def test_without_air_the_details_tell(left):
    clean = sphere() + 300.0
    x = magnitude(clean, 6.0)
    if left == "a little":
        x[0, 0, :40] = magnitude(np.zeros(SHAPE), 6.0)[0, 0, :40]
    assert air_noise(x) is None
    assert magnitude_noise(x) == detail_noise(x) == pytest.approx(6.0, rel=0.05)


def test_a_missing_voxel_does_not_count():
    x = np.random.default_rng(4).normal(0, 3, SHAPE).astype(np.float32)
    x[5, 6, 7] = np.nan
    assert detail_noise(x) == pytest.approx(3.0, rel=0.05)
    assert air_noise(np.abs(x)) is None or np.isfinite(air_noise(np.abs(x)))


@pytest.mark.parametrize("value", [0.0, 12.0, np.nan])
def test_an_image_without_details_is_refused(value):
    with pytest.raises(Rejected, match="E_CONSTANT"):
        detail_noise(np.full((6, 7, 8), value, np.float32))
    assert air_noise(np.full((6, 7, 8), value, np.float32)) is None
