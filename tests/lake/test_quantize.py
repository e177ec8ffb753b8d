import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medpipe.lake import quantize
from medpipe.lake.quantize import PLAIN, Grid, from_stored, grid_of, to_stored

SHAPE = (3, 4, 2)


def returns(values, hint=None):
    """Return what is stored of values, and its grid, once they came back bit for bit."""
    grid = grid_of(values, hint)
    stored = to_stored(values, grid)
    back = from_stored(stored, grid)
    assert stored.dtype == grid.dtype
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back.view(np.uint32), values.view(np.uint32))
    by_hand = (stored.astype(np.float64) * grid.scale + grid.offset).astype(np.float32)
    np.testing.assert_array_equal(by_hand, values)
    return stored, grid


@given(arrays.arrays(np.float32, SHAPE, elements=st.floats(width=32)))
def test_any_values_come_back_bit_for_bit(values):
    returns(values, (0.1, -3.0))


@given(
    arrays.arrays(np.int16, SHAPE),
    st.floats(0.001, 100) | st.floats(-100, -0.001),
    st.floats(-2000, 2000),
)
def test_rescaled_integers_come_back_bit_for_bit(numbers, slope, intercept):
    returns((numbers.astype(np.float64) * slope + intercept).astype(np.float32), (slope, intercept))


def test_whole_numbers_of_int16_are_stored_as_they_are():
    values = np.array([-32768, 0, 32767, 5], np.float32).reshape(1, 2, 2)
    assert returns(values)[1] == Grid("int16", 1.0, 0.0)


def test_unsigned_numbers_are_stored_with_an_offset():
    values = np.array([0, 65535, 40000, 1], np.float32).reshape(1, 2, 2)
    assert returns(values)[1] == Grid("int16", 1.0, 32768.0)


def test_rescale_values_make_fractions_int16():
    numbers = np.arange(-1000, 1000).reshape(2, 10, 100)
    stored, grid = returns((numbers * 0.3719 + 12.5).astype(np.float32), (0.3719, 12.5))
    assert grid == Grid("int16", 0.3719, 12.5)
    np.testing.assert_array_equal(stored, numbers)


def test_a_hint_that_does_not_fit_is_not_taken():
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    for hint in ((0.5, 0.0), (0.0, 1.0), (1e-320, 0.0), (float("nan"), 0.0), (float("inf"), 0.0), (1.0, float("inf"))):
        assert returns(values, hint)[1] == PLAIN


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -0.0, 65536.0, 0.5])
def test_one_odd_voxel_keeps_float32(odd):
    values = np.full(SHAPE, -10.0, np.float32)
    values[1, 2, 1] = odd
    assert grid_of(values, None) == PLAIN


@pytest.mark.parametrize("hint", [None, (0.5, 3.0)])
def test_slabs_change_nothing(monkeypatch, hint):
    values = np.arange(60, dtype=np.float32).reshape(5, 4, 3) * np.float32(1.5)
    whole, grid = returns(values, hint)
    monkeypatch.setattr(quantize, "_SLAB_VOXELS", 1)
    again, same = returns(values, hint)
    np.testing.assert_array_equal(again, whole)
    assert same == grid
