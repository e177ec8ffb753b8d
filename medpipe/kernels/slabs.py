"""Some planes of a volume at a time, with a border of one voxel or more around them."""

from __future__ import annotations

from collections.abc import Iterator

from medpipe.types import Array
from medpipe.xp import backend_of

SLAB_VOXELS = 1 << 16
"""Voxels that are worked on at a time: intermediate arrays of that many stay in the cache."""


def planes_of(shape: tuple[int, ...], voxels: int) -> int:
    """Return how many planes (y, x) of an array make so many voxels, at least one."""
    return max(1, voxels // max(1, shape[-2] * shape[-1]))


def slab_ranges(shape: tuple[int, ...], *, planes: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the first plane of each slab of an array (z, y, x) and the one after its last.

    Parameters
    ----------
    shape : (int, int, int)
    planes : int, optional
        Of a slab; as many as stay in the cache if not given.
    """
    step = planes_of(shape, SLAB_VOXELS) if planes is None else planes
    for first in range(0, shape[0], step):
        yield first, min(first + step, shape[0])


def within(x: Array, first: int, last: int, /, *, reach: int) -> tuple[Array, slice]:
    """Return some planes with those around them, and where they lie among these.

    Parameters
    ----------
    x : array (z, y, x)
    first, last : int
        The first plane and the one after the last.
    reach : int
        Planes around them on each side, as far as there are any.

    Returns
    -------
    part : array (z, y, x)
        A view.
    inner : slice
        The planes that were asked for, of `part`.
    """
    low = max(first - reach, 0)
    return x[low : min(last + reach, len(x))], slice(first - low, last - low)


def slab_bytes(shape: tuple[int, int, int], *, per_voxel: int, border: int = 0) -> int:
    """Return the bytes of arrays over one slab of a volume (z, y, x), with a border if it has one."""
    z, y, x = shape
    planes = min(planes_of(shape, SLAB_VOXELS), z)
    return per_voxel * (planes + 2 * border) * (y + 2 * border) * (x + 2 * border)


def edged(x: Array, first: int, last: int, /, *, border: int = 1) -> Array:
    """Return a slab with a border; beyond the volume the edge voxel goes on.

    Parameters
    ----------
    x : array (z, y, x)
    first, last : int
        Planes of the slab.
    border : int
        Voxels around it on each side.

    Returns
    -------
    array (last - first + 2 border, y + 2 border, x + 2 border)
        A copy.
    """
    xp = backend_of(x).xp
    low, high = max(first - border, 0), min(last + border, x.shape[0])
    beyond = (border - (first - low), border - (high - last))
    return xp.pad(x[low:high], (beyond, (border, border), (border, border)), mode="edge")


def moved(slab: Array, shift: tuple[int, int, int], /, *, border: int = 1) -> Array:
    """Return the voxels some steps along (z, y, x) from those within a slab's border (a view)."""
    return slab[tuple(slice(border + by, n - border + by) for by, n in zip(shift, slab.shape, strict=True))]


def along(axis: int, by: int, /) -> tuple[int, int, int]:
    """Return a shift along one axis."""
    z, y, x = (by if place == axis else 0 for place in range(3))
    return z, y, x


def window_sums(x: Array, axis: int, size: int, /) -> Array:
    """Return the sums of so many neighbours along an axis: of those that have as many, one after the other."""
    n = x.shape[axis] - size + 1
    index = [slice(None)] * x.ndim
    parts = []
    for first in range(size):
        index[axis] = slice(first, first + n)
        parts.append(x[tuple(index)])
    return sum(parts[1:], parts[0])
