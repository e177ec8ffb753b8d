"""What runs kernels without a device: what it refuses, and what it finds out about them."""

import numpy as np
import pytest

from tests.device.standing import needs_compiler, stand_in

pytestmark = needs_compiler

HEAD = (
    'extern "C" __global__ void __launch_bounds__(64) work(const float* __restrict__ x, float* __restrict__ y, int n)\n'
)
PLACE = "const int i = blockIdx.x * blockDim.x + threadIdx.x;\n"


@pytest.fixture(scope="module", autouse=True)
def cupy():
    with stand_in() as made:
        yield made


def launched(cupy, body, *, n=70, blocks=2, threads=64, given=None, options=()):
    x = np.arange(n, dtype=np.float32)
    y = cupy.zeros(n, dtype=np.float32)
    arguments = (cupy.asarray(x), y, np.int32(n)) if given is None else given(cupy.asarray(x), y)
    cupy.RawKernel(f"{HEAD}{{\n{PLACE}{body}\n}}", "work", options=options)((blocks,), (threads,), arguments)
    return y.get()


def test_every_thread_of_every_block_runs_once(cupy):
    found = launched(cupy, "if (i < n) { y[i] += FACTOR * x[i]; }", options=("-DFACTOR=2",))
    np.testing.assert_array_equal(found, 2 * np.arange(70, dtype=np.float32))


def test_products_are_rounded_before_they_are_added(cupy):
    # (1 + 2^-12)^2 - 1 in one rounding is not what it is in two
    body = "const float a = 1.0f + 0.000244140625f; if (i < n) { y[i] = a * a - 1.0f; }"
    a = np.float32(1) + np.float32(2**-12)
    assert launched(cupy, body, options=("--fmad=false",))[0] == a * a - np.float32(1)


@pytest.mark.parametrize("body", ["y[i] = 1.0f;", "if (i < n) { y[i] = x[i + 1]; }", "if (i < n) { y[i] = x[i - 1]; }"])
def test_what_lies_beyond_an_array_is_out_of_bounds(cupy, body):
    with pytest.raises(IndexError, match="touches byte"):
        launched(cupy, body)


def test_what_is_const_is_not_written(cupy):
    with pytest.raises(IndexError, match="argument 0"):
        launched(cupy, "if (i < n) { ((float*)x)[i] = 1.0f; }")


def test_the_thread_that_is_first_makes_no_difference(cupy):
    with pytest.raises(RuntimeError, match="which thread is first"):
        launched(cupy, "y[0] = x[threadIdx.x];", blocks=1)
    with pytest.raises(RuntimeError, match="which thread is first"):
        launched(cupy, "if (i < n && i > 0) { y[i] = y[i - 1] + 1.0f; }")


def test_threads_of_a_warp_exchange_values(cupy):
    body = """
    const float up = __shfl_up_sync(0xffffffffu, x[i], 1);
    y[i] = up + 100.0f * __shfl_down_sync(0xffffffffu, x[i], 2);
    """
    x = np.arange(64, dtype=np.float32)
    lanes = np.arange(64) % 32
    expected = np.where(lanes >= 1, x - 1, x) + 100 * np.where(lanes < 30, x + 2, x)
    np.testing.assert_array_equal(launched(cupy, body, n=64, blocks=1), expected)


@pytest.mark.parametrize(
    "body",
    [
        "if (threadIdx.x % 32 == 7) { return; } y[i] = __shfl_up_sync(0xffffffffu, x[i], 1);",
        "y[i] = __shfl_up_sync(0xffffu, x[i], 1);",
        """if (i < 5) {
            y[i] = __shfl_up_sync(0xffffffffu, 1.0f, 1);
        } else {
            y[i] = __shfl_up_sync(0xffffffffu, 2.0f, 1);
        }""",
    ],
)
def test_a_warp_whose_threads_part_is_found(cupy, body):
    with pytest.raises(RuntimeError, match="wait"):
        launched(cupy, body, n=64, blocks=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda x, y: (x, y, 70), "argument 2 is int, not int32"),
        (lambda x, y: (x, y, np.int64(70)), "argument 2 is int64, not int32"),
        (lambda x, y: (x.get(), y, np.int32(70)), "argument 0 is no array of float32 on the device"),
        (lambda x, y: (x.astype(np.float64), y, np.int32(70)), "argument 0 is no array of float32"),
        (lambda x, y: (x, y), "takes 3 arguments, not 2"),
    ],
)
def test_arguments_of_another_type_are_refused(cupy, given, message):
    with pytest.raises(TypeError, match=message):
        launched(cupy, "", given=given)


def test_what_cannot_be_launched_is_refused(cupy):
    with pytest.raises(ValueError, match="not contiguous"):
        launched(cupy, "", given=lambda x, y: (x[::2], y, np.int32(70)))
    with pytest.raises(ValueError, match="cannot be launched"):
        launched(cupy, "", threads=65)
    with pytest.raises(ValueError, match="are not known"):
        launched(cupy, "", options=("--use_fast_math",))
    with pytest.raises(RuntimeError, match="error"):
        launched(cupy, "no_such_function();")
