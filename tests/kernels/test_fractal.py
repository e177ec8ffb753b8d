"""Fractal dimensions of sets and surfaces whose dimension is known."""

import math

import numpy as np
import pytest

from medpipe.kernels.fractal import border, box_dimension, surface_dimension


def gasket(power):
    """Return Sierpinski's triangle: Pascal's, odd numbers."""
    y, x = np.indices((2**power, 2**power))
    return ((y & x) == 0)[None]


def tetrix(power):
    z, y, x = np.indices((2**power,) * 3)
    return ((z & y) == 0) & ((y & x) == 0) & ((z & x) == 0)


@pytest.mark.parametrize(
    ("mask", "dimension"),
    [
        (np.ones((1, 1, 64), bool), 1.0),
        (np.ones((1, 64, 64), bool), 2.0),
        (np.ones((32, 32, 32), bool), 3.0),
        (np.eye(64, dtype=bool)[None], 1.0),
        (gasket(7), math.log2(3.0)),
        (tetrix(5), 2.0),
        (np.array([[[1] + [0] * 31]], bool), 0.0),
    ],
    ids=["line", "plane", "cube", "diagonal", "gasket", "tetrix", "point"],
)
def test_the_dimension_of_a_shape_is_its_own(mask, dimension):
    assert box_dimension(mask) == pytest.approx(dimension, abs=1e-9)


@pytest.mark.parametrize("side", [4, 8, 16, 24, 48])
def test_no_dimension_is_above_that_of_space_by_rounding(side):
    assert box_dimension(np.ones((side, side, side), bool)) <= 3.0


def test_counts_are_those_of_boxes_laid_from_the_first_voxel():
    mask = np.random.default_rng(2).random((9, 17, 21)) < 0.1
    sizes = [1, 2, 4, 8]
    counts = [len({tuple(place) for place in np.argwhere(mask) // size}) for size in sizes]
    assert box_dimension(mask) == pytest.approx(-np.polyfit(np.log(sizes), np.log(counts), 1)[0], rel=1e-9)


def test_a_set_of_one_size_of_boxes_has_none():
    assert math.isnan(box_dimension(np.ones((1, 1, 3), bool)))
    assert math.isnan(box_dimension(np.zeros((8, 8, 8), bool)))


def test_the_border_is_where_faces_are():
    cube = np.zeros((6, 6, 6), bool)
    cube[1:6, 1:6, 1:6] = True
    expected = cube.copy()
    expected[2:5, 2:5, 2:5] = False
    np.testing.assert_array_equal(border(cube), expected)
    plate = np.ones((1, 5, 5), bool)
    assert border(plate).sum() == 16


def test_a_smooth_border_has_dimension_2():
    z, y, x = np.indices((64, 64, 64)) - 31.5
    ball = z**2 + y**2 + x**2 < 31.0**2
    assert box_dimension(border(ball)) == pytest.approx(2.0, abs=0.1)
    # boxes stick out of it, the larger the more
    assert 2.7 < box_dimension(ball) < 3.0


def surface(roughness, seed=1, size=128):
    """Return a fractional Brownian surface by its spectrum: its dimension is 3 - roughness."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    radius[0, 0] = 1.0
    spectrum = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
    return np.fft.ifft2(spectrum / radius ** (roughness + 1.0)).real[None]


def test_an_even_surface_has_dimension_2_and_rough_ones_more():
    whole = np.ones((1, 128, 128), bool)
    assert surface_dimension(np.full((1, 128, 128), 7.0), whole) == 2.0
    found = [surface_dimension(surface(roughness), whole) for roughness in (0.9, 0.5, 0.1)]
    # 2.1, 2.5 and 2.9 if they could be seen between pixels: the rougher, the more counts too low
    assert found == sorted(found)
    assert found[0] == pytest.approx(2.1, abs=0.05)
    assert 2.2 < found[1] < 2.5
    assert 2.4 < found[2] < 2.9


def test_the_surface_is_counted_as_by_its_definition():
    rng = np.random.default_rng(9)
    x = rng.integers(0, 200, (2, 19, 23)).astype(float)
    inside = np.zeros(x.shape, bool)
    inside[0, 1:18], inside[1, :, 3:] = True, True
    span, least, extent = np.ptp(x[inside]), x[inside].min(), 23
    sizes, counts = [2, 4, 8], []
    for size in sizes:
        height = size * span / extent
        top = math.ceil(span / height - 1e-9) - 1
        found = []
        for z in range(2):
            for y in range(0, 19 - size + 1, size):
                for column in range(0, 23 - size + 1, size):
                    cell = (z, slice(y, y + size), slice(column, column + size))
                    if inside[cell].all():
                        ends = [math.floor((value - least) / height + 1e-9) for value in (x[cell].min(), x[cell].max())]
                        found.append(min(ends[1], top) - min(ends[0], top) + 1)
        counts.append(np.mean(found) / size**2)
    expected = -np.polyfit(np.log(sizes), np.log(counts), 1)[0]
    assert surface_dimension(x, inside) == pytest.approx(expected, rel=1e-9)


def test_a_surface_of_few_pixels_has_none():
    assert math.isnan(surface_dimension(np.zeros((1, 7, 7)), np.ones((1, 7, 7), bool)))
    assert math.isnan(surface_dimension(np.zeros((1, 8, 8)), np.zeros((1, 8, 8), bool)))
