"""Bilateral smoothing against the definition and against ITK."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

import medpipe.kernels.bilateral as kernel
from medpipe.errors import Rejected
from medpipe.kernels.bilateral import bilateral, bilateral_radius
from medpipe.ops.denoise import Bilateral
from medpipe.types import Geometry, Volume

SPACING_MM = (2.0, 1.0, 0.8)


def noisy(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (np.indices(shape).sum(0) // 6 % 2 * 50 + rng.normal(0, 6, shape)).astype(np.float32)


def by_definition(x, sigma_mm, sigma_value, spacing_mm):
    radius = bilateral_radius(sigma_mm=sigma_mm, spacing_mm=spacing_mm, shape=x.shape)
    padded = np.pad(x.astype(np.float64), [(r, r) for r in radius], mode="reflect")
    offsets = np.meshgrid(*(np.arange(-r, r + 1) * s for r, s in zip(radius, spacing_mm, strict=True)), indexing="ij")
    near = np.exp(-sum(o**2 for o in offsets) / (2 * sigma_mm**2))
    result = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        window = padded[tuple(slice(p, p + 2 * r + 1) for p, r in zip(place, radius, strict=True))]
        weights = near * np.exp(-((window - x[place]) ** 2) / (2 * sigma_value**2))
        result[place] = (weights * window).sum() / weights.sum()
    return result


@pytest.mark.parametrize("shape", [(5, 9, 11), (1, 12, 13), (4, 1, 6), (10, 35, 3)])
def test_it_is_the_mean_of_what_is_near_in_place_and_value(shape):
    x = noisy(shape)
    settings = {"sigma_mm": 1.3, "sigma_value": 15.0, "spacing_mm": SPACING_MM}
    expected = by_definition(x, 1.3, 15.0, SPACING_MM)
    found = bilateral(x, **settings)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5 * np.ptp(x)


def test_it_is_what_itk_does_with_a_window_as_wide(monkeypatch):
    # scikit-image is no oracle: its table of distances is made for one place more than its window has
    monkeypatch.setattr(kernel, "TRUNCATE", 2.5)
    x = noisy((16, 17, 18))
    image = sitk.GetImageFromArray(x)
    image.SetSpacing((1.0, 1.0, 2.0))
    peer = sitk.Bilateral(image, domainSigma=2.0, rangeSigma=15.0, numberOfRangeGaussianSamples=100_000)
    found = bilateral(x, sigma_mm=2.0, sigma_value=15.0, spacing_mm=(2.0, 1.0, 1.0))
    inside = (slice(2, -2), slice(5, -5), slice(5, -5))
    # ITK leaves out differences beyond four standard deviations, a weight of 3e-4
    np.testing.assert_allclose(found[inside], sitk.GetArrayFromImage(peer)[inside], atol=5e-4 * np.ptp(x))


def test_the_window_ends_after_two_standard_deviations():
    assert bilateral_radius(sigma_mm=1.5, spacing_mm=(3.0, 1.0, 0.7)) == (1, 3, 4)
    assert bilateral_radius(sigma_mm=1.5, spacing_mm=(3.1, 1.0, 0.7)) == (0, 3, 4)


def test_a_missing_voxel_takes_its_window_with_it_and_no_more():
    x = noisy((7, 20, 20))
    x[3, 10, 10] = np.nan
    found = bilateral(x, sigma_mm=1.0, sigma_value=15.0, spacing_mm=(2.0, 1.0, 1.0))
    expected = np.zeros(x.shape, bool)
    expected[2:5, 8:13, 8:13] = True
    np.testing.assert_array_equal(np.isnan(found), expected)


def test_a_window_that_never_ends_is_refused_and_the_largest_one_has_its_weights_in_memory():
    x = noisy((1, 24, 24))
    fine = Geometry(shape=x.shape, spacing_mm=(1.0, 0.05, 0.05))
    op = Bilateral(sigma_mm=10.0, sigma_value=15.0)
    with pytest.raises(Rejected, match="E_WINDOW"):
        op(Volume(data=x, geometry=fine))
    plane, solid = (replace(fine, shape=shape, spacing_mm=(1.0, 0.2, 0.2)) for shape in ((1, 24, 24), (9, 24, 24)))
    # 201 by 201 voxels in a plane
    assert op.memory(plane) > 12 * 201 * 201
    with pytest.raises(Rejected, match="E_WINDOW"):
        op(Volume(data=noisy(solid.shape), geometry=solid))
