"""Rescaling in one pass, against the bits and the arithmetic written out."""

import numpy as np
import pytest

from medpipe.kernels.rescale import rescale


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize(("fewer", "below_top"), [(0, 0), (4, 4), (4, 0), (3, 1)])
def test_stored_bits_are_taken_and_rounded_once(kind, fewer, below_top):
    width = np.dtype(kind).itemsize * 8
    bits_stored, high_bit = width - fewer, width - 1 - below_top
    stored = np.arange(np.iinfo(kind).min, np.iinfo(kind).max + 1).astype(kind).reshape(16, -1)
    for slope, intercept in ((1.0, -1024.0), (0.1234567, 7.7), (-3.5, 0.0)):
        out = np.empty(stored.shape, np.float32)
        rescale(stored, bits_stored=bits_stored, high_bit=high_bit, slope=slope, intercept=intercept, out=out)
        bits = (stored.astype(np.int64) >> (high_bit + 1 - bits_stored)) % (1 << bits_stored)
        if np.dtype(kind).kind == "i":
            bits = np.where(bits >> (bits_stored - 1), bits - (1 << bits_stored), bits)
        assert np.array_equal(out, (bits.astype(np.float64) * slope + intercept).astype(np.float32))
