from __future__ import annotations

import numpy as np
import pytest

from medpipe.kernels.boundary import places
from medpipe.kernels.waves import Wave, gabor

IMAGE = np.random.default_rng(8).normal(-100, 200, (5, 9, 11)).astype(np.float32)
SPACING_MM = (2.0, 1.0, 1.5)


def response(x=IMAGE, boundary="reflect", by_slice=True, pooling="mean", spacing_mm=SPACING_MM, **wave):
    given = {"sigma_mm": 1.5, "wavelength_mm": 3.0, "gamma": 0.7, "angles_deg": (0.0,), **wave}
    return gabor(x, wave=Wave(**given), spacing_mm=spacing_mm, by_slice=by_slice, pooling=pooling, boundary=boundary)


def in_a_plane(plane, spacing_mm, boundary, *, sigma, wavelength, gamma, theta):
    """Return the modulus by the sum of the definition, at every pixel of a plane (rows, columns)."""
    reach = [int(np.ceil(6 * sigma * max(1, 1 / gamma) / step)) for step in spacing_mm]
    index = [places(n, before=by, after=by, boundary=boundary) for n, by in zip(plane.shape, reach, strict=True)]
    wide = np.where(np.minimum.outer(index[0], index[1]) < 0, 0.0, plane.astype(np.float64)[np.ix_(*index)])
    rows, columns = (np.arange(-by, by + 1) * step for by, step in zip(reach, spacing_mm, strict=True))
    along = columns * np.cos(theta) + rows[:, None] * np.sin(theta)
    across = -columns * np.sin(theta) + rows[:, None] * np.cos(theta)
    kernel = np.exp(-(along**2 + gamma**2 * across**2) / (2 * sigma**2) + 2j * np.pi * along / wavelength)
    windows = np.lib.stride_tricks.sliding_window_view(wide, kernel.shape)
    return abs(np.einsum("abij,ij->ab", windows, kernel[::-1, ::-1]))


@pytest.mark.parametrize("boundary", ["constant", "nearest", "wrap", "reflect"])
@pytest.mark.parametrize("theta", [0.0, 60.0, 225.0])
def test_the_modulus_is_the_sum_of_the_definition(theta, boundary):
    found = response(angles_deg=(theta,), boundary=boundary)
    for plane, made in zip(IMAGE, found, strict=True):
        expected = in_a_plane(
            plane, SPACING_MM[1:], boundary, sigma=1.5, wavelength=3.0, gamma=0.7, theta=np.deg2rad(theta)
        )
        np.testing.assert_allclose(made, expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_directions_are_pooled_and_opposite_ones_are_alike(pooling):
    angles = (10.0, 100.0, 190.0, 280.0)
    every = [response(angles_deg=(angle,)) for angle in angles]
    np.testing.assert_allclose(every[0], every[2], atol=1e-4)
    expected = np.max(every, axis=0) if pooling == "max" else np.mean(every, axis=0)
    np.testing.assert_allclose(response(angles_deg=angles, pooling=pooling), expected, atol=1e-3)


def test_in_space_the_three_planes_are_averaged():
    given = {"sigma": 1.5, "wavelength": 3.0, "gamma": 0.7, "theta": np.deg2rad(30.0)}
    expected = np.zeros(IMAGE.shape)
    for normal in range(3):
        kept = [step for axis, step in enumerate(SPACING_MM) if axis != normal]
        planes = [in_a_plane(plane, kept, "reflect", **given) for plane in np.moveaxis(IMAGE, normal, 0)]
        expected += np.moveaxis(np.stack(planes), 0, normal) / 3
    found = response(by_slice=False, angles_deg=(30.0,))
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())


def test_a_wave_answers_to_its_own_length_and_direction():
    columns = np.arange(40) * 1.0
    x = np.broadcast_to(np.cos(2 * np.pi * columns / 4.0), (1, 30, 40)).astype(np.float32)
    given = {"x": x, "spacing_mm": (1.0, 1.0, 1.0), "sigma_mm": 4.0, "gamma": 1.0}
    along = response(wavelength_mm=4.0, **given)[0, 15, 20]
    # half the integral of the Gaussian
    assert along == pytest.approx(np.pi * 4.0**2, rel=1e-3)
    assert response(wavelength_mm=4.0, angles_deg=(90.0,), **given)[0, 15, 20] < 1e-3 * along
    assert response(wavelength_mm=8.0, **given)[0, 15, 20] < 0.1 * along


@pytest.mark.parametrize("by_slice", [True, False])
def test_a_missing_voxel_stays_missing_and_no_other_is(by_slice):
    x = IMAGE.copy()
    x[2, 3, 4] = np.nan
    x[4] = np.nan
    found = response(x, by_slice=by_slice)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
