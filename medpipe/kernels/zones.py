"""Zones of one grey level: size-zone and distance-zone matrices (IBSI families 9SAK and VMDZ)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.device import zones as on_device
from medpipe.kernels.emphasis import Counts, Floats, emphases
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D, Ranks, Steps, Way, means, steps_in
from medpipe.types import Array
from medpipe.xp import is_cupy

SIZE_NAMES = (
    "sze", "lze", "lgze", "hgze", "szlge", "szhge", "lzlge", "lzhge", "glnu", "glnu_norm", "zsnu", "zsnu_norm",
    "z_perc", "gl_var", "zs_var", "zs_entr",
)  # fmt: skip
"""Names of the size-zone features, in the order of the standard."""

DISTANCE_NAMES = (
    "sde", "lde", "lgze", "hgze", "sdlge", "sdhge", "ldlge", "ldhge", "glnu", "glnu_norm", "zdnu", "zdnu_norm",
    "z_perc", "gl_var", "zd_var", "zd_entr",
)  # fmt: skip
"""Names of the distance-zone features, in the order of the standard."""


Places = NDArray[np.signedinteger[Any]]


class ZoneFeatures(NamedTuple):
    """Features by size and by distance, for each way of aggregation."""

    size: dict[Way, dict[str, float]]
    distance: dict[Way, dict[str, float]]


def zone_features(ranks: Ranks, mask: Array, /, *, ways: tuple[Way, ...]) -> ZoneFeatures:
    """Return the 16 size-zone and the 16 distance-zone features for each way of aggregation.

    Parameters
    ----------
    ranks : Ranks
        Levels of the voxels whose intensity counts.
    mask : array of bool (z, y, x)
        The whole region, before intensities were left out: distances are to its outside.
    ways : tuple of str
        ``2D`` (8QNN), ``2_5D`` (62GR), ``3D`` (KOBO).

    Returns
    -------
    ZoneFeatures
        One value for each of :data:`SIZE_NAMES` and :data:`DISTANCE_NAMES`. Slices without a
        voxel are left out of averages; NaN for an empty region.

    Notes
    -----
    IBSI reference manual, chapters "Grey level size zone based features" (codes 5QRC to GU8N)
    and "Grey level distance zone based features" (0GBI to GBDU). Voxels of a zone touch by face,
    edge or corner; a zone's distance is the least number of steps through faces from one of its
    voxels to the outside of the region, which the border of the image is part of.
    """
    matrices = _matrices_on_device if is_cupy(ranks.padded) else _matrices
    found = ZoneFeatures({}, {})
    for in_slices in (False, True):
        some: tuple[Way, ...] = tuple(way for way in ways if (way != "3D") == in_slices)
        for way, parts in zip(some, matrices(ranks, mask, some), strict=True):
            _put(found, way, ranks, parts)
    return found


class Zones(NamedTuple):
    """Zones of a region, or of one slice of it; all flat over the padded box.

    ``padded`` holds the ranks of the levels. ``parents`` is below 0 at one voxel of each zone:
    the negative number of its voxels. There ``distances`` is the zone's distance.
    """

    padded: NDArray[np.uint16]
    parents: Places
    distances: NDArray[np.uint16]


class ZoneMatrices(NamedTuple):
    """Zones counted by level and size (k, sizes) and by level and distance (k, distances).

    ``sizes`` are the sizes that occur; distances run from 1.
    """

    by_size: Counts
    sizes: Floats
    by_distance: Counts
    n_voxels: int


def zones_of(padded: NDArray[np.uint16], mask: Array, /, *, in_slices: bool) -> Zones:
    """Return the zones of a region.

    Parameters
    ----------
    padded : array of uint16 (z + 2, y + 2, x + 2)
        Ranks of the levels, 0 outside the region and in the border.
    mask : NumPy array of bool (z, y, x)
        The region to whose outside distances are.
    in_slices : bool
        Whether zones and distances stay within a slice.
    """
    _, height, width = padded.shape
    row, plane = width, height * width
    distances = np.zeros(padded.shape, dtype=np.uint16)
    distances[1:-1, 1:-1, 1:-1] = mask
    above = np.uint64(row if in_slices else plane)
    _walk_out(distances.reshape(-1), np.uint64(row), above)
    directions = DIRECTIONS_2D if in_slices else DIRECTIONS_3D
    steps = steps_in(padded.shape, directions).astype(np.uint64)
    ahead = steps_in(padded.shape, tuple(step for step in directions if step[2] == -1)).astype(np.uint64)
    parents: Places = np.zeros(padded.size, dtype=np.int32 if padded.size < 2**31 else np.int64)
    zones = Zones(padded=padded.reshape(-1), parents=parents, distances=distances.reshape(-1))
    _join(zones, above, ahead, steps)
    return zones


def zone_matrices(zones: Zones, /, *, n_levels: int) -> ZoneMatrices:
    """Return the matrices of some zones; those of no zone have no column."""
    n_voxels, largest, farthest = _extent(zones.parents, zones.distances)
    column = np.zeros(largest + 1, dtype=np.int32)
    _mark(zones.parents, column)
    sizes = np.flatnonzero(column)
    column[sizes] = np.arange(sizes.size)
    matrices = ZoneMatrices(
        by_size=np.zeros((n_levels, sizes.size), dtype=np.uint32),
        sizes=sizes.astype(np.float64),
        by_distance=np.zeros((n_levels, farthest), dtype=np.uint32),
        n_voxels=n_voxels,
    )
    _tabulate(zones, column, matrices.by_size, matrices.by_distance)
    return matrices


@njit(cache=True, nogil=True)
def _walk_out(distances: NDArray[np.uint16], row: np.uint64, plane: np.uint64) -> None:
    """Turn a region of ones into city-block distances to its outside: there and back once."""
    # unsigned: an index that may be below 0 costs a test each time
    one = np.uint64(1)
    for at in range(distances.size):
        place = np.uint64(at)
        if distances[place] > 0:
            distances[place] = min(distances[place - one], distances[place - row], distances[place - plane]) + 1
    for at in range(distances.size - 1, -1, -1):
        place = np.uint64(at)
        if distances[place] > 1:
            behind = min(distances[place + one], distances[place + row], distances[place + plane])
            distances[place] = min(int(distances[place]), int(behind) + 1)


@njit(cache=True, nogil=True)
def _root(parents: Places, place: np.uint64) -> np.uint64:
    while parents[place] > 0:
        above = np.uint64(parents[place])
        if parents[above] > 0:
            parents[place] = parents[above]
        place = above
    return place


@njit(cache=True, nogil=True)
def _join(zones: Zones, above: np.uint64, ahead: Steps, steps: Steps) -> None:
    """Join neighbours of one level.

    A parent above 0 is a place, one below 0 makes a root of that many voxels, and 0 is outside:
    the first place is border. A root keeps the least distance of its zone. ``steps`` lead back
    to all neighbours met so far, and ``ahead`` to those of them at the next x.
    """
    padded, parents, distances = zones.padded, zones.parents, zones.distances
    one = np.uint64(1)
    for at in range(padded.size):
        place = np.uint64(at)
        here = padded[place]
        if here == 0:
            continue
        parents[place] = -1
        # Neighbours met so far that touch each other are of one zone already. The voxel above
        # touches all of them, the one on the left all that are not ahead, and the one above and
        # ahead all that are ahead.
        if padded[place - above] == here:
            _united(parents, distances, place, _root(parents, place - above))
            continue
        root = place
        rest = steps
        if padded[place - one] == here:
            root = _united(parents, distances, place, _root(parents, place - one))
            rest = ahead
            if padded[place - above + one] == here:
                _united(parents, distances, root, _root(parents, place - above + one))
                continue
        for step in rest:
            if padded[place - step] == here:
                root = _united(parents, distances, root, _root(parents, place - step))


@njit(cache=True, nogil=True)
def _united(parents: Places, distances: NDArray[np.uint16], one: np.uint64, other: np.uint64) -> np.uint64:
    """Hang the smaller of two roots below the larger one, and return that."""
    if one == other:
        return one
    if parents[one] > parents[other]:
        one, other = other, one
    parents[one] += parents[other]
    parents[other] = one
    distances[one] = min(distances[one], distances[other])
    return one


@njit(cache=True, nogil=True)
def _extent(parents: Places, distances: NDArray[np.uint16]) -> tuple[int, int, int]:
    """Return the voxels of all zones, of the largest one, and the largest distance."""
    n_voxels = largest = farthest = 0
    for place in range(parents.size):
        if parents[place] < 0:
            n_voxels -= parents[place]
            largest = max(largest, -parents[place])
            farthest = max(farthest, int(distances[place]))
    return n_voxels, largest, farthest


@njit(cache=True, nogil=True)
def _mark(parents: Places, sizes: NDArray[np.int32]) -> None:
    for place in range(parents.size):
        if parents[place] < 0:
            sizes[-parents[place]] = 1


@njit(cache=True, nogil=True)
def _tabulate(zones: Zones, column: NDArray[np.int32], by_size: Counts, by_distance: Counts) -> None:
    for place in range(zones.padded.size):
        if zones.parents[place] < 0:
            row = zones.padded[place] - 1
            by_size[row, column[-zones.parents[place]]] += 1
            by_distance[row, zones.distances[place] - 1] += 1


def _matrices(ranks: Ranks, mask: Array, ways: tuple[Way, ...]) -> Iterator[Iterator[ZoneMatrices]]:
    """Yield, for ways that have their zones in common, the matrices that are measured one by one."""
    if ways:
        zones = zones_of(ranks.padded, mask, in_slices="3D" not in ways)
        for way in ways:
            parts = _slices(zones, ranks.padded.shape) if way == "2D" else [zones]
            yield (zone_matrices(one, n_levels=ranks.levels.size) for one in parts)


def _matrices_on_device(ranks: Ranks, mask: Array, ways: tuple[Way, ...]) -> Iterator[Iterator[ZoneMatrices]]:
    if ways:
        listed = on_device.zones_of(ranks.padded, mask, in_slices="3D" not in ways)
        for way in ways:
            parts = on_device.matrices_of(listed, n_levels=ranks.levels.size, by_slice=way == "2D")
            yield (ZoneMatrices(*one) for one in parts)


def _slices(zones: Zones, shape: tuple[int, ...]) -> Iterator[Zones]:
    planes = (values.reshape(shape[0], -1) for values in zones)
    return (Zones(*one) for one in zip(*planes, strict=True))


def _put(found: ZoneFeatures, way: Way, ranks: Ranks, parts: Iterable[ZoneMatrices]) -> None:
    by_size, by_distance = [], []
    for counted in parts:
        steps = np.arange(1.0, counted.by_distance.shape[1] + 1.0)
        by_size.append(emphases(counted.by_size, ranks.levels, counted.sizes, counted.n_voxels))
        by_distance.append(emphases(counted.by_distance, ranks.levels, steps, counted.n_voxels))
    found.size[way] = means(SIZE_NAMES, by_size)
    found.distance[way] = means(DISTANCE_NAMES, by_distance)
