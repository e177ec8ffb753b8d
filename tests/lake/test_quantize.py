import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medpipe.lake import quantize
from medpipe.lake.quantize import from_stored, to_stored

SHAPE = (3, 4, 2)


def returns(values, hint=None):
    stored = to_stored(values, hint)
    back = from_stored(stored)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back.view(np.uint32), values.view(np.uint32))
    by_hand = (stored.data.astype(np.float64) * stored.scale + stored.offset).astype(np.float32)
    np.testing.assert_array_equal(by_hand, values)
    return stored


@given(arrays.arrays(np.float32, SHAPE, elements=st.floats(width=32)))
def test_any_values_come_back_bit_for_bit(values):
    back = from_stored(to_stored(values, (0.1, -3.0)))
    np.testing.assert_array_equal(back.view(np.uint32), values.view(np.uint32))


@given(
    arrays.arrays(np.int16, SHAPE),
    st.floats(0.001, 100) | st.floats(-100, -0.001),
    st.floats(-2000, 2000),
)
def test_rescaled_integers_come_back_bit_for_bit(numbers, slope, intercept):
    values = (numbers.astype(np.float64) * slope + intercept).astype(np.float32)
    back = from_stored(to_stored(values, (slope, intercept)))
    np.testing.assert_array_equal(back.view(np.uint32), values.view(np.uint32))


def test_whole_numbers_of_int16_are_stored_as_they_are():
    values = np.array([-32768, 0, 32767, 5], np.float32).reshape(1, 2, 2)
    stored = returns(values)
    assert (stored.data.dtype, stored.scale, stored.offset) == (np.int16, 1.0, 0.0)


def test_unsigned_numbers_are_stored_with_an_offset():
    stored = returns(np.array([0, 65535, 40000, 1], np.float32).reshape(1, 2, 2))
    assert (stored.data.dtype, stored.scale, stored.offset) == (np.int16, 1.0, 32768.0)


def test_rescale_values_make_fractions_int16():
    numbers = np.arange(-1000, 1000).reshape(2, 10, 100)
    stored = returns((numbers * 0.3719 + 12.5).astype(np.float32), (0.3719, 12.5))
    assert (stored.data.dtype, stored.scale, stored.offset) == (np.int16, 0.3719, 12.5)
    np.testing.assert_array_equal(stored.data, numbers)


def test_a_hint_that_does_not_fit_is_not_taken():
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    for hint in ((0.5, 0.0), (0.0, 1.0), (1e-320, 0.0), (float("nan"), 0.0), (float("inf"), 0.0), (1.0, float("inf"))):
        assert returns(values, hint).data.dtype == np.float32


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -0.0, 65536.0, 0.5])
def test_one_odd_voxel_keeps_float32(odd):
    values = np.full(SHAPE, -10.0, np.float32)
    values[1, 2, 1] = odd
    assert to_stored(values, None).data.dtype == np.float32


def test_slabs_change_nothing(monkeypatch):
    values = np.arange(60, dtype=np.float32).reshape(5, 4, 3) * np.float32(2)
    whole = to_stored(values, None).data
    monkeypatch.setattr(quantize, "_SLAB_VOXELS", 1)
    np.testing.assert_array_equal(to_stored(values, None).data, whole)
