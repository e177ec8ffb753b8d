"""The CUDA bodies of the kernels against the compiled bodies of the host and the definitions.

On a device, where there is one, and on the host, thread by thread.
"""

import numpy as np
import pytest
import scipy.ndimage as ndi

from medpipe.kernels import launching
from medpipe.kernels.bilateral import bilateral, bilateral_radius
from medpipe.kernels.gaussian import gaussian
from medpipe.kernels.median import median
from medpipe.kernels.nlm import non_local_means
from medpipe.kernels.total_variation import total_variation
from tests.device import raw
from tests.kernels import whole_arrays

SPACING_MM = (2.5, 0.8, 0.7)
SHAPES = [(1, 1, 1), (1, 9, 40), (5, 6, 7), (35, 1, 3), (3, 17, 1), (18, 9, 33), (2, 2, 65)]
BORDERS = [(0, 0, 0), (-1, -1, -1), (0, -1, 0)]


@pytest.fixture(scope="module", autouse=True)
def cupy(cuda):
    if cuda == "stand-in" and raw.COMPILER is None:
        pytest.skip(raw.NO_COMPILER)
    import cupy

    return cupy


def image(shape, seed=1):
    return np.random.default_rng(seed).normal(0, 100, shape).astype(np.float32)


def with_gaps(shape):
    """Return images without a missing voxel, with one in the middle, in corners and everywhere."""
    yield image(shape)
    for place in ((shape[0] // 2, shape[1] // 2, shape[2] // 2), *BORDERS):
        x = image(shape)
        x[place] = np.nan
        yield x
    yield np.full(shape, np.nan, np.float32)


def on_device(cupy, kernel, x):
    made = kernel(cupy.asarray(x))
    assert type(made).__module__ == "cupy"
    return made.get()


def assert_same_bytes(cupy, kernel, x):
    expected, found = kernel(x), on_device(cupy, kernel, x)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found[found == 0]), np.signbit(expected[expected == 0]))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_median_of_27_is_that_of_the_host(cupy, shape):
    for x in with_gaps(shape):
        assert_same_bytes(cupy, lambda x: median(x, size=3), x)
    whole = image(shape)
    np.testing.assert_array_equal(
        on_device(cupy, lambda x: median(x, size=3), whole), ndi.median_filter(whole, size=3, mode="nearest")
    )


def test_zeros_infinities_and_what_is_equal_have_the_median_of_the_host(cupy):
    rng = np.random.default_rng(2)
    for values in ([-0.0, 0.0, 1.0], [-np.inf, np.inf, 0.0, -0.0], [-np.inf, np.inf, np.nan, 3e38, -3e38], [1.0]):
        x = rng.choice(np.array(values, np.float32), (9, 8, 11))
        assert_same_bytes(cupy, lambda x: median(x, size=3), x)


