"""The transform against PyWavelets, the shrinking against scikit-image."""

import numpy as np
import pytest
import pywt
from skimage.restoration import denoise_wavelet

from medpipe.kernels.wavelet import bayes_shrink, finest_details, usual_levels


def noisy(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (np.indices(shape).sum(0) // 9 * 30 + rng.normal(0, 12, shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(7, 8, 9), (5, 12, 6), (2, 3, 4)])
def test_details_are_those_of_pywavelets(shape):
    x = noisy(shape)
    np.testing.assert_allclose(finest_details(x), pywt.dwtn(x, "db2")["ddd"], atol=1e-4)


@pytest.mark.parametrize("shape", [(17, 20, 33), (12, 13, 14), (40, 41, 16)])
@pytest.mark.parametrize("levels", [1, 2])
def test_it_shrinks_as_scikit_image_does(shape, levels):
    x = noisy(shape)
    expected = denoise_wavelet(
        x, sigma=12.0, wavelet="db2", method="BayesShrink", wavelet_levels=levels, rescale_sigma=False
    )
    found = bayes_shrink(x, sigma=12.0, levels=levels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(x))


def test_a_slice_is_shrunk_in_its_plane():
    x = noisy((1, 40, 37))
    expected = denoise_wavelet(x[0], sigma=12.0, wavelet="db2", wavelet_levels=2, rescale_sigma=False)
    np.testing.assert_allclose(bayes_shrink(x, sigma=12.0, levels=2)[0], expected, atol=1e-5 * np.ptp(x))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (6, 7, 9)])
def test_without_noise_the_way_back_gives_the_image(shape):
    x = noisy(shape)
    np.testing.assert_allclose(bayes_shrink(x, sigma=1e-6, levels=2), x, atol=1e-3)


def test_a_constant_stays():
    np.testing.assert_allclose(bayes_shrink(np.full((9, 9, 9), 7.0, np.float32), sigma=3.0, levels=1), 7.0, rtol=1e-6)


@pytest.mark.parametrize("shape", [(64, 128, 128), (300, 512, 512), (1, 512, 512), (5, 512, 512), (1, 1, 1)])
def test_levels_are_those_of_scikit_image(shape):
    longer = [n for n in shape if n > 1] or [1]
    assert usual_levels(shape) == max(pywt.dwtn_max_level(longer, "db2") - 3, 1)
