"""The outline of a plane mask as pyradiomics measures it: marching squares.

Corners of the region that face each other across a square are cut off one by one, so outlines are
closed and their area does not depend on where it is measured from.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from medpipe.kernels.cubes import widest_in_planes
from medpipe.types import Array


class Outline(NamedTuple):
    """Area within an outline, its length, and the largest distance of two of its vertices."""

    area_mm2: float
    perimeter_mm: float
    diameter_mm: float


def square_outline(mask: Array, /, *, spacing_mm: tuple[float, float]) -> Outline:
    """Return the sizes of the outline of a plane mask.

    Parameters
    ----------
    mask : NumPy array of bool (y, x), not empty
    spacing_mm : (float, float)
        Step between pixel centres along (y, x), mm.

    Notes
    -----
    Vertices lie half-way between pixels inside and outside.
    """
    padded = np.pad(mask, 1)
    corners = [padded[:-1, :-1], padded[:-1, 1:], padded[1:, 1:], padded[1:, :-1]]
    inside = np.sum(corners, axis=0, dtype=np.int8)
    is_diagonal = (inside == 2) & (corners[0] == corners[2])
    along_x = (inside == 2) & (corners[0] == corners[1])
    ones, threes = int(np.count_nonzero(inside == 1)), int(np.count_nonzero(inside == 3))
    diagonals, twos = int(np.count_nonzero(is_diagonal)), int(np.count_nonzero(inside == 2))
    lying = int(np.count_nonzero(along_x))
    standing = twos - diagonals - lying
    y_mm, x_mm = spacing_mm
    squares = ones / 8 + threes * 7 / 8 + diagonals / 4 + (lying + standing) / 2 + np.count_nonzero(inside == 4)
    cut_mm = math.hypot(y_mm, x_mm) / 2
    return Outline(
        area_mm2=float(squares) * y_mm * x_mm,
        perimeter_mm=(ones + threes + 2 * diagonals) * cut_mm + lying * x_mm + standing * y_mm,
        diameter_mm=widest_in_planes(_vertices(padded), u_mm=y_mm / 2, v_mm=x_mm / 2),
    )


def _vertices(padded: Array) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return the vertices as (0, y, x) in half pixels."""
    down = 2 * np.argwhere(padded[1:] != padded[:-1]) + (1, 0)
    across = 2 * np.argwhere(padded[:, 1:] != padded[:, :-1]) + (0, 1)
    points = np.concatenate([down, across])
    return np.column_stack([np.zeros(len(points), dtype=np.int64), points])
