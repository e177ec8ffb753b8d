"""Storing float32 voxels as int16 where not a bit is lost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

_LOWEST, _HIGHEST = -32768, 32767
_SLAB_VOXELS = 1 << 20

Voxels = np.ndarray[Any, Any]


class Stored(NamedTuple):
    """An array as it is stored: ``value = float32(float64(stored) * scale + offset)``.

    Attributes
    ----------
    data : array of int16 or float32
    scale, offset : float
    """

    data: Voxels
    scale: float
    offset: float


def to_stored(values: Voxels, hint: tuple[float, float] | None) -> Stored:
    """Return the smallest array that gives back every voxel bit for bit.

    Whole numbers are tried as they are, then with an offset (unsigned 16 bit), then on the grid
    of `hint`, then on it with an offset; what fits none is kept as float32.

    Parameters
    ----------
    values : array of float32
    hint : (slope, intercept) or None
        Rescale values the voxels were made with.
    """
    low, high = float(values.min()), float(values.max())
    grids = [(1.0, 0.0)] if hint is None else [(1.0, 0.0), hint]
    for slope, intercept in grids:
        offset = _offset(low, high, slope, intercept)
        stored = None if offset is None else _as_int16(values, slope, offset)
        if offset is not None and stored is not None:
            return Stored(stored, slope, offset)
    return Stored(values, 1.0, 0.0)


def from_stored(stored: Stored) -> Voxels:
    """Return the float32 voxels of a stored array."""
    if stored.data.dtype == np.float32:
        return stored.data
    if (stored.scale, stored.offset) == (1.0, 0.0):
        return stored.data.astype(np.float32)
    values = np.empty(stored.data.shape, dtype=np.float32)
    for start, stop in _slabs(values):
        values[start:stop] = _values(stored.data[start:stop], stored.scale, stored.offset)
    return values


def _values(data: Voxels, scale: float, offset: float) -> Voxels:
    return (data.astype(np.float64) * scale + offset).astype(np.float32)


def _as_int16(values: Voxels, slope: float, offset: float) -> Voxels | None:
    stored = np.empty(values.shape, dtype=np.int16)
    for start, stop in _slabs(values):
        slab = values[start:stop]
        levels = np.rint((slab.astype(np.float64) - offset) / slope)
        if levels.min() < _LOWEST or levels.max() > _HIGHEST:
            return None
        stored[start:stop] = levels
        back = _values(stored[start:stop], slope, offset)
        # Bits, not values: a negative zero must come back as one.
        if not np.array_equal(back.view(np.uint32), slab.view(np.uint32)):
            return None
    return stored


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


def _slabs(values: Voxels) -> Iterator[tuple[int, int]]:
    step = max(1, _SLAB_VOXELS // max(1, values[0].size))
    for start in range(0, values.shape[0], step):
        yield start, start + step
