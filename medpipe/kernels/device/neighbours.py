"""Neighbourhoods counted by array operations: the body of :func:`medpipe.kernels.neighbours.neighbourhoods` on a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.device.places import Box, Places
from medpipe.kernels.ranks import Directions
from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

Floats = NDArray[np.float64]

_LOW_BITS = 20
"""Bits of a number that are summed apart from those above them, so that sums in float64 are exact."""


class NeighbourCounts(NamedTuple):
    """What :class:`medpipe.kernels.neighbours.Neighbourhoods` holds, on the host."""

    voxels: NDArray[np.int64]
    difference: Floats
    dependence: NDArray[np.uint32]


def neighbourhoods(padded: Array, levels: Floats, /, *, directions: Directions) -> NeighbourCounts:
    """Count the neighbourhoods of a region.

    Parameters
    ----------
    padded : array of uint16 (z, y, x)
    levels : NumPy array of float64 (k,)
    directions : tuple of (z, y, x)
        All as for :func:`medpipe.kernels.neighbours.neighbourhoods`.
    """
    box = Box.of(padded)
    return next(_counted(box.whole, levels, box.steps(directions)))


def neighbourhoods_by_slice(padded: Array, levels: Floats, /, *, directions: Directions) -> Iterator[NeighbourCounts]:
    """Yield the same of each slice (z) but the outermost, with directions that stay in it."""
    box = Box.of(padded)
    for places in box.by_slice(3 * levels.size * (2 * len(directions) + 1)):
        yield from _counted(places, levels, box.steps(directions))


def _counted(places: Places, levels: Floats, steps: list[int]) -> Iterator[NeighbourCounts]:
    """Yield what is counted of each slice that is told apart.

    How far a voxel is from the mean of its ``n`` neighbours is a whole number over ``n``. So what
    is summed are whole numbers, for each ``n`` by itself.
    """
    xp = backend_of(places.flat).xp
    around = [*steps, *(-step for step in steps)]
    most = len(around) + 1
    # the sum of levels and how many they are, in its lowest bits, go together in one number
    bits = most.bit_length()
    table = xp.asarray(np.concatenate([[0], (levels.astype(np.int64) << bits) + 1]))
    size = places.slices * levels.size * most
    dependence, voxels = (xp.zeros(size, dtype=xp.uint32) for _ in range(2))
    low, high = (xp.zeros(size, dtype=xp.float64) for _ in range(2))
    for at in places.some():
        here = places.flat[at]
        equal, total = (xp.zeros(at.shape, dtype=xp.int64) for _ in range(2))
        for step in around:
            there = places.flat[at + step]
            equal += there == here
            total += table[there]
        known = total & ((1 << bits) - 1)
        row = (places.slice_of(at) * levels.size + here - 1) * most
        xp.add.at(dependence, row + equal, 1)
        row += known
        xp.add.at(voxels, row, 1)
        apart = xp.abs((table[here] >> bits) * known - (total >> bits))
        # of whole numbers, and so the same in any order
        xp.add.at(low, row, (apart & ((1 << _LOW_BITS) - 1)).astype(xp.float64))
        xp.add.at(high, row, (apart >> _LOW_BITS).astype(xp.float64))
    # in whole numbers again: beyond 2**53 float64 has no room for their sum
    apart = low.astype(xp.int64) + (high.astype(xp.int64) << _LOW_BITS)
    n = np.maximum(np.arange(most), 1)
    host = (to_numpy(one).reshape(places.slices, levels.size, most) for one in (dependence, voxels, apart))
    for dependent, counted, summed in zip(*host, strict=True):
        yield NeighbourCounts(counted[:, 1:].sum(axis=1, dtype=np.int64), (summed / n).sum(axis=1), dependent)
