"""The strict stand-in refuses what CuPy refuses, and what CuPy leaves open."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.device.standing import environment, stand_in


@pytest.fixture(scope="module")
def cupy():
    with stand_in() as module:
        yield module


@pytest.fixture
def a(cupy):
    return cupy.asarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))


@pytest.mark.parametrize(
    "made",
    [
        lambda cupy, a: np.asarray(a),
        lambda cupy, a: np.ones(4) + a,
        lambda cupy, a: a * np.array(2.0),
        lambda cupy, a: np.float32(a.sum()),
        lambda cupy, a: range(a.argmax()),
        lambda cupy, a: np.stack([a, np.ones((2, 3, 4))]),
        lambda cupy, a: cupy.where(True, a, 0),
        lambda cupy, a: cupy.sum([1, 2]),
        lambda cupy, a: cupy.take(a, 0, mode="clip"),
        lambda cupy, a: cupy.add(a, 1, where=a > 3),
        lambda cupy, a: a.sum(where=a > 3),
        lambda cupy, a: math_in_place(a.astype(np.int32)),
        lambda cupy, a: cupy.bincount(a.ravel()),
    ],
)
def test_arrays_of_the_host_and_foreign_arguments_are_a_type_error(cupy, a, made):
    with pytest.raises(TypeError):
        made(cupy, a)


def math_in_place(a):
    a += 0.5


def test_what_cupy_lacks_is_an_attribute_error_and_what_is_not_modelled_says_so(cupy, a):
    with pytest.raises(AttributeError, match="CuPy 14"):
        cupy.nanpercentile  # noqa: B018
    with pytest.raises(NotImplementedError, match="CuPy 14"):
        cupy.piecewise  # noqa: B018
    with pytest.raises(AttributeError, match="nanmax"):
        a.nanmax()


def test_what_cupy_has_no_body_for_is_not_implemented(cupy, a):
    with pytest.raises(NotImplementedError, match="contiguous"):
        a[:, :, ::2].sort()
    with pytest.raises(NotImplementedError, match="contiguous"):
        cupy.interp(a[0, 0, ::2], a[0, 0], a[0, 0])
    with pytest.raises(ValueError, match="stable"):
        cupy.sort(a, kind="quicksort")
    with pytest.raises(AttributeError):
        a.flags.writeable  # noqa: B018


def test_what_a_device_leaves_open_is_refused(cupy, a):
    flat = a.ravel()
    with pytest.raises(cupy.standin.Undefined, match="one place"):
        flat[cupy.asarray([3, 3])] = cupy.asarray([1.0, 2.0])
    flat[cupy.asarray([3, 3])] = 7.0
    with pytest.raises(cupy.standin.Undefined, match="wraps"):
        flat[cupy.asarray([24])]
    flat[0] = np.nan
    with pytest.raises(cupy.standin.Undefined, match="NaN"):
        cupy.median(flat)
    assert np.isnan(cupy.empty(3).get()).all()


def test_sums_in_any_order_are_counted(cupy):
    places = cupy.asarray([0, 1, 1, 0])
    cupy.standin.reset()
    assert cupy.bincount(places).tolist() == [2, 2]
    assert cupy.standin.counts().unordered == 0
    assert cupy.bincount(places, weights=cupy.ones(4)).tolist() == [2.0, 2.0]
    sums = cupy.zeros(2, np.float32)
    cupy.add.at(sums, places, cupy.ones(4, np.float32))
    assert sums.tolist() == [2.0, 2.0]
    assert cupy.standin.counts().unordered == 2
    whole = cupy.zeros(2, np.int32)
    whole.scatter_add(places, cupy.ones(4, np.int32))
    assert (whole.tolist(), cupy.standin.counts().unordered) == ([2, 2], 2)


def test_numbers_are_made_integers_as_the_device_does(cupy):
    given = cupy.asarray(np.array([np.nan, 1e20, -1e20, -1.5], np.float32))
    assert given.astype(np.int32).tolist() == [0, 2**31 - 1, -(2**31), -1]
    assert given.astype(np.int64).tolist() == [-(2**63), 2**63 - 1, -(2**63), -1]
    assert given[1:].astype(np.uint8).tolist() == [255, 0, 0]


def test_types_follow_the_loops(cupy, a):
    assert (a + 1).dtype == (a * 2.5).dtype == cupy.where(a > 1, 0.0, a).dtype == np.float32
    assert (a.astype(np.int8) + 1.5).dtype == np.float64
    assert (a * np.float64(2)).dtype == np.float64
    assert cupy.sqrt(a.astype(np.int16)).dtype == np.float32
    assert cupy.percentile(a, [5.0, 50.0]).dtype == np.float64
    assert cupy.percentile(a, 50.0).dtype == np.float32


def test_reductions_are_arrays_and_numpy_functions_come_to_the_device(cupy, a):
    for made in (a.sum(), a.max(), cupy.count_nonzero(a), cupy.array_equal(a, a), np.sum(a), np.isnan(a).any()):
        assert isinstance(made, cupy.ndarray)
        assert made.shape == ()
    assert float(np.mean(a)) == 11.5
    assert a[0, 0, 1].shape == ()


def test_transfers_and_live_bytes_are_counted(cupy):
    cupy.standin.reset()
    before = cupy.standin.live()
    image = cupy.asarray(np.zeros((8, 64, 64), np.float32))
    half = image[:4]
    assert cupy.standin.live() - before == image.nbytes
    made = half + 1
    assert float(made.sum()) == made.size
    counts = cupy.standin.counts()
    assert (counts.to_device, counts.to_device_bytes) == (1, image.nbytes)
    assert (counts.to_host, counts.to_host_bytes) == (1, 4)
    assert counts.transfers[0]["where"].partition(":")[0] == __file__
    del image
    assert cupy.standin.live() - before == 2 * made.nbytes + made.nbytes
    del half, made
    assert cupy.standin.live() == before


def test_no_more_than_the_limit_is_given():
    with stand_in(limit=1 << 20) as cupy:
        held = cupy.zeros(1 << 19, np.uint8)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="Out of memory allocating"):
            cupy.zeros(1 << 20, np.uint8)
        assert cupy.cuda.Device().mem_info == ((1 << 20) - held.nbytes, 1 << 20)
        del held
        assert cupy.zeros(1 << 20, np.uint8).size == 1 << 20
        pool = cupy.get_default_memory_pool()
        pool.free_all_blocks()
        assert (pool.used_bytes(), pool.total_bytes(), pool.get_limit()) == (0, 0, 1 << 20)


def test_a_child_has_it_too_and_writes_its_transfers(tmp_path):
    code = "import cupy, numpy; float(cupy.asarray(numpy.ones(5)).sum())"
    subprocess.run([sys.executable, "-c", code], env=environment(limit=4096, log=tmp_path), check=True)
    (log,) = tmp_path.iterdir()
    assert [json.loads(line)["way"] for line in log.read_text().splitlines()] == ["to_device", "to_host"]


@pytest.mark.parametrize("mode", ["reflect", "nearest", "mirror", "wrap", "constant"])
def test_filters_are_scipys(cupy, mode):
    import cupyx.scipy.ndimage as on_device
    from scipy import ndimage

    x = np.random.default_rng(5).normal(0, 1, (7, 9, 11))
    taps = np.array([0.2, -1.0, 3.0, 0.5, 0.1])
    expected = ndimage.correlate1d(x, taps, axis=1, mode=mode)
    made = on_device.correlate1d(cupy.asarray(x), cupy.asarray(taps), axis=1, mode=mode)
    np.testing.assert_allclose(made.get(), expected, atol=1e-12)
    expected = ndimage.gaussian_filter(x, (0.0, 1.0, 1.7), mode=mode)
    np.testing.assert_allclose(
        on_device.gaussian_filter(cupy.asarray(x), (0.0, 1.0, 1.7), mode=mode).get(), expected, atol=1e-12
    )
    np.testing.assert_allclose(
        on_device.sobel(cupy.asarray(x), axis=0, mode=mode).get(), ndimage.sobel(x, axis=0, mode=mode), atol=1e-12
    )


def test_dilation_by_steps_is_refused_unless_by_force(cupy):
    import cupyx.scipy.ndimage as on_device

    mask = cupy.zeros((5, 5), bool)
    mask[2, 2] = True
    with pytest.raises(NotImplementedError, match="brute_force"):
        on_device.binary_dilation(mask, iterations=2)
    assert int(on_device.binary_dilation(mask, iterations=2, brute_force=True).sum()) == 13
    with pytest.raises(TypeError):
        on_device.binary_dilation(mask, structure=np.ones((3, 3), bool))
