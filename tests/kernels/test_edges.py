"""Edges against scikit-image, and against edges that were drawn."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import sobel

from medpipe.kernels.edges import gradient_size, smoothed_gradient_size, thin_edges

IMAGE = np.random.default_rng(6).normal(0.0, 30.0, (31, 34))


def test_the_gradient_is_sobels():
    # theirs is the root of the mean of squares of slopes over two pixels
    np.testing.assert_allclose(gradient_size(IMAGE), sobel(IMAGE) / np.sqrt(2.0), rtol=1e-12)


def test_a_ramp_has_its_slope():
    ramp = 3.0 * np.arange(20.0)[:, None] + np.zeros(18)
    np.testing.assert_allclose(gradient_size(ramp)[1:-1], 3.0)
    np.testing.assert_allclose(smoothed_gradient_size(ramp, sigma=1.0)[6:-6], 3.0)


def test_the_edges_of_a_square_are_its_outline():
    plane = np.zeros((40, 40))
    plane[10:30, 10:30] = 100.0
    edges = thin_edges(plane, sigma=1.0, threshold=15.0)
    outline = np.zeros(plane.shape, bool)
    outline[9:31, 9:31] = True
    outline[11:29, 11:29] = False
    assert not (edges & ~outline).any()
    assert edges.sum() == pytest.approx(4 * 19, abs=5)
    assert not thin_edges(plane, sigma=1.0, threshold=60.0).any()


def test_weak_edges_go_on_where_a_strong_one_begins():
    plane = np.zeros((30, 60))
    plane[15:, :30], plane[15:, 30:] = 100.0, 60.0
    sharp = ndimage.gaussian_filter(plane, 1.0)
    steep, flat = gradient_size(sharp)[:, 10].max(), gradient_size(sharp)[:, 50].max()
    assert flat < 0.9 * steep
    edges = thin_edges(plane, sigma=1.0, threshold=0.9 * steep)
    assert edges[:, 10].any()
    assert edges[:, 50].any()
    plane[15:, :30] = 60.0
    assert not thin_edges(plane, sigma=1.0, threshold=0.9 * steep).any()
