from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
import SimpleITK as sitk

from medpipe.kernels.growing import grown, grown_by_confidence

SHAPE = (9, 16, 18)


def image():
    smooth = ndi.gaussian_filter(np.random.default_rng(1).normal(0, 1, SHAPE), 1.5)
    return (smooth / smooth.std() * 30).astype(np.float32)


def seeds(count, seed):
    rng = np.random.default_rng(seed)
    return [tuple(int(rng.integers(0, size)) for size in SHAPE) for _ in range(count)]


def for_itk(found):
    return [place[::-1] for place in found]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_growing_within_limits_is_itks(count, seed):
    x, places = image(), seeds(count, seed)
    itk = sitk.ConnectedThreshold(sitk.GetImageFromArray(x), seedList=for_itk(places), lower=-10.0, upper=35.0)
    np.testing.assert_array_equal(grown(x, places, low=-10.0, high=35.0), sitk.GetArrayFromImage(itk).astype(bool))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("radius", "iterations", "multiplier"), [(1, 4, 2.5), (1, 0, 1.5), (2, 1, 1.2), (1, 2, 0.7)])
def test_growing_by_confidence_is_itks(count, radius, iterations, multiplier):
    x = image()
    for seed in range(4):
        places = seeds(count, seed)
        itk = sitk.ConfidenceConnected(
            sitk.GetImageFromArray(x),
            seedList=for_itk(places),
            numberOfIterations=iterations,
            multiplier=multiplier,
            initialNeighborhoodRadius=radius,
        )
        found = grown_by_confidence(x, places, radius=radius, multiplier=multiplier, iterations=iterations)
        np.testing.assert_array_equal(found, sitk.GetArrayFromImage(itk).astype(bool))


def test_corners_lead_on_only_where_they_may():
    x = np.zeros((2, 2, 2), np.float32)
    x[0, 0, 0] = x[1, 1, 1] = 1.0
    assert grown(x, [(0, 0, 0)], low=0.5, high=2.0).sum() == 1
    assert grown(x, [(0, 0, 0)], low=0.5, high=2.0, neighbours=26).sum() == 2


def test_a_seed_outside_the_limits_starts_nothing_and_nan_is_outside():
    x = np.ones((3, 4, 5), np.float32)
    x[:, 2] = np.nan
    assert not grown(x, [(0, 2, 0)], low=-np.inf, high=np.inf).any()
    assert grown(x, [(0, 0, 0)], low=0.0, high=2.0).sum() == 3 * 2 * 5
    assert grown_by_confidence(x, [(0, 0, 0)], radius=1, multiplier=2.0, iterations=3).sum() == 3 * 2 * 5
