"""Non-local means in three dimensions: a voxel becomes the mean of those whose surroundings look alike.

The distance of two voxels is the mean squared difference of the cubes of voxels around them.
Shifted copies of the image are compared one shift at a time: squared differences, their sums
over cubes as sums of rows of rows of planes, weights, and what each voxel of a pair gives the
other. Only half of the shifts are gone through, since a pair has one weight. The work goes in
tiles whose sums and accumulators stay in the cache.

References
----------
Buades, Coll and Morel, Multiscale Model. Simul. 4 (2005) 490, doi:10.1137/040616024; the cube
has equal weights. Wiest-Daessle et al., MICCAI 2008, doi:10.1007/978-3-540-85990-1_21, for
images whose noise is Rician.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.fastexp import exp_of_negative
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

Floats = NDArray[np.float32]

_TILE = (16, 32)
"""Planes and rows of a tile; its rows are whole."""


def non_local_means(x: Array, /, *, patch_size: int, distance: int, h: float, sigma: float, rician: bool) -> Array:
    """Return the weighted mean of the voxels around each voxel.

    ``w = exp(-max(D - 2 sigma^2, 0) / h^2)`` with D the mean squared difference of two cubes.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    patch_size : int
        Edge of the cubes that are compared, odd.
    distance : int
        Voxels up to which others are looked at, along each axis.
    h : float
        How different cubes may be, in the unit of the image.
    sigma : float
        Standard deviation of the noise; a difference that noise explains is none.
    rician : bool
        Take means of squares and subtract 2 sigma^2, the bias of a magnitude.

    Returns
    -------
    array of float32 (z, y, x)
        Beyond the border the image is mirrored, the edge voxel being the mirror.
    """
    if is_cupy(x):
        return by_shifts(x, patch_size=patch_size, distance=distance, h=h, sigma=sigma, rician=rician)
    halves, reaches = _extents(x.shape, patch_size, distance)
    margins = [(half + reach,) * 2 for half, reach in zip(halves, reaches, strict=True)]
    padded = np.pad(np.ascontiguousarray(x, np.float32), margins, mode="reflect")
    values = padded * padded if rician else padded
    scale, free = _scale_of(halves, h, sigma)
    result = np.empty(x.shape, np.float32)
    _non_local_means(
        padded, values, (halves[0], halves[1], reaches[0], reaches[1]), (np.float32(scale), np.float32(free)), result
    )
    return _unbiased(result, sigma) if rician else result


def by_shifts(x: Array, /, *, patch_size: int, distance: int, h: float, sigma: float, rician: bool) -> Array:
    """Return what :func:`non_local_means` does, as whole-array arithmetic: the body on a GPU."""
    xp = backend_of(x).xp
    halves, reaches = _extents(x.shape, patch_size, distance)
    scale, free = _scale_of(halves, h, sigma)
    padded = xp.pad(x.astype(xp.float32), [(a + b,) * 2 for a, b in zip(halves, reaches, strict=True)], mode="reflect")
    values = padded * padded if rician else padded
    total, weights = xp.zeros(x.shape, xp.float32), xp.zeros(x.shape, xp.float32)
    around = [n + 2 * half for n, half in zip(x.shape, halves, strict=True)]
    here = padded[tuple(slice(reach, reach + n) for reach, n in zip(reaches, around, strict=True))]
    for shift in np.ndindex(*(2 * reach + 1 for reach in reaches)):
        there = padded[tuple(slice(first, first + n) for first, n in zip(shift, around, strict=True))]
        differences = (here - there) ** 2
        for axis, half in enumerate(halves):
            differences = _sums(differences, axis, 2 * half + 1)
        weight = xp.exp(-xp.maximum(differences * xp.float32(scale) - xp.float32(free), 0))
        first = tuple(place + half for place, half in zip(shift, halves, strict=True))
        total += weight * values[tuple(slice(a, a + n) for a, n in zip(first, x.shape, strict=True))]
        weights += weight
    return _unbiased(total / weights, sigma) if rician else total / weights


def _extents(shape: tuple[int, ...], patch_size: int, distance: int) -> tuple[list[int], list[int]]:
    """Return half a cube and how far to look along each axis; along an axis of one voxel there is nothing to see."""
    return [patch_size // 2 if n > 1 else 0 for n in shape], [distance if n > 1 else 0 for n in shape]


def _scale_of(halves: list[int], h: float, sigma: float) -> tuple[float, float]:
    n_voxels = float(np.prod([2 * half + 1 for half in halves]))
    return 1.0 / (n_voxels * h * h), 2.0 * sigma * sigma / (h * h)


def _sums(x: Array, axis: int, size: int) -> Array:
    n = x.shape[axis] - size + 1
    index = [slice(None)] * 3
    parts = []
    for first in range(size):
        index[axis] = slice(first, first + n)
        parts.append(x[tuple(index)])
    return sum(parts[1:], parts[0])


def _unbiased(squares: Array, sigma: float) -> Array:
    xp = backend_of(squares).xp
    return xp.sqrt(xp.maximum(squares - xp.float32(2.0 * sigma * sigma), 0))


@njit(cache=True, nogil=True)
def _non_local_means(
    padded: Floats,
    values: Floats,
    extent: tuple[int, int, int, int],
    weighing: tuple[np.float32, np.float32],
    result: Floats,
) -> None:
    half_z, half, reach_z, reach = extent
    n_z, n_y, n_x = result.shape
    width = padded.shape[2]
    deep, high = min(_TILE[0], n_z), min(_TILE[1], n_y)
    total = np.empty((deep + 2 * reach_z, high + 2 * reach, width), np.float32)
    weights = np.empty_like(total)
    rows = np.empty((high + reach + 2 * half, width), np.float32)
    planes = np.empty((2 * half_z + 1, high + reach, width), np.float32)
    lanes = np.empty((2, width), np.float32)
    margin_z, margin = half_z + reach_z, half + reach
    for z in range(0, n_z, deep):
        for y in range(0, n_y, high):
            # the corner of the tile, and how many planes, rows and voxels it has, in the padded image
            box = (margin_z + z, margin + y, min(deep, n_z - z), min(high, n_y - y), n_x)
            total[:] = 0.0
            weights[:] = 0.0
            for dz in range(reach_z + 1):
                for dy in range(-reach if dz > 0 else 0, reach + 1):
                    for dx in range(-reach if dz > 0 or dy > 0 else 1, reach + 1):
                        _pairs(
                            (padded, values),
                            (extent, box, (dz, dy, dx)),
                            weighing,
                            (total, weights),
                            (rows, planes, lanes),
                        )
            for plane in range(box[2]):
                for row in range(box[3]):
                    _divided(
                        values[box[0] + plane, box[1] + row, margin:],
                        total[plane + reach_z, row + reach, margin:],
                        weights[plane + reach_z, row + reach, margin:],
                        result[z + plane, y + row],
                    )


@njit(cache=True, nogil=True)
def _pairs(
    images: tuple[Floats, Floats],
    where: tuple[tuple[int, int, int, int], tuple[int, int, int, int, int], tuple[int, int, int]],
    weighing: tuple[np.float32, np.float32],
    sums: tuple[Floats, Floats],
    scratch: tuple[Floats, Floats, Floats],
) -> None:
    """Add what the voxels of a tile give and get at one distance; pairs that cross its border count once more there."""
    padded, values = images
    total, weights = sums
    rows, planes, lanes = scratch
    half_z, half, reach_z, reach = where[0]
    corner_z, corner_y, deep, high, n_x = where[1]
    dz, dy, dx = where[2]
    size, margin = 2 * half_z + 1, half + reach
    first_y, last_y = corner_y - max(dy, 0), corner_y + high + max(-dy, 0)
    left, n = margin - max(dx, 0), n_x + abs(dx)
    for z in range(corner_z - dz - half_z, corner_z + deep + half_z):
        for y in range(first_y - half, last_y + half):
            here, there = padded[z, y, left - half :], padded[z + dz, y + dy, left - half + dx :]
            _squares(here, there, n + 2 * half, lanes[0])
            _along(lanes[0], half, n, rows[y - first_y + half])
        plane = planes[z % size]
        for row in range(last_y - first_y):
            _across(rows[row:], half, n, plane[row])
        base = z - half_z
        if base < corner_z - dz:
            continue
        for row in range(last_y - first_y):
            y = first_y + row
            _across(planes[:, row], half_z, n, lanes[0])
            _weigh(lanes[0], n, weighing, lanes[1])
            # where the pair lies in the tile's sums
            plane_here, row_here = base - corner_z + reach_z, y - corner_y + reach
            _give(
                lanes[1],
                n,
                values[base + dz, y + dy, left + dx :],
                total[plane_here, row_here, left:],
                weights[plane_here, row_here, left:],
            )
            _give(
                lanes[1],
                n,
                values[base, y, left:],
                total[plane_here + dz, row_here + dy, left + dx :],
                weights[plane_here + dz, row_here + dy, left + dx :],
            )


@njit(cache=True, nogil=True)
def _squares(here: Floats, there: Floats, n: int, out: Floats) -> None:
    for x in range(n):
        difference = here[x] - there[x]
        out[x] = difference * difference


@njit(cache=True, nogil=True)
def _along(x: Floats, half: int, n: int, out: Floats) -> None:
    if half == 1:
        for place in range(n):
            out[place] = x[place] + x[place + 1] + x[place + 2]
        return
    for place in range(n):
        out[place] = x[place]
    for step in range(1, 2 * half + 1):
        for place in range(n):
            out[place] += x[place + step]


@njit(cache=True, nogil=True)
def _across(rows: Floats, half: int, n: int, out: Floats) -> None:
    if half == 1:
        first, second, third = rows[0], rows[1], rows[2]
        for place in range(n):
            out[place] = first[place] + second[place] + third[place]
        return
    first = rows[0]
    for place in range(n):
        out[place] = first[place]
    for step in range(1, 2 * half + 1):
        further = rows[step]
        for place in range(n):
            out[place] += further[place]


@njit(cache=True, nogil=True)
def _weigh(differences: Floats, n: int, weighing: tuple[np.float32, np.float32], out: Floats) -> None:
    scale, free = weighing
    for x in range(n):
        out[x] = exp_of_negative(-max(differences[x] * scale - free, np.float32(0.0)))


@njit(cache=True, nogil=True)
def _give(weight: Floats, n: int, given: Floats, total: Floats, weights: Floats) -> None:
    for x in range(n):
        total[x] += weight[x] * given[x]
        weights[x] += weight[x]


@njit(cache=True, nogil=True)
def _divided(own: Floats, total: Floats, weights: Floats, out: Floats) -> None:
    # a voxel is like itself
    for x in range(out.size):
        out[x] = (total[x] + own[x]) / (weights[x] + np.float32(1.0))
