"""Storing float32 voxels as int16 where not a bit is lost.

Values are looked at a few planes at a time, so that it costs no second array: what has a shape
and can be sliced by planes and rows serves, an array as well as a
:class:`medpipe.lake.scratch.Spool`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

_LOWEST, _HIGHEST = -32768, 32767
_SLAB_VOXELS = 1 << 20

Voxels = np.ndarray[Any, Any]


class Grid(NamedTuple):
    """How values are stored: ``value = float32(float64(stored) * scale + offset)``.

    Attributes
    ----------
    dtype : {"int16", "float32"}
    scale, offset : float
    """

    dtype: str
    scale: float
    offset: float


PLAIN = Grid("float32", 1.0, 0.0)
"""Values as they are."""


def grid_of(values: Any, hint: tuple[float, float] | None) -> Grid:
    """Return the smallest grid that gives back every voxel bit for bit.

    Whole numbers are tried as they are, then with an offset (unsigned 16 bit), then on the grid
    of `hint`, then on it with an offset; what fits none is kept as float32.

    Parameters
    ----------
    values : array of float32, or what is sliced like one
    hint : (slope, intercept) or None
        Rescale values the voxels were made with.
    """
    low, high = _range(values)
    for slope, intercept in [(1.0, 0.0)] if hint is None else [(1.0, 0.0), hint]:
        offset = _offset(low, high, slope, intercept)
        if offset is None:
            continue
        grid = Grid("int16", slope, offset)
        if all(_returns(slab, grid) for slab in _slabs(values)):
            return grid
    return PLAIN


def to_stored(values: Voxels, grid: Grid) -> Voxels:
    """Return the numbers that are stored for float32 values of which all lie on a grid."""
    if grid.dtype == "float32":
        return values
    if (grid.scale, grid.offset) == (1.0, 0.0):
        return values.astype(np.int16)
    stored = np.empty(values.shape, dtype=np.int16)
    for target, slab in zip(_slabs(stored), _slabs(values), strict=True):
        target[...] = _levels(slab, grid)
    return stored


def from_stored(stored: Voxels, grid: Grid) -> Voxels:
    """Return the float32 voxels of stored numbers."""
    if stored.dtype == np.float32:
        return stored
    if (grid.scale, grid.offset) == (1.0, 0.0):
        return stored.astype(np.float32)
    values = np.empty(stored.shape, dtype=np.float32)
    for target, slab in zip(_slabs(values), _slabs(stored), strict=True):
        target[...] = _values(slab, grid)
    return values


def _values(stored: Voxels, grid: Grid) -> Voxels:
    return (stored.astype(np.float64) * grid.scale + grid.offset).astype(np.float32)


def _levels(values: Voxels, grid: Grid) -> Voxels:
    return np.rint((values.astype(np.float64) - grid.offset) / grid.scale)


def _returns(values: Voxels, grid: Grid) -> bool:
    levels = _levels(values, grid)
    if levels.min() < _LOWEST or levels.max() > _HIGHEST:
        return False
    back = _values(levels.astype(np.int16), grid)
    # Bits, not values: a negative zero must come back as one.
    return np.array_equal(back.view(np.uint32), np.ascontiguousarray(values).view(np.uint32))


def _range(values: Any) -> tuple[float, float]:
    """Return the least and the greatest value; NaN if there is one."""
    ends = np.array([(slab.min(), slab.max()) for slab in _slabs(values)])
    return float(ends[:, 0].min()), float(ends[:, 1].max())


def _offset(low: float, high: float, slope: float, intercept: float) -> float | None:
    """Return an offset under which the range of values fits int16, or None."""
    if not slope or not math.isfinite(slope):
        return None
    first, last = sorted(((low - intercept) / slope, (high - intercept) / slope))
    if not (math.isfinite(first) and math.isfinite(last)):
        return None
    if round(first) >= _LOWEST and round(last) <= _HIGHEST:
        return intercept
    if round(last) - round(first) <= _HIGHEST - _LOWEST:
        return intercept + slope * (round(first) - _LOWEST)
    return None


def _slabs(values: Any) -> Iterator[Voxels]:
    """Yield an array a few planes at a time; views of it where it is in memory."""
    step = max(1, _SLAB_VOXELS // max(1, math.prod(values.shape[1:])))
    for start in range(0, values.shape[0], step):
        yield values[start : start + step]
