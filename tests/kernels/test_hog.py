"""Histograms of oriented gradients against scikit-image."""

import numpy as np
import pytest
from skimage.feature import hog

from medpipe.kernels.hog import oriented_gradients

IMAGE = np.random.default_rng(4).normal(0.0, 30.0, (43, 50))


@pytest.mark.parametrize(("orientations", "cell", "block"), [(9, 8, 2), (8, 6, 3), (4, 16, 1), (12, 5, 2)])
def test_the_blocks_equal_scikit_image(orientations, cell, block):
    expected = hog(
        IMAGE, orientations, (cell, cell), (block, block), block_norm="L2-Hys", feature_vector=False
    ).reshape(-1, block * block, orientations)
    inside = np.ones(IMAGE.shape, bool)
    found = oriented_gradients(IMAGE, inside, orientations=orientations, cell=cell, block=block)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_only_blocks_that_touch_the_region_count():
    inside = np.zeros(IMAGE.shape, bool)
    inside[0, 0] = inside[20, 30] = True
    every = oriented_gradients(IMAGE, np.ones(IMAGE.shape, bool), orientations=9, cell=8, block=2)
    some = oriented_gradients(IMAGE, inside, orientations=9, cell=8, block=2)
    # cells (0, 0) and (2, 3): of the 4 x 5 blocks the first, and those from (1, 2) to (2, 3)
    np.testing.assert_array_equal(some, every[[0, 7, 8, 12, 13]])


def test_blocks_with_a_missing_pixel_go_and_a_small_slice_has_none():
    holed = IMAGE.copy()
    holed[0, 0] = np.nan
    inside = np.ones(IMAGE.shape, bool)
    found = oriented_gradients(holed, inside, orientations=9, cell=8, block=2)
    every = oriented_gradients(IMAGE, inside, orientations=9, cell=8, block=2)
    np.testing.assert_array_equal(found, every[1:])
    assert len(oriented_gradients(IMAGE[:15], inside[:15], orientations=9, cell=8, block=2)) == 0


def test_a_ramp_has_one_direction_and_an_even_slice_none():
    ramp = np.broadcast_to(np.arange(32.0), (32, 32))
    inside = np.ones(ramp.shape, bool)
    blocks = oriented_gradients(ramp, inside, orientations=9, cell=8, block=2)
    assert (blocks[..., 0] > 0.4).all()
    assert (blocks[..., 1:] == 0.0).all()
    assert (oriented_gradients(ramp * 0, inside, orientations=9, cell=8, block=2) == 0.0).all()