def test_all_arrangements_of_nine_zeros_and_ones_are_sorted(cupy):
    # a network that sorts zeros and ones sorts everything: a plane with a frame of its own for each of 512
    bits = (np.arange(512)[:, None] >> np.arange(9) & 1).astype(np.float32).reshape(512, 3, 3)
    planes = np.concatenate([bits, bits[::-1] * 2 - 1, bits[::3] * 5 - 2])
    assert_same_bytes(cupy, lambda x: median(x, size=3), planes)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_total_variation_is_that_of_the_host_to_the_last_bit(cupy, shape, iterations):
    for x in with_gaps(shape):
        assert_same_bytes(cupy, lambda x: total_variation(x, weight=30.0, iterations=iterations), x)
    x = image(shape)
    x[0, 0, 0] = np.inf
    assert_same_bytes(cupy, lambda x: total_variation(x, weight=30.0, iterations=iterations), x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma_mm", [0.1, 0.9, 2.1, 30.0])
def test_the_gaussian_is_that_of_the_host_to_the_last_bit(cupy, shape, sigma_mm):
    for x in (image(shape), image(shape, 2)[::-1].copy()):
        assert_same_bytes(cupy, lambda x: gaussian(x, sigma_mm=sigma_mm, spacing_mm=SPACING_MM), x)
    gap = image(shape)
    gap[-1, 0, -1] = np.nan
    assert_same_bytes(cupy, lambda x: gaussian(x, sigma_mm=sigma_mm, spacing_mm=SPACING_MM), gap)


@pytest.mark.parametrize("planes", [(0, 1), (3, 7), (4, 11), (10, 11)])
def test_some_planes_are_those_of_the_whole(cupy, planes):
    x = image((11, 9, 34))
    x[5, 4, 30] = np.nan
    for kernel in (
        lambda x, planes: median(x, size=3, planes=planes),
        lambda x, planes: gaussian(x, sigma_mm=2.0, spacing_mm=SPACING_MM, planes=planes),
    ):
        part = on_device(cupy, lambda x, kernel=kernel: kernel(x, planes), x)
        np.testing.assert_array_equal(part, kernel(x, None)[slice(*planes)])


@pytest.mark.parametrize(
    ("shape", "distance", "rician"),
    [*((shape, 1, False) for shape in SHAPES), ((5, 6, 7), 2, True), ((9, 9, 33), 2, True)],
)
def test_non_local_means_are_those_of_the_definition(cupy, shape, distance, rician):
    settings = {"patch_size": 3, "distance": distance, "h": 60.0, "sigma": 40.0, "rician": rician}
    x = image(shape)
    found = on_device(cupy, lambda x: non_local_means(x, **settings), x)
    expected = whole_arrays.non_local_means(x, **settings)
    tolerance = 1e-4 * max(float(np.ptp(x)), 1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(non_local_means(x, **settings), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("patch_size", [5, 7])
def test_larger_cubes_are_compared_as_well(cupy, patch_size):
    x = image((9, 8, 35))
    settings = {"patch_size": patch_size, "distance": 1, "h": 60.0, "sigma": 40.0, "rician": False}
    expected = whole_arrays.non_local_means(x, **settings)
    found = on_device(cupy, lambda x: non_local_means(x, **settings), x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * float(np.ptp(x)))


@pytest.mark.parametrize("place", [(0, 0, 0), (4, 8, 30), (8, 16, 34)])
def test_a_missing_voxel_takes_with_it_what_it_takes_on_the_host(cupy, place):
    x = image((9, 17, 35))
    x[place] = np.nan
    for kernel in (
        lambda x: non_local_means(x, patch_size=3, distance=1, h=60.0, sigma=40.0, rician=False),
        lambda x: bilateral(x, sigma_mm=1.3, sigma_value=70.0, spacing_mm=SPACING_MM),
    ):
        expected, found = kernel(x), on_device(cupy, kernel, x)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("shape", [(1, 9, 40), (5, 6, 7), (18, 9, 33), (2, 2, 65)])
def test_bilateral_smoothing_is_that_of_the_definition(cupy, shape):
    x = image(shape)
    settings = {"sigma_mm": 1.3, "sigma_value": 70.0, "spacing_mm": SPACING_MM}
    found = on_device(cupy, lambda x: bilateral(x, **settings), x)
    radius = bilateral_radius(sigma_mm=1.3, spacing_mm=SPACING_MM, shape=shape)
    expected = whole_arrays.bilateral(x, radius=radius, **settings)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(float(np.ptp(x)), 1.0))


@pytest.mark.parametrize("places", [[(3, 8, 17)], [(3, 8, 17), (3, 8, 18)], [(0, 0, 0), (6, 16, 34)]])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_voxel_goes_as_far_as_on_the_host(cupy, places, value):
    x = np.abs(image((7, 17, 35)))
    for place in places:
        x[place] = value
    kernels = [
        lambda x: non_local_means(x, patch_size=3, distance=1, h=60.0, sigma=40.0, rician=False),
        lambda x: non_local_means(x, patch_size=3, distance=1, h=60.0, sigma=40.0, rician=True),
        lambda x: bilateral(x, sigma_mm=1.3, sigma_value=70.0, spacing_mm=SPACING_MM),
    ]
    for kernel in kernels:
        expected, found = kernel(x), on_device(cupy, kernel, x)
        assert np.isinf(expected[places[0]])
        assert not np.isnan(expected).any()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-2)


def test_places_of_64_bits_give_the_same(cupy, monkeypatch):
    x = image((5, 9, 34))
    kernels = (
        lambda x: median(x, size=3),
        lambda x: total_variation(x, weight=30.0, iterations=4),
        lambda x: gaussian(x, sigma_mm=1.0, spacing_mm=SPACING_MM),
    )
    monkeypatch.setattr(launching, "_MOST_NARROW", 0)
    for kernel in kernels:
        assert_same_bytes(cupy, kernel, x)


def test_a_view_that_is_not_contiguous_is_what_it_shows(cupy):
    wide = image((8, 9, 40))
    for kernel in (
        lambda x: median(x, size=3),
        lambda x: total_variation(x, weight=30.0, iterations=3),
        lambda x: gaussian(x, sigma_mm=1.0, spacing_mm=SPACING_MM),
        lambda x: bilateral(x, sigma_mm=1.0, sigma_value=70.0, spacing_mm=SPACING_MM),
    ):
        found = kernel(cupy.asarray(wide)[::2, :, 1::3]).get()
        np.testing.assert_allclose(found, kernel(np.ascontiguousarray(wide[::2, :, 1::3])), rtol=0, atol=1e-3)


def test_total_variation_holds_six_arrays_beside_its_input(cupy):
    if not hasattr(cupy, "standin"):
        pytest.skip("a device does not tell its peak")
    x = cupy.asarray(image((16, 16, 64)))
    cupy.standin.reset()
    made = total_variation(x, weight=30.0, iterations=5)
    assert cupy.standin.counts().peak <= 7 * x.nbytes
    del made


def test_what_a_kernel_is_given_stays_as_it_is(cupy):
    x = image((4, 5, 6))
    given = cupy.asarray(x)
    for iterations in (1, 3):
        made = total_variation(given, weight=30.0, iterations=iterations)
        made += 1.0
    np.testing.assert_array_equal(given.get(), x)
