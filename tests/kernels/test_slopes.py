from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
import SimpleITK as sitk
from skimage.filters import apply_hysteresis_threshold

from medpipe.kernels.slopes import connected_to_strong, curvature, slope, without_gaps

SPACING_MM = (2.5, 1.0, 0.8)


def image(shape=(12, 20, 22)):
    return np.random.default_rng(2).normal(0, 20, shape).astype(np.float32)


def smoothed(x, sigma_mm, spacing_mm):
    sigma = [sigma_mm / step for step in spacing_mm]
    return ndi.gaussian_filter(x.astype(np.float64), sigma, mode="nearest", truncate=4.0)


def test_the_slope_is_numpys_gradient_of_what_scipy_smooths():
    x = image()
    expected = np.sqrt(sum(part**2 for part in np.gradient(smoothed(x, 1.6, SPACING_MM), *SPACING_MM)))
    found = slope(x, sigma_mm=1.6, spacing_mm=SPACING_MM)
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize("shape", [(12, 20, 22), (1, 20, 22)])
def test_the_curvature_is_scipys_laplacian_of_what_it_smooths(shape):
    x = image(shape)
    expected = ndi.laplace(smoothed(x, 1.6, (2.0, 2.0, 2.0)), mode="nearest") / 4
    found = curvature(x, sigma_mm=1.6, spacing_mm=(2.0, 2.0, 2.0))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_the_curvature_of_a_flat_image_is_0_where_sampled_windows_say_otherwise():
    # scipy samples second derivatives of the window, whose weights do not sum to 0: air at -1000 HU
    # would be as curved as an edge is
    flat = np.full((9, 9, 9), -1000.0, np.float32)
    assert np.abs(ndi.gaussian_laplace(flat, 0.6, mode="nearest")).min() > 100.0
    assert np.abs(curvature(flat, sigma_mm=0.6, spacing_mm=(1.0, 1.0, 1.0))).max() < 1e-3


def test_a_ramp_has_its_slope_in_mm_along_each_axis():
    for axis, step in enumerate(SPACING_MM):
        places = 7.0 * step * np.arange(40, dtype=np.float32)
        x = np.broadcast_to(np.expand_dims(places, tuple(n for n in range(3) if n != axis)), (40, 40, 40)).copy()
        middle = (slice(18, 22),) * 3
        assert slope(x, sigma_mm=2.0, spacing_mm=SPACING_MM)[middle] == pytest.approx(7.0, rel=1e-3)
        assert np.abs(curvature(x, sigma_mm=2.0, spacing_mm=SPACING_MM)[middle]).max() < 1e-3


def test_the_curvature_of_uneven_voxels_is_itks_but_for_how_windows_are_made():
    # ITK's windows are recursive approximations without an end: the rest of 5 % is theirs
    x = ndi.gaussian_filter(image((24, 40, 48)), 2.0).astype(np.float32)
    given = sitk.GetImageFromArray(x)
    given.SetSpacing(SPACING_MM[::-1])
    expected = sitk.GetArrayFromImage(sitk.LaplacianRecursiveGaussian(given, sigma=4.0))
    found = curvature(x, sigma_mm=4.0, spacing_mm=SPACING_MM)
    inner = (slice(6, -6), slice(12, -12), slice(12, -12))
    assert np.abs(found - expected)[inner].max() < 0.05 * np.abs(expected[inner]).max()


def test_hysteresis_is_scikit_images():
    x = ndi.gaussian_filter(image(), 1.0)
    expected = apply_hysteresis_threshold(x, 1.0, 8.0)
    found = connected_to_strong(x > 1.0, x > 8.0)
    assert 0 < expected.sum() < (x > 1.0).sum()
    # scikit-image joins voxels by faces: what touches by a corner alone is ours too
    assert (found >= expected).all()
    labels, _ = ndi.label(x > 1.0, np.ones((3, 3, 3)))
    np.testing.assert_array_equal(found, np.isin(labels, np.unique(labels[x > 8.0])))


def test_nothing_strong_is_nothing():
    weak = np.ones((2, 4, 5), bool)
    assert not connected_to_strong(weak, ~weak).any()
    assert connected_to_strong(weak, weak).all()


def test_gaps_get_the_least_value():
    x = image((3, 4, 5))
    assert without_gaps(x) is x
    holed = x.copy()
    holed[1, 1, 1], holed[0, 0, 0] = np.nan, np.inf
    filled = without_gaps(holed)
    assert filled[1, 1, 1] == filled[0, 0, 0] == np.nanmin(holed)
    assert np.isnan(holed[1, 1, 1])
