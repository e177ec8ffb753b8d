from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi

from medpipe.kernels.gaussian import gaussian, gaussian_radius

SPACING_MM = (2.5, 0.8, 0.7)


def test_a_point_becomes_the_normalised_window():
    x = np.zeros((1, 1, 21), np.float32)
    x[0, 0, 10] = 1.0
    smooth = gaussian(x, sigma_mm=1.0, spacing_mm=(1.0, 1.0, 1.0))
    weights = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    np.testing.assert_allclose(smooth[0, 0, 6:15], weights / weights.sum(), rtol=1e-6)
    assert not smooth[0, 0, :6].any()


def test_a_constant_image_stays():
    x = np.full((5, 6, 7), -731.0, np.float32)
    np.testing.assert_allclose(gaussian(x, sigma_mm=2.0, spacing_mm=SPACING_MM), x, rtol=1e-6)


def test_it_equals_scipy_with_sigma_in_voxels():
    x = np.random.default_rng(1).normal(0, 300, (9, 20, 31)).astype(np.float32)
    expected = ndi.gaussian_filter(x, [1.5 / step for step in SPACING_MM], mode="nearest", truncate=4)
    result = gaussian(x, sigma_mm=1.5, spacing_mm=SPACING_MM)
    assert result.dtype == np.float32
    # ours sums in float32, SciPy in float64
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * np.ptp(x))


def test_nothing_beyond_the_radius_weighs_in():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(15, 31, 31)).astype(np.float32)
    reach = gaussian_radius(sigma_mm=1.5, spacing_mm=SPACING_MM)
    far = x.copy()
    inner = tuple(slice(max(size // 2 - r, 0), size // 2 + r + 1) for size, r in zip(x.shape, reach, strict=True))
    far[...] = rng.normal(size=x.shape)
    far[inner] = x[inner]
    centre = tuple(size // 2 for size in x.shape)
    assert (
        gaussian(x, sigma_mm=1.5, spacing_mm=SPACING_MM)[centre]
        == gaussian(far, sigma_mm=1.5, spacing_mm=SPACING_MM)[centre]
    )
