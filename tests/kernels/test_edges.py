"""Slopes against scikit-image, and against slopes that were drawn."""

import numpy as np
from skimage.filters import sobel

from medpipe.kernels.edges import gradient_size

IMAGE = np.random.default_rng(6).normal(0.0, 30.0, (31, 34))


def test_the_gradient_is_sobels():
    # theirs is the root of the mean of squares of slopes over two pixels
    np.testing.assert_allclose(gradient_size(IMAGE), sobel(IMAGE) / np.sqrt(2.0), rtol=1e-12)


def test_a_ramp_has_its_slope():
    ramp = 3.0 * np.arange(20.0)[:, None] + np.zeros(18)
    np.testing.assert_allclose(gradient_size(ramp)[1:-1], 3.0)
