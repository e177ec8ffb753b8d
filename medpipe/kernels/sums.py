"""Sums in float64 over values of float32 that are never all converted at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import is_cupy

_BLOCK = 1 << 14
"""Values that are converted at a time; above what NumPy adds up without parting it."""

BLOCK_BYTES = 8 * _BLOCK
"""What the values of a block take in float64."""

_AT_ONCE = 1 << 22
"""Values that are converted at a time on a device."""

DEVICE_BLOCK_BYTES = 8 * _AT_ONCE
"""What these take in float64."""

_LANES = 8
"""NumPy parts a sum in halves whose first is a multiple of this."""


def mean_and_deviation(values: Array, /) -> tuple[float, float]:
    """Return the mean and the population's standard deviation (ddof 0), as of the same values in float64.

    Parameters
    ----------
    values : array of float32, one axis
        At least one value, all finite.

    Notes
    -----
    On the host sums are parted as NumPy parts them (in halves, again and again), so that the result is, bit for
    bit, that of ``mean`` and ``std`` of a copy in float64.
    """
    mean = mean_of(values)
    return mean, math.sqrt(mean_of(values, lambda block: _squared(block, mean)))


def mean_of(values: Array, made: Callable[[Array], Array] | None = None, /) -> float:
    """Return the mean of values, or of what is made of them: :func:`sum_of` over their number."""
    return sum_of(values, made) / int(values.size)


def sum_of(values: Array, made: Callable[[Array], Array] | None = None, /) -> float:
    """Return the sum of values, or of what is made of them, as of arrays in float64 made at once.

    Parameters
    ----------
    values : array of float, one axis
        At least one value.
    made : callable, optional
        Gives an array of float64 from one, value by value; it may overwrite what it is given.
    """
    if is_cupy(values):
        return sum_by_arrays(values, made)
    return _sum(values, made)


def sum_by_arrays(values: Array, made: Callable[[Array], Array] | None = None, /) -> float:
    """Return what :func:`sum_of` does, some values after the other: the body for CuPy."""
    total = 0.0
    for at in range(0, values.size, _AT_ONCE):
        wide = values[at : at + _AT_ONCE].astype("float64")
        total += float((wide if made is None else made(wide)).sum())
    return total


def _squared(block: Array, origin: float) -> Array:
    block -= origin
    block *= block
    return block


def _sum(values: NDArray[np.floating[Any]], made: Callable[[Array], Array] | None) -> float:
    if values.size <= _BLOCK:
        block = values.astype(np.float64)
        return float(np.add.reduce(block if made is None else made(block)))
    half = values.size // 2
    half -= half % _LANES
    return _sum(values[:half], made) + _sum(values[half:], made)
