"""Local binary patterns in a slice: uniform, rotation invariant, 8 neighbours at radius 1."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.types import Array

NEIGHBOURS = 8
BINS = NEIGHBOURS + 2
"""Patterns: 0 to 8 ones in one run, and all others."""

_ANGLES = [2.0 * math.pi * turn / NEIGHBOURS for turn in range(NEIGHBOURS)]
_ROWS = np.array([round(-math.sin(angle), 5) for angle in _ANGLES])
_COLUMNS = np.array([round(math.cos(angle), 5) for angle in _ANGLES])


def uniform_lbp(image: Array, mask: Array, /, *, origin: tuple[int, int]) -> NDArray[np.int64]:
    """Return how many pixels of a region show each uniform local binary pattern.

    A pixel is compared with 8 points on a circle of radius 1 around it, interpolated linearly
    from the pixels there, in the region or not; outside the image is 0. With at most two
    changes between lower and not lower around the circle the pattern is the number of points
    that are not lower, otherwise it is 9.

    Parameters
    ----------
    image : NumPy array (z, y, x)
        Slices, with one pixel of context around the region in y and x where the whole image
        has one.
    mask : NumPy array of bool (z, y, x)
        The region.
    origin : (int, int)
        Row and column of the array's first pixel in the whole image. Interpolation at
        ``row - 0.70711`` rounds by the row, and equal pixels must compare as in the whole image.

    Returns
    -------
    array of int64 (10,)
        Counts of the patterns, over all slices.

    Notes
    -----
    Ojala, Pietikäinen and Mäenpää, doi:10.1109/TPAMI.2002.1017623. The sample points, their
    rounding to five decimals and the zeros outside are those of scikit-image.
    """
    counts = np.zeros(BINS, dtype=np.int64)
    for plane, inside in zip(image, mask, strict=True):
        padded = np.pad(np.asarray(plane, dtype=np.float64), 1)
        counts += _patterns(padded[np.newaxis], np.ascontiguousarray(inside)[np.newaxis], _ROWS, _COLUMNS, origin)
    return counts


@njit(cache=True, nogil=True)
def _patterns(
    padded: NDArray[np.float64],
    mask: NDArray[np.bool_],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    origin: tuple[int, int],
) -> NDArray[np.int64]:
    first_row, first_column = origin
    counts = np.zeros(rows.size + 2, dtype=np.int64)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                if not mask[z, y, x]:
                    continue
                ones = changes = 0
                before = False
                for point in range(rows.size):
                    value = _between(
                        padded[z], y + first_row + rows[point], x + first_column + columns[point],
                        first_row - 1, first_column - 1,
                    )  # fmt: skip
                    not_lower = value - padded[z, y + 1, x + 1] >= 0.0
                    if point > 0 and not_lower != before:
                        changes += 1
                    if not_lower:
                        ones += 1
                    before = not_lower
                counts[ones if changes <= 2 else rows.size + 1] += 1
    return counts


@njit(cache=True, nogil=True)
def _between(plane: NDArray[np.float64], row: float, column: float, first_row: int, first_column: int) -> float:
    """Return the value at a point of the whole image, linear between the four pixels around."""
    top, left = math.floor(row), math.floor(column)
    bottom, right = math.ceil(row), math.ceil(column)
    down, along = row - top, column - left
    upper = (1.0 - along) * plane[top - first_row, left - first_column]
    upper += along * plane[top - first_row, right - first_column]
    lower = (1.0 - along) * plane[bottom - first_row, left - first_column]
    lower += along * plane[bottom - first_row, right - first_column]
    value: float = (1.0 - down) * upper + down * lower
    return value
