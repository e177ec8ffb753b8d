from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from skimage.segmentation import morphological_chan_vese, morphsnakes

from medpipe.kernels.chan_vese import chan_vese


def image(shape):
    smooth = ndi.gaussian_filter(np.random.default_rng(3).normal(0, 1, shape), 1.5)
    return (smooth / smooth.std() * 30).astype(np.float32)


def scikit_images(x, start, *, iterations, smoothing, inside, outside):
    # its two smoothers take turns over all calls of a process: each comparison begins with the first
    morphsnakes._curvop = morphsnakes._fcycle(
        [
            lambda u: morphsnakes.sup_inf(morphsnakes.inf_sup(u)),
            lambda u: morphsnakes.inf_sup(morphsnakes.sup_inf(u)),
        ]
    )
    settings = {"smoothing": smoothing, "lambda1": inside, "lambda2": outside}
    found = morphological_chan_vese(x.astype(np.float64), iterations, init_level_set=start.astype(np.int8), **settings)
    return found.astype(bool)


@pytest.mark.parametrize("smoothing", [0, 1, 2, 3])
@pytest.mark.parametrize("iterations", [1, 7])
def test_the_region_is_scikit_images(smoothing, iterations):
    x = image((9, 16, 18))
    settings = {"iterations": iterations, "smoothing": smoothing, "inside": 1.0, "outside": 1.2}
    np.testing.assert_array_equal(chan_vese(x, x > 20, **settings), scikit_images(x, x > 20, **settings))


@pytest.mark.parametrize("smoothing", [1, 2])
def test_a_slice_is_worked_on_in_its_plane(smoothing):
    x = image((24, 26))
    settings = {"iterations": 6, "smoothing": smoothing, "inside": 1.0, "outside": 1.0}
    found = chan_vese(x[None], (x > 20)[None], **settings)
    np.testing.assert_array_equal(found[0], scikit_images(x, x > 20, **settings))


def test_a_border_at_rest_ends_it():
    x = np.zeros((12, 14, 14), np.float32)
    x[3:9, 3:10, 3:10] = 100.0
    few, many = (chan_vese(x, x > 50, iterations=count, smoothing=1, inside=1.0, outside=1.0) for count in (20, 10**6))
    np.testing.assert_array_equal(few, many)


def test_the_start_is_not_written_to_and_may_be_empty():
    x, start = image((5, 8, 9)), np.zeros((5, 8, 9), bool)
    assert not chan_vese(x, start, iterations=3, smoothing=1, inside=1.0, outside=1.0).any()
    start = x > 10
    before = start.copy()
    chan_vese(x, start, iterations=3, smoothing=1, inside=1.0, outside=1.0)
    np.testing.assert_array_equal(start, before)
