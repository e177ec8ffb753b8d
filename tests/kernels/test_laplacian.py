from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medpipe.kernels.laplacian import laplacian_terms
from medpipe.kernels.separable import convolved


def response(x, boundary="reflect", **given):
    return convolved(x, laplacian_terms(**given), joined="sum", boundary=boundary)


def kernel_of_the_manual(sigma: float, truncate: float, dimensions: int) -> np.ndarray:
    half = int(np.floor(truncate * sigma + 0.5))
    at = np.indices((2 * half + 1,) * dimensions) - half
    squares = (at**2).sum(axis=0)
    kernel = -1 / sigma**2 * (1 / (np.sqrt(2 * np.pi) * sigma)) ** dimensions
    kernel = kernel * (dimensions - squares / sigma**2) * np.exp(-squares / (2 * sigma**2))
    return kernel - kernel.mean()


@pytest.mark.parametrize("boundary", ["constant", "nearest", "wrap", "reflect"])
@pytest.mark.parametrize("by_slice", [True, False])
def test_the_response_is_that_of_the_kernel_of_the_manual(by_slice, boundary):
    x = np.random.default_rng(0).normal(-800, 100, (12, 13, 14)).astype(np.float32)
    kernel = kernel_of_the_manual(1.5, 3.0, 2 if by_slice else 3)
    expected = ndimage.convolve(x.astype(np.float64), kernel[None] if by_slice else kernel, mode=boundary)
    found = response(x, boundary, sigma_mm=3.0, truncate=3.0, spacing_mm=(2.0,) * 3, by_slice=by_slice)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.ptp(expected))


def test_it_is_scipy_s_within_a_thousandth_of_its_range():
    x = np.random.default_rng(1).normal(0, 100, (14, 15, 16)).astype(np.float32)
    expected = ndimage.gaussian_laplace(x.astype(np.float64), 1.5, truncate=4.0)
    found = response(x, sigma_mm=1.5, truncate=4.0, spacing_mm=(1.0,) * 3, by_slice=False)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.ptp(expected))


def test_a_constant_image_has_no_response():
    x = np.full((9, 9, 9), -1024.0, np.float32)
    assert abs(response(x, sigma_mm=2.0, truncate=4.0, spacing_mm=(3.0, 1.0, 1.5), by_slice=False)).max() < 1e-9


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_parabola_in_mm_bends_alike_along_every_axis(axis):
    spacing_mm = (2.0, 1.0, 1.5)
    at = np.indices((31, 41, 41))[axis] - (15 if axis == 0 else 20)
    x = ((at * spacing_mm[axis]) ** 2).astype(np.float32)
    found = response(x, sigma_mm=2.5, truncate=5.0, spacing_mm=spacing_mm, by_slice=False)
    # twice the square of the smallest step, 1 mm
    assert found[15, 20, 20] == pytest.approx(2.0, rel=2e-3)
