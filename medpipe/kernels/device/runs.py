"""Runs counted by array operations: the body of :func:`medpipe.kernels.glrlm.run_lengths` on a device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.device.places import AT_ONCE, Box, Places
from medpipe.kernels.ranks import Directions
from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

Counts = NDArray[np.uint32]


def run_lengths(padded: Array, /, *, n_levels: int, directions: Directions) -> Counts:
    """Return how many runs of each level have each length, for each direction.

    Parameters
    ----------
    padded : array of uint16 (z, y, x)
    n_levels : int
    directions : tuple of (z, y, x)
        All as for :func:`medpipe.kernels.glrlm.run_lengths`.

    Returns
    -------
    NumPy array of uint32 (directions, n_levels, longest axis)
    """
    box = Box.of(padded)
    matrices: Counts = _counted(box.whole, n_levels, box.steps(directions), max(padded.shape))[0]
    return matrices


def run_lengths_by_slice(padded: Array, /, *, n_levels: int, directions: Directions) -> Iterator[tuple[Counts, int]]:
    """Yield the same of each slice (z) but the outermost, with directions that stay in it, and how many voxels it has."""
    box = Box.of(padded)
    longest = max(padded.shape[1:])
    for places in box.by_slice(len(directions) * n_levels * longest):
        voxels = np.diff(box.ends[places.first : places.first + places.slices + 1]).tolist()
        yield from zip(_counted(places, n_levels, box.steps(directions), longest), voxels, strict=True)


def _counted(places: Places, n_levels: int, steps: list[int], longest: int) -> Counts:
    """Return the matrices of the slices that are told apart, (slices, directions, n_levels, longest)."""
    xp = backend_of(places.flat).xp
    counts = xp.empty((places.slices, len(steps), n_levels, longest), dtype=xp.uint32)
    for direction, step in enumerate(steps):
        turns = places.flat.size // step + 1
        keys, lengths = _runs(places, step, turns)
        cells = xp.zeros(places.slices * n_levels * longest, dtype=xp.uint32)
        for first in range(0, keys.size, AT_ONCE):
            some = keys[first : first + AT_ONCE]
            at = some % turns * step + some // turns
            code = places.slice_of(at) * n_levels + places.rank(at) - 1
            code *= longest
            code += lengths[first : first + AT_ONCE]
            code -= 1
            xp.add.at(cells, code, 1)
        counts[:, direction] = cells.reshape(places.slices, n_levels, longest)
    return to_numpy(counts)


def _runs(places: Places, step: int, turns: int) -> tuple[Array, Array]:
    """Return where the runs along a step begin, as keys, and how long they are.

    Voxels that a step leads to from each other have one remainder by it. By a key of remainder and
    then quotient (of which there are so many turns) they come one after the other; between two lines
    lies the border. So the first voxel that begins a run belongs to the first that ends one, and so on.
    """
    begin, end = (_in_line(_changing(places, by), step, turns) for by in (-step, step))
    end -= begin
    end += 1
    return begin, end


def _changing(places: Places, step: int) -> Array:
    """Return the places of the voxels that have another level a step away."""
    xp = backend_of(places.flat).xp
    return xp.concatenate([at[places.flat[at + step] != places.flat[at]] for at in places.some()] or [places.at])


def _in_line(at: Array, step: int, turns: int) -> Array:
    """Turn places into keys in the order of their lines."""
    keys = at % step * turns
    keys += at // step
    keys.sort()
    return keys
