"""Third and fourth powers, to the last bit those of the C library, which is seldom asked.

The library's ``pow`` errs by little more than half a unit in the last place. Where the exact
power, known here to twice the digits, lies clear of the middle between two numbers, the nearer of
them is what it returns; it is asked for the others, fewer than one in ten.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# parts a number in halves whose products are exact (Dekker, doi:10.1007/BF01397083)
_SPLIT = 134217729.0

# of a unit in the last place: the library errs by up to 0.52 of it
_CLEAR = 0.46
_ABOUT_A_UNIT = 0.75 * 2.0**-52

# beyond these the parts of a product may be lost
_LEAST, _MOST = 1e-200, 1e200


def cubes(x: Floats, /) -> Floats:
    """Return the third power of each value of an array of float64 (n,)."""
    return _powers(x, 3.0, _third)


def fourths(x: Floats, /) -> Floats:
    """Return the fourth power of each value of an array of float64 (n,)."""
    return _powers(x, 4.0, _fourth)


def _powers(x: Floats, exponent: float, made: Any) -> Floats:
    found, rest, is_near_the_middle = np.empty(x.size), np.empty(x.size), np.empty(x.size, dtype=np.bool_)
    made(x, found, rest)
    _doubt(found, rest, is_near_the_middle)
    _ask(x, exponent, is_near_the_middle, found)
    return found


@njit(cache=True, nogil=True)
def _halves(x: float) -> tuple[float, float]:
    scaled = _SPLIT * x
    high = scaled - (scaled - x)
    return high, x - high


@njit(cache=True, nogil=True)
def _squared(x: float) -> tuple[float, float]:
    """Return the rounded square of a number, and what it lacks."""
    high, low = _halves(x)
    square = x * x
    return square, ((high * high - square) + 2.0 * (high * low)) + low * low


@njit(cache=True, nogil=True)
def _third(x: Floats, found: Floats, rest: Floats) -> None:
    """Fill in rounded third powers, and what they lack. One formula after the other: so it is many at a time."""
    for i in range(x.size):
        high, low = _halves(x[i])
        square, of_square = _squared(x[i])
        square_high, square_low = _halves(square)
        cube = square * x[i]
        of_cube = ((square_high * high - cube) + square_high * low + square_low * high) + square_low * low
        below = of_cube + of_square * x[i]
        found[i] = cube + below
        rest[i] = below - (found[i] - cube)


@njit(cache=True, nogil=True)
def _fourth(x: Floats, found: Floats, rest: Floats) -> None:
    for i in range(x.size):
        square, of_square = _squared(x[i])
        fourth, of_fourth = _squared(square)
        below = of_fourth + 2.0 * (square * of_square)
        found[i] = fourth + below
        rest[i] = below - (found[i] - fourth)


@njit(cache=True, nogil=True)
def _doubt(found: Floats, rest: Floats, is_near_the_middle: NDArray[np.bool_]) -> None:
    for i in range(found.size):
        size = abs(found[i])
        unit = (size + size * _ABOUT_A_UNIT) - size
        is_near_the_middle[i] = not (abs(rest[i]) < _CLEAR * unit and _LEAST < size < _MOST)


@njit(cache=True, nogil=True)
def _ask(x: Floats, exponent: float, is_near_the_middle: NDArray[np.bool_], found: Floats) -> None:
    for i in range(x.size):
        if is_near_the_middle[i]:
            found[i] = math.pow(x[i], exponent)
