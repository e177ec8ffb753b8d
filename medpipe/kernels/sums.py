"""Sums in float64 over values of float32 that are never all converted at once."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import is_cupy

_BLOCK = 1 << 16
"""Values that are converted at a time; above what NumPy adds up without parting it."""

BLOCK_BYTES = 8 * _BLOCK
"""What the values of a block take in float64."""

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
    if is_cupy(values):
        wide = values.astype("float64")
        return float(wide.mean()), float(wide.std())
    mean = _sum(values, _wide) / values.size
    squares = _sum(values, lambda block: _squared(_wide(block), mean))
    return mean, math.sqrt(squares / values.size)


def _wide(block: NDArray[np.float32]) -> NDArray[np.float64]:
    return block.astype(np.float64)


def _squared(block: NDArray[np.float64], origin: float) -> NDArray[np.float64]:
    block -= origin
    block *= block
    return block


def _sum(values: NDArray[np.float32], made: Callable[[NDArray[np.float32]], NDArray[np.float64]]) -> float:
    if values.size <= _BLOCK:
        return float(np.add.reduce(made(values)))
    half = values.size // 2
    half -= half % _LANES
    return _sum(values[:half], made) + _sum(values[half:], made)
