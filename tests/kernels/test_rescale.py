"""Rescaling in one pass, against the bits and the arithmetic written out."""

import numpy as np
import pytest

from medpipe.kernels.rescale import rescale

SCALES = [
    (1.0, -1024.0),
    (0.1234567, 7.7),
    (-3.5, 0.0),
    (3.0, -7.0),
    # integers that int32 holds, and some that it does not
    (-16383.0, 2.0**30),
    (32768.0, 0.0),
    (1.0, 2.0**31),
    (3e35, 0.0),
    # zeros with a sign
    (-1.0, -0.0),
    (-1.0, 0.0),
]


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize(("fewer", "below_top"), [(0, 0), (4, 4), (4, 0), (3, 1)])
@pytest.mark.parametrize("times", [1, 3])
def test_stored_bits_are_taken_and_rounded_once(kind, fewer, below_top, times):
    # what is larger than the caches near it is written past them, from an aligned place to another
    width = np.dtype(kind).itemsize * 8
    bits_stored, high_bit = width - fewer, width - 1 - below_top
    values = np.arange(np.iinfo(kind).min, np.iinfo(kind).max + 1).astype(kind)
    stored = values.reshape(16, -1) if times == 1 else np.resize(values, (1 << 17) * times // 2 + 5)
    for number, (slope, intercept) in enumerate(SCALES):
        out = np.full(stored.size + 20, np.nan, np.float32)[number + 1 :][: stored.size].reshape(stored.shape)
        rescale(stored, bits_stored=bits_stored, high_bit=high_bit, slope=slope, intercept=intercept, out=out)
        bits = (stored.astype(np.int64) >> (high_bit + 1 - bits_stored)) % (1 << bits_stored)
        if np.dtype(kind).kind == "i":
            bits = np.where(bits >> (bits_stored - 1), bits - (1 << bits_stored), bits)
        with np.errstate(over="ignore"):
            expected = (bits.astype(np.float64) * slope + intercept).astype(np.float32)
        assert out.tobytes() == expected.tobytes()
        # no value beside the place is touched
        assert np.isnan(out.base[: number + 1]).all()
        assert np.isnan(out.base[number + 1 + stored.size :]).all()


@pytest.mark.parametrize("side", [12, 400])
def test_pixels_that_lie_apart_are_those_pixels(side):
    stored = np.random.default_rng(1).integers(-2000, 2000, (side, side, 3)).astype(np.int16)
    for apart in (stored[..., 1], stored[::-1, ::-1, 0], stored[:, ::2, 2]):
        out = np.empty(apart.shape, np.float32)
        rescale(apart, bits_stored=16, high_bit=15, slope=2.0, intercept=-5.0, out=out)
        np.testing.assert_array_equal(out, (apart.astype(np.float64) * 2 - 5).astype(np.float32))
