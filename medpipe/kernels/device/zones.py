"""Zones found by array operations: the body of :mod:`medpipe.kernels.zones` on a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.device.places import AT_ONCE, CELLS_AT_ONCE, Box
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D
from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

Counts = NDArray[np.uint32]


class ZoneList(NamedTuple):
    """One entry for each zone, in the order of their first places in the padded box.

    ``roots`` are these places, ``sizes`` (uint32) count voxels, ``distances`` (int32) are steps;
    ``ends`` (z + 1,), on the host, is how many zones begin in the slices before each.
    """

    box: Box
    roots: Array
    sizes: Array
    distances: Array
    ends: NDArray[np.int64]


class ZoneCounts(NamedTuple):
    """What :class:`medpipe.kernels.zones.ZoneMatrices` holds, on the host."""

    by_size: Counts
    sizes: NDArray[np.float64]
    by_distance: Counts
    n_voxels: int


def zones_of(padded: Array, mask: Array, /, *, in_slices: bool) -> ZoneList:
    """Return the zones of a region.

    Parameters
    ----------
    padded : array of uint16 (z + 2, y + 2, x + 2)
        Ranks of the levels, 0 outside the region and in the border.
    mask : array of bool (z, y, x)
        The region to whose outside distances are.
    in_slices : bool
        Whether zones and distances stay within a slice.
    """
    xp = backend_of(padded).xp
    box = Box.of(padded)
    at = box.whole.at
    first = _first_places(box, box.steps(DIRECTIONS_2D if in_slices else DIRECTIONS_3D))
    roots = at[first[at] == at]
    distances = distances_out(mask, in_slices=in_slices)
    # types that are counted and compared by index on a device
    sizes = xp.zeros(roots.size, dtype=xp.uint32)
    nearest = xp.full(roots.size, max(padded.shape), dtype=xp.int32)
    for some in box.whole.some():
        zone = xp.searchsorted(roots, first[some])
        xp.add.at(sizes, zone, 1)
        xp.minimum.at(nearest, zone, distances[some])
    begins = xp.arange(len(padded) + 1, dtype=xp.int32) * box.whole.plane
    return ZoneList(box, roots, sizes, nearest, ends=to_numpy(xp.searchsorted(roots, begins)))


def matrices_of(zones: ZoneList, /, *, n_levels: int, by_slice: bool) -> Iterator[ZoneCounts]:
    """Yield the matrices of all zones together, or of those of each slice: by level and size, and by level and distance.

    Columns are the sizes that some zone has, and the distances up to the largest.
    """
    xp = backend_of(zones.roots).xp
    sizes = xp.unique(zones.sizes)
    farthest = int(zones.distances.max()) if zones.roots.size else 0
    depth = len(zones.box.padded)
    # the slices between the outermost, or all of them as one
    groups = [(0, depth)]
    if by_slice:
        together = max(CELLS_AT_ONCE // max(n_levels * (sizes.size + farthest), 1), 1)
        groups = [(first, min(first + together, depth - 1)) for first in range(1, depth - 1, together)]
    of_size = to_numpy(sizes).astype(np.int64)
    for first, last in groups:
        slices = last - first if by_slice else 1
        counted = _tables(zones, sizes, first, last, rows=(slices, n_levels), farthest=farthest)
        for by_size, by_distance in zip(*counted, strict=True):
            n_voxels = int(by_size.sum(axis=0, dtype=np.int64) @ of_size)
            yield ZoneCounts(by_size, of_size.astype(np.float64), by_distance, n_voxels)


def distances_out(mask: Array, /, *, in_slices: bool) -> Array:
    """Return how many steps through faces lead from each place of the padded box out of a mask: int32, flat.

    The least over lines is found axis by axis, by shifts of 1, 2, 4 and so on that cost as many steps.
    """
    xp = backend_of(mask).xp
    shape = tuple(size + 2 for size in mask.shape)
    distances = xp.zeros(shape, dtype=xp.int32)
    distances[1:-1, 1:-1, 1:-1] = mask
    distances *= max(shape)
    for axis in (1, 2) if in_slices else (0, 1, 2):
        by = 1
        while 2 * by <= shape[axis]:
            for here, there in ((slice(by, None), slice(None, -by)), (slice(None, -by), slice(by, None))):
                to, of = ((slice(None),) * axis + (side,) for side in (here, there))
                distances[to] = xp.minimum(distances[to], distances[of] + by)
            by *= 2
    return distances.reshape(-1)


def _first_places(box: Box, steps: list[int]) -> Array:
    """Return the first place of each voxel's zone (flat over the padded box; elsewhere the place itself).

    Each voxel takes the least place that a neighbour of its level knows of, and hands it to the
    voxel that it took its own from; then all go on to what theirs has found. When nothing changes,
    neighbours agree, and so does the whole zone.
    """
    xp = backend_of(box.padded).xp
    flat, at = box.whole.flat, box.whole.at
    first = xp.arange(flat.size, dtype=at.dtype)
    around = [*steps, *(-step for step in steps)]
    changes = bool(at.size)
    while changes:
        changed = xp.zeros((), dtype=bool)
        for some in box.whole.some():
            here, own = flat[some], first[some]
            least = own.copy()
            for step in around:
                there = some + step
                least = xp.where(flat[there] == here, xp.minimum(least, first[there]), least)
            changed |= (least < own).any()
            xp.minimum.at(first, own, least)
            first[some] = xp.minimum(first[some], least)
        for some in box.whole.some():
            first[some] = first[first[some]]
        changes = bool(changed)
    return first


def _tables(
    zones: ZoneList, sizes: Array, first: int, last: int, *, rows: tuple[int, int], farthest: int
) -> tuple[Counts, Counts]:
    """Return the matrices of the zones that begin in some slices, told apart or not: (slices, n_levels, columns)."""
    xp = backend_of(sizes).xp
    slices, n_levels = rows
    places = zones.box.whole
    by_size = xp.zeros(slices * n_levels * sizes.size, dtype=xp.uint32)
    by_distance = xp.zeros(slices * n_levels * farthest, dtype=xp.uint32)
    low, high = int(zones.ends[first]), int(zones.ends[last])
    for begin in range(low, high, AT_ONCE):
        some = slice(begin, min(begin + AT_ONCE, high))
        at = zones.roots[some]
        row = places.rank(at) - 1
        if slices > 1:
            row += (at.astype(xp.int64) // places.plane - first) * n_levels
        xp.add.at(by_size, row * sizes.size + xp.searchsorted(sizes, zones.sizes[some]), 1)
        xp.add.at(by_distance, row * farthest + zones.distances[some] - 1, 1)
    return (
        to_numpy(by_size).reshape(slices, n_levels, sizes.size),
        to_numpy(by_distance).reshape(slices, n_levels, farthest),
    )
