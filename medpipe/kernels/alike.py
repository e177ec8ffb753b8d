"""Means over what looks alike: each voxel of a window counts by how close it is and how alike its surroundings are.

The weight of two voxels is ``closeness x exp(-max(D x scale - free, 0))`` with D the sum of squared
differences of the cubes around them. Shifted copies of the image are compared one shift at a
time, and only half of the shifts are gone through, since a pair has one weight. The work goes in
tiles that are copied with their surroundings, so that images and sums stay in the cache; in a tile
the rows of a plane lie behind one another and are one run for the compiler. On a device a thread holds the
surroundings of some voxels in registers and goes through all shifts (``cuda/alike.cu``).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.fastexp import exp_of_negative
from medpipe.kernels.launching import launch, tiles
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

Floats = NDArray[np.float32]
Triple = tuple[int, int, int]

_TILE = (8, 32, 128)
"""The most planes, rows and columns of a tile, whose surroundings and sums are to stay in the cache."""


_WARP = 32
_WARPS = 4
_PAD_THREADS = (32, 8)

_MISSING_BYTES = 5
"""Of a voxel: what is missing, and places that look at it."""

_LOG2_E = 1.4426950408889634


class Weighing(NamedTuple):
    """How pairs of voxels are weighed.

    Attributes
    ----------
    halves : (int, int, int)
        Half the cube that is compared, voxels along (z, y, x).
    scale, free : float
        Of the sum of squared differences, and what of the product costs nothing.
    closeness : array of float32, of odd shape
        Weight by place alone, the voxel itself (with weight 1) in the middle; the shape is the
        window. It is the same from either end of a pair.
    """

    halves: Triple
    scale: float
    free: float
    closeness: Floats

    @property
    def reaches(self) -> Triple:
        """Half the window, voxels."""
        z, y, x = (n // 2 for n in self.closeness.shape)
        return z, y, x


def means_of_alike(x: Array, weighing: Weighing, /, *, squared: bool = False) -> Array:
    """Return the weighted mean of the voxels around each voxel.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        Beyond the border it is mirrored, the edge voxel being the mirror.
    weighing : Weighing
    squared : bool
        Return the mean of squares.

    Returns
    -------
    array of float32 (z, y, x)
        NaN wherever a voxel that is looked at is NaN.
    """
    if is_cupy(x):
        return _on_device(x, weighing, squared=squared)
    result = np.empty(x.shape, np.float32)
    exponent = (np.float32(weighing.scale), np.float32(weighing.free))
    image = np.ascontiguousarray(x, np.float32)
    _by_tiles(image, weighing.halves, weighing.reaches, exponent, weighing.closeness, squared, result)
    return _with_missing(x, result, weighing)


def tile_bytes(margin: int) -> int:
    """Return what a tile takes whose voxels are looked at with so many around them on each side."""
    wide = _TILE[2] + 2 * margin
    near = (_TILE[0] + 2 * margin) * (_TILE[1] + 2 * margin) * wide
    return 4 * (2 * near + 2 * _TILE[0] * _TILE[1] * wide + (4 + 2 * margin) * (_TILE[1] + 2 * margin) * wide)


def device_bytes(shape: tuple[int, ...], /, *, halves: Triple, reaches: Triple) -> int:
    """Return what :func:`means_of_alike` takes on a device beside its result.

    Parameters
    ----------
    shape : (int, int, int)
        Of the image (z, y, x).
    halves, reaches : (int, int, int)
        Half the cube that is compared, and half the window, voxels.
    """
    wide = 4 * math.prod(_wide_shape(shape, halves, reaches))
    # or what is missing, and how far that goes
    return max(wide + 4 * math.prod(2 * reach + 1 for reach in reaches), _MISSING_BYTES * math.prod(shape))


def _on_device(x: Array, weighing: Weighing, *, squared: bool) -> Array:
    xp = backend_of(x).xp
    image = xp.ascontiguousarray(x, dtype=xp.float32)
    part = part_of_a_thread(image.shape, weighing.halves)
    wide = _widened(image, weighing)
    result = xp.empty(image.shape, dtype=xp.float32)
    halves = dict(zip(("HALF_Z", "HALF_Y", "HALF_X"), weighing.halves, strict=True))
    made = (part[0], part[1] * _WARPS, _WARP - 2 * weighing.halves[2])
    launch(
        image,
        "alike.means_of_alike",
        blocks=tiles(image.shape, made),
        threads=(_WARP, _WARPS),
        arguments=(
            wide,
            xp.asarray(weighing.closeness),
            result,
            *(np.int32(n) for n in (*image.shape, *wide.shape[1:], *weighing.reaches)),
            np.float32(weighing.scale * _LOG2_E),
            np.float32(weighing.free * _LOG2_E),
        ),
        constants={"PLANES": part[0], "ROWS": part[1], **halves, "SQUARED": int(squared)},
    )
    # memory of a device is what there is least of
    del wide
    return _with_missing(image, result, weighing)


def part_of_a_thread(shape: tuple[int, ...], halves: Triple) -> tuple[int, int]:
    """Return how many planes and rows a thread makes: what lies around them has to fit into its registers."""
    most = 4 if max(halves[:2]) <= 2 else 2
    planes = 1 if shape[0] == 1 else most
    rows = 1 if shape[1] == 1 else most
    return planes, rows


def _wide_shape(shape: tuple[int, ...], halves: Triple, reaches: Triple) -> Triple:
    steps = (*part_of_a_thread(shape, halves), _WARP - 2 * halves[2])
    margins = (half + reach for half, reach in zip(halves, reaches, strict=True))
    z, y, x = (-(-n // step) * step + 2 * by for n, step, by in zip(shape, steps, margins, strict=True))
    return z, y, x


def _widened(image: Array, weighing: Weighing) -> Array:
    """Return the image with what is looked at around it, and as much more as whole parts of threads cover."""
    xp = backend_of(image).xp
    margins = [half + reach for half, reach in zip(weighing.halves, weighing.reaches, strict=True)]
    shape = _wide_shape(image.shape, weighing.halves, weighing.reaches)
    wide = xp.empty(shape, dtype=xp.float32)
    launch(
        image,
        "surroundings.surroundings",
        blocks=tiles((shape[0] * shape[1], shape[2]), _PAD_THREADS[::-1]),
        threads=_PAD_THREADS,
        arguments=(image, wide, *(np.int32(n) for n in (*image.shape, *shape, *margins))),
    )
    return wide


def _with_missing(x: Array, result: Array, weighing: Weighing) -> Array:
    backend = backend_of(x)
    missing = backend.xp.isnan(x)
    if bool(missing.any()):
        size = [2 * (half + reach) + 1 for half, reach in zip(weighing.halves, weighing.reaches, strict=True)]
        spread = backend.ndi.maximum_filter(missing.astype(backend.xp.uint8), size=size, mode="mirror")
        result[spread > 0] = np.nan
    return result


@njit(cache=True, nogil=True)
def _by_tiles(  # noqa: PLR0917  # Numba has no keyword-only parameters
    x: Floats,
    halves: Triple,
    reaches: Triple,
    exponent: tuple[np.float32, np.float32],
    closeness: Floats,
    squared: bool,  # noqa: FBT001
    result: Floats,
) -> None:
    half_z, half_y, half_x = halves
    reach_z, reach_y, reach_x = reaches
    margins = (half_z + reach_z, half_y + reach_y, half_x + reach_x)
    deep, high, wide = _even(x.shape[0], _TILE[0]), _even(x.shape[1], _TILE[1]), _even(x.shape[2], _TILE[2])
    near = np.empty((deep + 2 * margins[0], high + 2 * margins[1], wide + 2 * margins[2]), np.float32)
    given = np.empty_like(near) if squared else near
    width = near.shape[2]
    total = np.empty((deep, high * width), np.float32)
    weights = np.empty_like(total)
    lanes = np.empty((3, (high + reach_y + 2 * half_y) * width), np.float32)
    planes = np.empty((2 * half_z + 1, (high + reach_y) * width), np.float32)
    for z in range(0, x.shape[0], deep):
        for y in range(0, x.shape[1], high):
            for left in range(0, x.shape[2], wide):
                corner = (z - margins[0], y - margins[1], left - margins[2])
                _surroundings(x, corner, near)
                if squared:
                    _squares_of(near, given)
                total[:] = 0.0
                weights[:] = 0.0
                for dz in range(reach_z + 1):
                    for dy in range(-reach_y if dz > 0 else 0, reach_y + 1):
                        for dx in range(-reach_x if dz > 0 or dy > 0 else 1, reach_x + 1):
                            close = closeness[reach_z + dz, reach_y + dy, reach_x + dx]
                            if close > 0.0:
                                _pairs(
                                    (near, given),
                                    (halves, margins, (deep, high, wide), (dz, dy, dx)),
                                    (exponent[0], exponent[1], close),
                                    (total, weights),
                                    (lanes, planes),
                                )
                box = (min(deep, x.shape[0] - z), min(high, x.shape[1] - y), min(wide, x.shape[2] - left))
                for plane in range(box[0]):
                    for row in range(box[1]):
                        first = row * width + margins[2]
                        _divided(
                            given[plane + margins[0], row + margins[1], margins[2] :],
                            total[plane, first:],
                            weights[plane, first:],
                            result[z + plane, y + row, left : left + box[2]],
                        )


@njit(cache=True, nogil=True)
def _even(n: int, most: int) -> int:
    """Return the size of equal parts of an axis of which none is larger than `most`."""
    parts = (n + most - 1) // most
    return (n + parts - 1) // parts


@njit(cache=True, nogil=True)
def _mirrored(place: int, n: int) -> int:
    while place < 0 or place >= n:
        place = -place if place < 0 else 2 * (n - 1) - place
    return place


@njit(cache=True, nogil=True)
def _surroundings(x: Floats, corner: Triple, near: Floats) -> None:
    n_z, n_y, n_x = x.shape
    depth, height, width = near.shape
    inside = min(max(-corner[2], 0), width), max(min(n_x - corner[2], width), 0)
    for z in range(depth):
        # of an axis of one voxel a tile is one voxel deep
        from_z = _mirrored(corner[0] + z, n_z)
        for y in range(height):
            row = x[from_z, _mirrored(corner[1] + y, n_y)]
            near[z, y, inside[0] : inside[1]] = row[corner[2] + inside[0] : corner[2] + inside[1]]
            for place in range(inside[0]):
                near[z, y, place] = row[_mirrored(corner[2] + place, n_x)]
            for place in range(inside[1], width):
                near[z, y, place] = row[_mirrored(corner[2] + place, n_x)]


@njit(cache=True, nogil=True)
def _squares_of(near: Floats, given: Floats) -> None:
    for z in range(near.shape[0]):
        for y in range(near.shape[1]):
            for x in range(near.shape[2]):
                given[z, y, x] = near[z, y, x] * near[z, y, x]


@njit(cache=True, nogil=True)
def _pairs(
    images: tuple[Floats, Floats],
    where: tuple[Triple, Triple, Triple, Triple],
    weighing: tuple[np.float32, np.float32, np.float32],
    sums: tuple[Floats, Floats],
    scratch: tuple[Floats, Floats],
) -> None:
    """Add what the voxels of a tile give and get at one distance.

    Rows lie behind one another, so a plane of pairs is one run of voxels; what a run makes of
    the margins between its rows is never looked at.
    """
    (half_z, half_y, half_x), (margin_z, margin_y, margin_x), (deep, high, wide), (dz, dy, dx) = where
    near, given = images[0].reshape(-1), images[1].reshape(-1)
    height, width = images[0].shape[1:]
    total, weights = sums
    lanes, planes = scratch
    size = 2 * half_z + 1
    apart = (dz * height + dy) * width + dx
    left, first_y, rows = margin_x - max(dx, 0), margin_y - max(dy, 0), high + abs(dy)
    run = (rows - 1) * width + wide + abs(dx)
    longer, shorter = run + 2 * half_y * width, run - abs(dy) * width
    here, there = (margin_y - first_y) * width, (margin_y - dy - first_y) * width
    for z in range(margin_z - dz - half_z, margin_z + deep + half_z):
        start = (z * height + first_y - half_y) * width + left - half_x
        _along(near[start:], near[start + apart :], half_x, (lanes[0, : longer + 2 * half_x], lanes[1, :longer]))
        _across(lanes[1], half_y, width, planes[z % size, :run])
        base = z - half_z
        if base < margin_z - dz:
            continue
        _weigh(planes, (base - half_z) % size, weighing, lanes[2, :run])
        start = (base * height + first_y) * width + left
        plane = base - margin_z
        if plane >= 0:
            _give(
                lanes[2, here : here + shorter],
                given[start + here + apart :],
                total[plane, left:],
                weights[plane, left:],
            )
        if plane + dz < deep:
            _give(
                lanes[2, there : there + shorter],
                given[start + there :],
                total[plane + dz, left + dx :],
                weights[plane + dz, left + dx :],
            )


@njit(cache=True, nogil=True)
def _along(here: Floats, there: Floats, half: int, lanes: tuple[Floats, Floats]) -> None:
    """Put the sums of squared differences over parts of rows into the second of the lanes."""
    squares, out = lanes
    for place in range(squares.size):
        difference = here[place] - there[place]
        squares[place] = difference * difference
    if half == 1:
        for place in range(out.size):
            out[place] = squares[place] + squares[place + 1] + squares[place + 2]
        return
    for place in range(out.size):
        out[place] = squares[place]
    for step in range(1, 2 * half + 1):
        for place in range(out.size):
            out[place] += squares[place + step]


@njit(cache=True, nogil=True)
def _across(sums: Floats, half: int, width: int, out: Floats) -> None:
    if half == 1:
        second, third = sums[width:], sums[2 * width :]
        for place in range(out.size):
            out[place] = sums[place] + second[place] + third[place]
        return
    for place in range(out.size):
        out[place] = sums[place]
    for step in range(1, 2 * half + 1):
        further = sums[step * width :]
        for place in range(out.size):
            out[place] += further[place]


@njit(cache=True, nogil=True)
def _weigh(planes: Floats, first: int, weighing: tuple[np.float32, np.float32, np.float32], out: Floats) -> None:
    # planes are added in their order, whichever place of the ring they have
    scale, free, close = weighing
    size = planes.shape[0]
    if size == 3:
        one, two, three = planes[first], planes[(first + 1) % 3], planes[(first + 2) % 3]
        for place in range(out.size):
            out[place] = one[place] + two[place] + three[place]
    else:
        out[:] = planes[first, : out.size]
        for step in range(1, size):
            further = planes[(first + step) % size]
            for place in range(out.size):
                out[place] += further[place]
    for place in range(out.size):
        # in this order two infinities, whose distance is no number, are alike
        out[place] = close * exp_of_negative(-max(np.float32(0.0), out[place] * scale - free))


@njit(cache=True, nogil=True)
def _give(weight: Floats, given: Floats, total: Floats, weights: Floats) -> None:
    for place in range(weight.size):
        total[place] += weight[place] * given[place]
        weights[place] += weight[place]


@njit(cache=True, nogil=True)
def _divided(own: Floats, total: Floats, weights: Floats, out: Floats) -> None:
    # a voxel is like itself
    for x in range(out.size):
        out[x] = (total[x] + own[x]) / (weights[x] + np.float32(1.0))
