"""Hu's moments against scikit-image, and against what they are for."""

import numpy as np
import pytest
from skimage.measure import moments_central, moments_hu, moments_normalized

from medpipe.kernels.moments import hu_moments

IMAGE = np.random.default_rng(5).gamma(2.0, 10.0, (21, 26)) * (np.hypot(*np.indices((21, 26)) - 11.0) < 8)


def expected(plane):
    return moments_hu(moments_normalized(moments_central(plane.astype(float))))


@pytest.mark.parametrize("plane", [IMAGE, IMAGE > 12.0, np.eye(5), np.ones((1, 4))])
def test_the_moments_are_those_of_scikit_image(plane):
    np.testing.assert_allclose(hu_moments(plane, spacing=(1.0, 1.0)), expected(plane), rtol=1e-9, atol=1e-18)


def test_shift_turn_and_the_size_of_pixels_change_nothing():
    base = hu_moments(IMAGE, spacing=(1.0, 1.0))
    moved = hu_moments(np.pad(IMAGE, ((3, 0), (0, 9))), spacing=(0.7, 0.7))
    turned = hu_moments(np.rot90(IMAGE), spacing=(2.0, 2.0))
    np.testing.assert_allclose(moved, base, rtol=1e-9)
    np.testing.assert_allclose(turned, base, rtol=1e-9)
    mirrored = hu_moments(IMAGE[:, ::-1], spacing=(1.0, 1.0))
    np.testing.assert_allclose(mirrored[:6], base[:6], rtol=1e-9)
    assert mirrored[6] == pytest.approx(-base[6])


def test_oblong_pixels_count_with_their_size():
    fine = np.kron(IMAGE, np.ones((6, 3)))
    coarse = hu_moments(IMAGE, spacing=(2.0, 1.0))
    # a pixel is a point here and six by three there: second moments differ by those of a pixel
    np.testing.assert_allclose(hu_moments(fine, spacing=(2.0 / 6, 1.0 / 3))[0], coarse[0], rtol=0.02)
    assert hu_moments(IMAGE, spacing=(1.0, 1.0))[0] != pytest.approx(coarse[0], rel=0.02)


def test_of_nothing_there_are_none_and_of_a_pixel_they_are_0():
    assert np.isnan(hu_moments(np.zeros((4, 4)), spacing=(1.0, 1.0))).all()
    np.testing.assert_array_equal(hu_moments(np.ones((1, 1)), spacing=(1.0, 1.0)), np.zeros(7))
