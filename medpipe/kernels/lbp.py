"""Local binary patterns in a slice: uniform, rotation invariant, or as they lie."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise, product
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.types import Array

Patterns = Literal["uniform", "rotation_invariant", "oriented"]
"""Which patterns count as one: see :func:`binary_patterns`."""

TABLED = 8
"""Neighbours of patterns that are looked up; uniform ones are counted for any number."""


def bins_of(patterns: Patterns, neighbours: int) -> int:
    """Return how many patterns are told apart: for 8 neighbours 10 uniform, 36 rotation invariant, 59 oriented."""
    return neighbours + 2 if patterns == "uniform" else int(_table(patterns).max()) + 1


def reach_of(radius: float) -> int:
    """Return how many pixels around a pixel are looked at."""
    return math.ceil(radius)


def binary_patterns(
    image: Array,
    mask: Array,
    /,
    *,
    origin: tuple[int, int],
    patterns: Patterns = "uniform",
    neighbours: int = 8,
    radius: float = 1.0,
) -> NDArray[np.int64]:
    """Return how many pixels of a region show each local binary pattern.

    A pixel is compared with points on a circle around it, interpolated linearly from the pixels
    there, in the region or not; outside the image is 0. One that is missing (NaN), or that would be
    compared with a missing one, does not count.

    Parameters
    ----------
    image : NumPy array (z, y, x)
        Slices, with :func:`reach_of` pixels of context around the region in y and x where the whole
        image has them.
    mask : NumPy array of bool (z, y, x)
        The region.
    origin : (int, int)
        Row and column of the array's first pixel in the whole image. Interpolation at
        ``row - 0.70711`` rounds by the row, and equal pixels must compare as in the whole image.
    patterns : {"uniform", "rotation_invariant", "oriented"}
        ``uniform``: with at most two changes between lower and not lower around the circle the
        pattern is the number of points that are not lower, else it is one more than there are points.
        ``rotation_invariant``: patterns that a turn of the circle makes of each other are one;
        numbered by the least number their bits can be. ``oriented``: uniform patterns by how many
        points are not lower and where on the circle they begin; all others are the last.
    neighbours : int
        Points; 8 for all but ``uniform``.
    radius : float
        Of the circle, in pixels.

    Returns
    -------
    array of int64
        Counts of the patterns (see :func:`bins_of`), over all slices.

    Notes
    -----
    Ojala, Pietikäinen and Mäenpää, doi:10.1109/TPAMI.2002.1017623. The sample points, their
    rounding to five decimals and the zeros outside are those of scikit-image.
    """
    angles = [2.0 * math.pi * turn / neighbours for turn in range(neighbours)]
    rows = np.array([round(-radius * math.sin(angle), 5) for angle in angles])
    columns = np.array([round(radius * math.cos(angle), 5) for angle in angles])
    table = np.zeros(0, dtype=np.int64) if patterns == "uniform" else _table(patterns)
    reach = reach_of(radius)
    counts = np.zeros(bins_of(patterns, neighbours), dtype=np.int64)
    for plane, inside in zip(image, mask, strict=True):
        padded = np.pad(np.asarray(plane, dtype=np.float64), reach)
        missing = np.isnan(padded)
        counted = _without(missing, inside, rows, columns) if missing.any() else np.ascontiguousarray(inside)
        _count(padded, counted, rows, columns, origin, reach, table, counts)
    return counts


def _without(
    missing: NDArray[np.bool_], inside: NDArray[np.bool_], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which pixels of a plane's region need no missing one; `missing` is padded by the reach."""
    (reach, _), (height, width) = (np.array(missing.shape) - inside.shape) // 2, inside.shape
    used = {(0, 0)}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        used |= set(product((math.floor(row), math.ceil(row)), (math.floor(column), math.ceil(column))))
    found = inside.copy()
    for down, along in used:
        top, left = reach + down, reach + along
        found &= ~missing[top : top + height, left : left + width]
    return found


@cache
def _table(patterns: Patterns) -> NDArray[np.int64]:
    """Return the number of each pattern of 8 points, by its bits."""
    size = 2**TABLED
    turned = [[(bits >> turn | bits << (TABLED - turn)) % size for turn in range(TABLED)] for bits in range(size)]
    if patterns == "rotation_invariant":
        _, numbers = np.unique([min(every) for every in turned], return_inverse=True)
        return numbers.astype(np.int64)
    return np.array([_oriented(bits) for bits in range(size)], dtype=np.int64)


def _oriented(bits: int) -> int:
    points = [bits >> place & 1 for place in range(TABLED)]
    ones = sum(points)
    changes = sum(one != other for one, other in pairwise(points))
    if changes > 2:
        return TABLED * (TABLED - 1) + 2
    if ones in (0, TABLED):
        return 0 if ones == 0 else TABLED * (TABLED - 1) + 1
    turn = ones - points.index(0) if points[0] else TABLED - points.index(1)
    return 1 + (ones - 1) * TABLED + turn


@njit(cache=True, nogil=True)
def _count(  # noqa: PLR0917  # compiled
    padded: NDArray[np.float64],
    mask: NDArray[np.bool_],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    origin: tuple[int, int],
    reach: int,
    table: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Add the patterns of a plane, which is padded by the reach, to the counts; by a table of bits, if it is not empty."""
    first_row, first_column = origin
    tabled = table.size > 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if not mask[y, x]:
                continue
            ones = changes = bits = 0
            before = False
            for point in range(rows.size):
                value = _between(
                    padded, y + first_row + rows[point], x + first_column + columns[point],
                    first_row - reach, first_column - reach,
                )  # fmt: skip
                not_lower = value - padded[y + reach, x + reach] >= 0.0
                if point > 0 and not_lower != before:
                    changes += 1
                if not_lower:
                    ones += 1
                    if tabled:
                        bits += 1 << point
                before = not_lower
            if tabled:
                counts[table[bits]] += 1
            else:
                counts[ones if changes <= 2 else rows.size + 1] += 1


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
