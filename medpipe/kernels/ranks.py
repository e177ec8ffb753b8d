"""Grey levels of a region as ranks in a padded box: what the texture matrices are counted on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import Rejected
from medpipe.kernels.slabs import planes_of, slab_ranges
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy, to_numpy

Aggregation = Literal["2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb"]
"""How matrices of directions and slices become one value: averaged or merged (``comb``)."""

Way = Literal["2D", "2_5D", "3D"]
"""Aggregation of matrices without directions: averaged over slices, merged over slices, in space."""

Directions = tuple[tuple[int, int, int], ...]
Floats = NDArray[np.float64]
Steps = NDArray[np.uint64]

DIRECTIONS_2D: Directions = ((0, 0, 1), (0, 1, -1), (0, 1, 0), (0, 1, 1))
"""The 4 directions (z, y, x) within a slice; the opposite ones come with symmetry."""

DIRECTIONS_3D: Directions = (*DIRECTIONS_2D, *((1, y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)))
"""The 13 directions (z, y, x) in space."""

MAX_LEVELS = 2048
"""Distinct grey levels of a region beyond which a matrix is refused."""

_LARGEST_TABLE = 2**16
_AT_ONCE = 2**22


class Ranks(NamedTuple):
    """The levels of a region by their rank.

    ``padded`` (z + 2, y + 2, x + 2) holds 1 for the lowest level that occurs, 2 for the next;
    0 outside the region and in the border of one voxel; on the device that the levels were on.
    ``levels`` are the levels, ascending, on the host.
    """

    padded: Array
    levels: Floats


def ranks_of(levels: Array, /) -> Ranks:
    """Return the ranks of the levels of a region.

    Parameters
    ----------
    levels : array of int (z, y, x)
        Grey levels from 1; 0 outside the region.

    Raises
    ------
    Rejected
        ``E_LEVELS`` if the region has more than :data:`MAX_LEVELS` distinct levels.
    """
    if is_cupy(levels):
        return ranks_by_arrays(levels)
    top = int(levels.max(initial=0))
    has_table = top < _LARGEST_TABLE
    if has_table:
        counts = np.zeros(top + 1, dtype=np.int64)
        for plane in levels:
            counts += np.bincount(plane.reshape(-1), minlength=top + 1)
        present = np.flatnonzero(counts)
    else:
        present = np.unique(np.concatenate([np.unique(plane) for plane in levels]))
    present = present[present > 0]
    if present.size > MAX_LEVELS:
        raise Rejected("E_LEVELS")
    z, y, x = levels.shape
    padded = np.zeros((z + 2, y + 2, x + 2), dtype=np.uint16)
    table = np.zeros(top + 1 if has_table else 0, dtype=np.uint16)
    if has_table:
        table[present] = np.arange(1, present.size + 1)
    for plane, given in zip(padded[1:-1], levels, strict=True):
        ranked = table[given] if has_table else np.where(given > 0, np.searchsorted(present, given) + 1, 0)
        plane[1:-1, 1:-1] = ranked
    return Ranks(padded=padded, levels=present.astype(np.float64))


def ranks_by_arrays(levels: Array, /) -> Ranks:
    """Return what :func:`ranks_of` does, by array operations alone: the body for CuPy."""
    xp = backend_of(levels).xp
    slabs = list(slab_ranges(levels.shape, planes=planes_of(levels.shape, _AT_ONCE)))
    top = int(levels.max())
    if top < _LARGEST_TABLE:
        counts = xp.zeros(top + 1, dtype=xp.uint32)
        for first, last in slabs:
            xp.add.at(counts, levels[first:last].reshape(-1), 1)
        present = np.flatnonzero(to_numpy(counts))
    else:
        present = np.unique(np.concatenate([to_numpy(xp.unique(levels[first:last])) for first, last in slabs]))
    present = present[present > 0]
    if present.size > MAX_LEVELS:
        raise Rejected("E_LEVELS")
    z, y, x = levels.shape
    padded, table = xp.zeros((z + 2, y + 2, x + 2), dtype=xp.uint16), xp.asarray(present)
    for first, last in slabs:
        # 0 comes before the lowest level, and the lowest is the first
        padded[1 + first : 1 + last, 1:-1, 1:-1] = xp.searchsorted(table, levels[first:last], side="right")
    return Ranks(padded=padded, levels=present.astype(np.float64))


def steps_in(shape: tuple[int, ...], directions: Directions) -> NDArray[np.int64]:
    """Return how many places each direction moves on in a flat box of a shape (z, y, x)."""
    strides = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
    return np.array(directions, dtype=np.int64) @ strides


def ways_of(aggregations: Iterable[Aggregation]) -> tuple[Way, ...]:
    """Return how matrices without directions are joined: each way once, in the order given."""
    return tuple(dict.fromkeys(_WAY[aggregation] for aggregation in aggregations))


_WAY: dict[Aggregation, Way] = {
    "2D_avg": "2D",
    "2D_comb": "2D",
    "2_5D_avg": "2_5D",
    "2_5D_comb": "2_5D",
    "3D_avg": "3D",
    "3D_comb": "3D",
}


def means(names: tuple[str, ...], rows: Iterable[Floats]) -> dict[str, float]:
    """Return the mean of each feature over the matrices where it is defined; NaN if none is left.

    Parameters
    ----------
    names : tuple of str
    rows : iterable of array of float64
        Features of one matrix each, in the order of the names; what follows them is left out.
    """
    every = np.array([row[: len(names)] for row in rows]).reshape(-1, len(names))
    defined = every[~np.isnan(every).any(axis=1)]
    if len(defined) == 0:
        return dict.fromkeys(names, math.nan)
    return dict(zip(names, np.mean(defined, axis=0).tolist(), strict=True))
