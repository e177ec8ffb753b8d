"""Gabor filters against scikit-image."""

import math

import numpy as np
import pytest
from skimage.filters import gabor

from medpipe.kernels.gabor import gabor_size, reach_of

IMAGE = np.random.default_rng(3).normal(20.0, 6.0, (45, 52))


@pytest.mark.parametrize("frequency", [0.1, 0.23, 0.4])
@pytest.mark.parametrize("turn", [0.0, 30.0, 45.0, 90.0, 135.0])
@pytest.mark.parametrize("bandwidth", [1.0, 1.6])
def test_the_response_equals_scikit_image(frequency, turn, bandwidth):
    expected = np.hypot(*gabor(IMAGE, frequency, theta=math.radians(turn), bandwidth=bandwidth))
    found = gabor_size(IMAGE, frequency=frequency, angle=math.radians(turn), bandwidth=bandwidth)
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(IMAGE).max())


def test_pixels_beyond_the_reach_make_no_difference():
    reach = reach_of(0.2, 1.0)
    changed = IMAGE.copy()
    changed[:, 26 + reach :] = 0.0
    both = [gabor_size(image, frequency=0.2, angle=0.0, bandwidth=1.0) for image in (IMAGE, changed)]
    np.testing.assert_array_equal(both[0][:, :26], both[1][:, :26])
    assert np.abs(both[0][:, 26] - both[1][:, 26]).max() > 0


def test_a_wave_answers_to_its_own_frequency_and_direction():
    wave = np.broadcast_to(np.cos(2 * np.pi * 0.2 * np.arange(64)), (64, 64))
    sizes = {
        (frequency, turn): gabor_size(wave, frequency=frequency, angle=math.radians(turn), bandwidth=1.0)[32, 32]
        for frequency in (0.1, 0.2, 0.4)
        for turn in (0.0, 45.0, 90.0)
    }
    assert max(sizes, key=sizes.get) == (0.2, 0.0)
    assert sizes[0.2, 0.0] == pytest.approx(0.5, rel=0.02)
