from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from skimage.restoration import denoise_tv_chambolle

from medpipe.errors import ConfigError, Rejected
from medpipe.ops.denoise import Gaussian, Median, TotalVariation
from medpipe.types import Geometry, Volume


def volume(shape=(6, 10, 12), *, axes="zyx", spacing_mm=(2.0, 1.0, 0.5)):
    data = np.random.default_rng(1).normal(0, 100, shape).astype(np.float32)
    geometry = Geometry(shape=shape, axes=axes, spacing_mm=spacing_mm)
    return Volume(data=data, geometry=geometry, unit="HU", modality="CT")


def test_gaussian_binds_sigma_to_the_spacing():
    given = volume()
    result = Gaussian(sigma_mm=1.0)(given)
    expected = ndi.gaussian_filter(given.data, [0.5, 1.0, 2.0], mode="nearest")
    np.testing.assert_allclose(result.data, expected, rtol=0, atol=1e-6 * np.ptp(given.data))
    assert (result.unit, result.modality, result.geometry) == ("HU", "CT", given.geometry)
    assert Gaussian(sigma_mm=1.0).halo(given.geometry) == (2, 4, 8)


def test_gaussian_refuses_a_volume_without_spacing():
    given = volume(spacing_mm=None)
    assert Gaussian(sigma_mm=1.0).halo(given.geometry) is None
    with pytest.raises(Rejected, match="E_SPACING"):
        Gaussian(sigma_mm=1.0)(given)


def test_median_and_tv_do_what_the_libraries_do():
    given = volume()
    np.testing.assert_array_equal(Median()(given).data, ndi.median_filter(given.data, 3, mode="nearest"))
    expected = denoise_tv_chambolle(given.data, weight=50, eps=0, max_num_iter=12)
    np.testing.assert_allclose(TotalVariation(weight=50.0, iterations=12)(given).data, expected, atol=1e-3)


def test_median_takes_an_odd_size_only():
    with pytest.raises(ConfigError, match="even"):
        Median(size=4)


@pytest.mark.parametrize("op", [Gaussian(sigma_mm=1.0), Median(), TotalVariation(weight=50.0)])
def test_each_frame_of_a_leading_axis_is_filtered_alone(op):
    series = volume((3, 4, 6, 7), axes="tzyx")
    result = op(series).data
    for place, frame in enumerate(series.data):
        alone = Volume(data=frame, geometry=Geometry(shape=frame.shape, spacing_mm=(2.0, 1.0, 0.5)))
        np.testing.assert_array_equal(result[place], op(alone).data)
