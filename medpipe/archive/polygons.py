"""Filling polygons: which pixels of a slice lie in closed contours."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from medpipe.archive.frames import Vector

_MOST_CROSSINGS: Final = 1 << 22

Mask = np.ndarray[Any, np.dtype[np.bool_]]


class Extent(NamedTuple):
    """A part of a slice: first row and column, and the ones after the last."""

    row: int
    column: int
    end_row: int
    end_column: int


def extent_of(corners: Vector, shape: tuple[int, int]) -> Extent:
    """Return the part of a slice outside of which a polygon has no pixel.

    Parameters
    ----------
    corners : (n, 2) float64
        (column, row) in pixels.
    shape : (int, int)
        Rows and columns.
    """
    most = (shape[1], shape[0])
    column, row = np.clip(np.floor(corners.min(axis=0)), 0, most).astype(np.int64).tolist()
    end_column, end_row = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, most).astype(np.int64).tolist()
    return Extent(row, column, end_row, end_column)


def fill_polygon(corners: Vector, shape: tuple[int, int]) -> Mask:
    """Return the pixels whose centres lie in a closed polygon (even-odd rule, half-open).

    Parameters
    ----------
    corners : (n, 2) float64
        (column, row) in pixels; the last joins the first.
    shape : (int, int)
        Rows and columns.
    """
    return fill_extent(corners, Extent(0, 0, *shape))


def fill_extent(corners: Vector, part: Extent) -> Mask:
    """Return what :func:`fill_polygon` does, in a part of the slice."""
    rows, columns = part.end_row - part.row, part.end_column - part.column
    following = np.roll(corners, -1, axis=0)
    toggles = np.zeros((rows, columns + 1), dtype=np.int64)
    # a contour of very many corners goes in turns: what crosses what is a table of rows by edges
    turn = max(1, _MOST_CROSSINGS // max(rows, 1))
    for begin in range(0, len(corners), turn):
        edges = slice(begin, begin + turn)
        _toggle(toggles, corners[edges], following[edges], part)
    return np.asarray(np.cumsum(toggles, axis=1)[:, :columns] % 2 == 1)


def _toggle(toggles: np.ndarray[Any, np.dtype[np.int64]], starts: Vector, stops: Vector, part: Extent) -> None:
    """Count, in each row of a part, the edges that cross it to the left of each pixel."""
    numbers_of_rows = np.arange(part.row, part.end_row)[:, None]
    crosses = (starts[:, 1] <= numbers_of_rows) != (stops[:, 1] <= numbers_of_rows)
    place, edge = np.nonzero(crosses)
    start, stop = starts[edge], stops[edge]
    share = (place + part.row - start[:, 1]) / (stop[:, 1] - start[:, 1])
    crossing = np.round(start[:, 0] + share * (stop[:, 0] - start[:, 0]), 6)
    at = np.clip(np.ceil(crossing) - part.column, 0, toggles.shape[1] - 1).astype(np.int64)
    np.add.at(toggles, (place, at), 1)
