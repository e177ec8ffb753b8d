from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import ndimage

from medpipe.kernels.laplacian import laplacian_terms
from medpipe.kernels.separable import convolved
from medpipe.kernels.spectral import Transfer, filtered, frequencies, riesz_of, simoncelli_window

SHAPES = [(6, 8, 9), (7, 5, 10), (1, 12, 7), (2, 3, 4)]


def image(shape):
    return np.random.default_rng(9).normal(-500, 100, shape).astype(np.float32)


def whole_grid(shape):
    """Return the frequencies of each voxel of a grid whose middle is 0: those of the manual, before they are shifted."""
    axes = [(np.arange(n) - (n - 1) / 2) / max((n - 1) / 2, 0.5) for n in shape]
    return np.meshgrid(*axes, indexing="ij")


def by_definition(x, level=None, orders=None):
    """Return the real part of a whole complex transform back, filtered on the grid of the manual."""
    along = whole_grid(x.shape)
    radius = np.sqrt(sum(one**2 for one in along))
    transfer = np.ones(x.shape, complex)
    if level is not None:
        top = 2.0 ** (1 - level)
        with np.errstate(divide="ignore"):
            wave = np.cos(np.pi / 2 * np.log2(2 * radius / top))
        transfer *= np.where((radius >= top / 4) & (radius <= top), wave, 0)
    if orders is not None:
        count = sum(orders)
        share = math.factorial(count) / math.prod(math.factorial(one) for one in orders)
        with np.errstate(invalid="ignore", divide="ignore"):
            turned = along[2] ** orders[0] * along[1] ** orders[1] * along[0] ** orders[2] / radius**count
        transfer *= (-1j) ** count * np.sqrt(share) * np.where(radius > 0, turned, 0)
    return np.fft.ifftn(np.fft.fftn(x.astype(np.float64)) * np.fft.ifftshift(transfer)).real


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_band_of_simoncelli_is_that_of_the_definition(shape, level):
    x = image(shape)
    found = filtered(x, transfer=Transfer(level=level), by_slice=False)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_definition(x, level), atol=2e-6 * np.ptp(x))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("orders", [(1, 0, 0), (0, 2, 0), (1, 1, 1), (0, 0, 3)])
def test_a_riesz_transform_of_a_band_is_that_of_the_definition(shape, orders):
    x = image(shape)
    found = filtered(x, transfer=Transfer(level=1, orders=orders), by_slice=False)
    np.testing.assert_allclose(found, by_definition(x, 1, orders), atol=2e-6 * np.ptp(x))


def test_within_slices_each_is_filtered_alone():
    x = image((3, 9, 8))
    found = filtered(x, transfer=Transfer(level=1, orders=(1, 1, 0)), by_slice=True)
    for plane, made in zip(x, found, strict=True):
        np.testing.assert_allclose(made, by_definition(plane[None], 1, (1, 1, 0))[0], atol=1e-3)


def test_the_frequencies_are_those_of_the_grid_and_not_of_the_transform():
    np.testing.assert_allclose(frequencies(5), [0.0, 0.5, 1.0, -1.0, -0.5])
    np.testing.assert_allclose(frequencies(4), [1 / 3, 1.0, -1.0, -1 / 3])
    assert frequencies(1).tolist() == [0.0]


def test_neighbouring_bands_share_each_frequency():
    radius = np.linspace(0.126, 0.999, 500)
    squares = sum(simoncelli_window(radius, level=level) ** 2 for level in range(1, 6))
    np.testing.assert_allclose(squares[radius <= 0.5], 1.0, atol=1e-12)
    assert simoncelli_window(np.array([0.24, 0.5, 1.01]), level=1).tolist() == pytest.approx([0.0, 1.0, 0.0])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_all_transforms_of_an_order_share_the_energy(order):
    every = [one for one in itertools.product(range(order + 1), repeat=3) if sum(one) == order]
    grid = tuple(np.array(one) for one in whole_grid((6, 7, 8)))
    squares = sum(abs(Transfer(orders=orders).at(grid)) ** 2 for orders in every)
    np.testing.assert_allclose(squares, 1.0, atol=1e-12)


def test_the_transform_of_a_blob_s_laplacian_turns_along_its_axis():
    x = np.zeros((21, 21, 21), np.float32)
    x[10, 10, 10] = 1000.0
    given = {"sigma_mm": 2.0, "truncate": 4.0, "spacing_mm": (1.0, 1.0, 1.0), "by_slice": False}

    def laplacian(part):
        return convolved(part, laplacian_terms(**given), joined="sum", boundary="constant")

    def riesz(orders):
        return riesz_of(x, laplacian, orders=orders, reach=(8, 8, 8), boundary="constant", by_slice=False)

    along_x = riesz((1, 0, 0))
    assert abs(along_x + along_x[:, :, ::-1]).max() < 1e-2 * along_x.max()
    np.testing.assert_allclose(along_x, riesz((0, 1, 0)).transpose(0, 2, 1), atol=1e-4)
    np.testing.assert_allclose(along_x, riesz((0, 0, 1)).transpose(2, 1, 0), atol=1e-4)
    wide = np.pad(x, 24)
    expected = by_definition(ndimage.gaussian_laplace(wide.astype(np.float64), 2.0), orders=(1, 0, 0))
    np.testing.assert_allclose(along_x, expected[24:-24, 24:-24, 24:-24], atol=1e-2 * np.ptp(expected))


@pytest.mark.parametrize("by_slice", [True, False])
def test_a_missing_voxel_stays_missing_and_no_other_is(by_slice):
    x = image((4, 6, 7))
    x[1, 2, 3] = np.nan
    found = filtered(x, transfer=Transfer(level=1), by_slice=by_slice)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
    assert np.isnan(filtered(np.full((2, 3, 4), np.nan, np.float32), transfer=Transfer(level=1), by_slice=False)).all()
