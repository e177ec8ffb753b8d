"""The voxels of a region in a padded box, some at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.ranks import Directions, steps_in
from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

AT_ONCE = 1 << 21
"""Voxels whose neighbours are gathered at a time."""

CELLS_AT_ONCE = 1 << 22
"""Cells of the matrices of slices that are counted at a time."""

_MOST_PLACES = 1 << 30


def is_counted_there(shape: tuple[int, ...], border: int, /) -> bool:
    """Tell whether a box of a shape with so many voxels of border can be counted on a device.

    Places in it are of 32 bits, as long as what CuPy writes to by index.
    """
    return math.prod(size + 2 * border for size in shape) <= _MOST_PLACES


@dataclass(frozen=True, slots=True)
class Places:
    """Where the voxels of a region, or of some of its slices, lie.

    Attributes
    ----------
    flat : array of uint16 (places of the padded box,)
        Ranks of the levels; 0 outside the region.
    at : array of int32 (voxels,)
        Places of the voxels in it, ascending.
    plane : int
        Places of a slice.
    first, slices : int
        The slices that are told apart, in the padded box.
    """

    flat: Array
    at: Array
    plane: int
    first: int = 0
    slices: int = 1

    def slice_of(self, at: Array, /) -> Array:
        """Return which of the slices that are told apart a voxel is in: int64."""
        xp = backend_of(at).xp
        if self.slices == 1:
            return xp.zeros(at.shape, dtype=xp.int64)
        return at.astype(xp.int64) // self.plane - self.first

    def some(self) -> Iterator[Array]:
        """Yield the places, some at a time."""
        for first in range(0, self.at.size, AT_ONCE):
            yield self.at[first : first + AT_ONCE]

    def rank(self, at: Array, /) -> Array:
        """Return the ranks at some places: int64."""
        return self.flat[at].astype("int64")


@dataclass(frozen=True, slots=True)
class Box:
    """The ranks of a region in a padded box, and where its voxels are.

    Attributes
    ----------
    padded : array of uint16 (z, y, x)
    whole : Places
        All slices, not told apart.
    ends : array of int64 (z + 1,)
        Voxels in the slices before each, on the host.
    """

    padded: Array
    whole: Places
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, padded: Array, /) -> Box:
        """Return the places of a padded box, found some slices at a time."""
        xp = backend_of(padded).xp
        depth, plane = len(padded), padded[0].size
        flat = padded.reshape(-1)
        ends = np.zeros(depth + 1, dtype=np.int64)
        ends[1:] = np.cumsum(to_numpy(xp.count_nonzero(padded.reshape(depth, -1), axis=1)))
        at = xp.empty(int(ends[-1]), dtype=xp.int32)
        step = max(AT_ONCE // plane, 1)
        for first in range(0, depth, step):
            last = min(first + step, depth)
            at[int(ends[first]) : int(ends[last])] = xp.flatnonzero(flat[first * plane : last * plane]) + first * plane
        return cls(padded=padded, whole=Places(flat, at, plane), ends=ends)

    def steps(self, directions: Directions, /) -> list[int]:
        """Return how many places each direction moves on."""
        steps: list[int] = steps_in(self.padded.shape, directions).tolist()
        return steps

    def by_slice(self, cells: int, /) -> Iterator[Places]:
        """Yield the slices but the outermost, several at a time; a slice has matrices of so many cells."""
        together = max(CELLS_AT_ONCE // max(cells, 1), 1)
        for first in range(1, len(self.padded) - 1, together):
            last = min(first + together, len(self.padded) - 1)
            at = self.whole.at[int(self.ends[first]) : int(self.ends[last])]
            yield Places(self.whole.flat, at, self.whole.plane, first=first, slices=last - first)
