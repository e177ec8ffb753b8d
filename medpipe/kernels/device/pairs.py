"""Co-occurrence counted by array operations: the body of :func:`medpipe.kernels.glcm.cooccurrences` on a device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.device.places import Box, Places
from medpipe.kernels.ranks import Directions
from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

Counts = NDArray[np.uint32]


def cooccurrences(padded: Array, /, *, n_levels: int, directions: Directions) -> Counts:
    """Return how often levels i and j are neighbours, for each direction.

    Parameters
    ----------
    padded : array of uint16 (z, y, x)
    n_levels : int
    directions : tuple of (z, y, x)
        All as for :func:`medpipe.kernels.glcm.cooccurrences`.

    Returns
    -------
    NumPy array of uint32 (directions, n_levels, n_levels)
    """
    box = Box.of(padded)
    matrices: Counts = _counted(box.whole, n_levels, box.steps(directions))[0]
    return matrices


def cooccurrences_by_slice(padded: Array, /, *, n_levels: int, directions: Directions) -> Iterator[Counts]:
    """Yield the same of each slice (z) but the outermost, with directions that stay in it."""
    box = Box.of(padded)
    for places in box.by_slice(len(directions) * (n_levels + 1) ** 2):
        yield from _counted(places, n_levels, box.steps(directions))


def _counted(places: Places, n_levels: int, steps: list[int]) -> Counts:
    """Return the matrices of the slices that are told apart, (slices, directions, n_levels, n_levels)."""
    xp = backend_of(places.flat).xp
    side = n_levels + 1
    counts = xp.empty((places.slices, len(steps), n_levels, n_levels), dtype=xp.uint32)
    for direction, step in enumerate(steps):
        cells = xp.zeros(places.slices * side**2, dtype=xp.uint32)
        for at in places.some():
            code = (places.slice_of(at) * side + places.rank(at)) * side + places.rank(at + step)
            xp.add.at(cells, code, 1)
        # the first row and column are what lies outside the region
        one = cells.reshape(places.slices, side, side)[:, 1:, 1:]
        counts[:, direction] = one + one.transpose(0, 2, 1)
    return to_numpy(counts)
