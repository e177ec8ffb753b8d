from __future__ import annotations

import numpy as np
import pytest
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


def in_order(x, sigma_mm):
    """Return the sums in float32, axis by axis and pair by pair from the middle on, by whole-array arithmetic."""
    radius = gaussian_radius(sigma_mm=sigma_mm, spacing_mm=SPACING_MM)
    for axis, (reach, step) in enumerate(zip(radius, SPACING_MM, strict=True)):
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (sigma_mm / step)) ** 2)
        half = (weights / weights.sum())[reach:].astype(np.float32)
        places = np.arange(x.shape[axis])
        total = half[0] * x
        for k in range(1, reach + 1):
            before, after = (x.take(places + by, axis=axis, mode="clip") for by in (-k, k))
            total = total + half[k] * (before + after)
        x = total
    return x


@pytest.mark.parametrize("sigma_mm", [0.1, 0.4, 0.8, 1.5, 4.0, 60.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 6, 7), (3, 1, 5000), (2, 5000, 3), (3, 70, 90)])
def test_it_is_the_same_to_the_last_bit_however_many_rows_and_pairs_go_together(shape, sigma_mm):
    x = np.random.default_rng(3).normal(0, 300, shape).astype(np.float32)
    found = gaussian(x, sigma_mm=sigma_mm, spacing_mm=SPACING_MM)
    np.testing.assert_array_equal(found, in_order(x, sigma_mm))
    for first in range(len(x)):
        part = gaussian(x, sigma_mm=sigma_mm, spacing_mm=SPACING_MM, planes=(first, first + 1))
        np.testing.assert_array_equal(part, found[first : first + 1])


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
