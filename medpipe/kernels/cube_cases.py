"""Surfaces of masks by the cubes that they cut, and the vertices that lie farthest out.

A cube has its corners at eight voxel centres; which of them are inside is its case, and the case says what
its triangles are. Area and volume are sums over cases, so no triangle is ever held. Which triangles a
case has is not said here: :mod:`medpipe.kernels.mesh` and :mod:`medpipe.kernels.cubes` differ in it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.types import Array

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Padded = NDArray[np.uint8]
Spacing = tuple[float, float, float]

N_CASES = 256
"""Bit ``4 dz + 2 dy + dx`` of a case is set if that corner is inside."""


class Triangles(NamedTuple):
    """All triangles: ``case`` (n,) of the cube, and corners (n, 3, 3) in voxels from its first corner."""

    case: Ints
    corners: Floats


class CubeSizes(NamedTuple):
    """By case, ``areas`` (mm²) and ``products`` (256,) of a cube's triangles, and their ``normals`` (256, 3)."""

    areas: Floats
    products: Floats
    normals: Floats


class CubeSurface(NamedTuple):
    """Area and enclosed volume of a surface."""

    area_mm2: float
    volume_mm3: float


def padded_by_one(mask: Array, /) -> Padded:
    """Return a mask (z, y, x) as 0 and 1, with one voxel of outside around it."""
    z, y, x = mask.shape
    padded = np.zeros((z + 2, y + 2, x + 2), dtype=np.uint8)
    padded[1:-1, 1:-1, 1:-1] = mask
    return padded


def cube_sizes(triangles: Triangles, /, *, spacing_mm: Spacing) -> CubeSizes:
    """Return what a cube of each case adds to area and volume on a grid."""
    a, b, c = (triangles.corners[:, place] * np.asarray(spacing_mm) for place in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2.0
    # moved by o, the product a (b x c) of a triangle grows by o (a x b + b x c + c x a)
    products = np.einsum("ij,ij->i", np.cross(a, b), c)
    normals = np.cross(a, b) + np.cross(b, c) + np.cross(c, a)
    of_cases = np.zeros((N_CASES, 5))
    np.add.at(of_cases, triangles.case, np.column_stack((areas, products, normals)))
    return CubeSizes(areas=of_cases[:, 0].copy(), products=of_cases[:, 1].copy(), normals=of_cases[:, 2:].copy())


def surface_of(padded: Padded, sizes: CubeSizes, /, *, spacing_mm: Spacing) -> CubeSurface:
    """Return area and volume of the surface of a mask that :func:`padded_by_one` has made.

    The volume is below 0 where triangles are wound the other way, and if the surface has gaps, it is
    that seen from the centre of the voxel before the mask's first one.
    """
    counts, places = np.zeros(N_CASES, dtype=np.int64), np.zeros((N_CASES, 3), dtype=np.int64)
    _count(padded, counts, places)
    moved = (places * np.asarray(spacing_mm) * sizes.normals).sum()
    return CubeSurface(area_mm2=float(sizes.areas @ counts), volume_mm3=float(sizes.products @ counts + moved) / 6.0)


@njit(cache=True, nogil=True)
def _count(padded: Padded, counts: Ints, places: Ints) -> None:
    """Count cubes by case, and sum up where they begin."""
    depth, height, width = padded.shape
    for z in range(depth - 1):
        for y in range(height - 1):
            case = 0
            for x in range(width):
                # what was ahead lies behind
                case = (case >> 1) & 0b01010101
                case |= padded[z, y, x] << 1 | padded[z, y + 1, x] << 3
                case |= padded[z + 1, y, x] << 5 | padded[z + 1, y + 1, x] << 7
                if 0 < case < N_CASES - 1 and x > 0:
                    counts[case] += 1
                    places[case, 0] += z
                    places[case, 1] += y
                    places[case, 2] += x - 1


def ends_of_lines(padded: Padded, /, *, axes: tuple[int, int, int] = (0, 1, 2)) -> Ints:
    """Return the first and last vertex (plane, u, v) of each line along an axis, in order, in half voxels.

    Parameters
    ----------
    padded : array of uint8 (z, y, x)
        As :func:`padded_by_one` has made it.
    axes : (int, int, int)
        The axis across planes, u, and the axis v along lines.

    Returns
    -------
    array of int64 (n, 3)
        Vertices lie half-way between a voxel inside and a neighbour outside: on lines through voxels along that
        axis, and on lines between two of those. Those within a slice, or half-way to the next, are one plane.
    """
    strides = padded.shape[1] * padded.shape[2], padded.shape[2], 1
    shape, steps = (np.array([given[axis] for axis in axes]) for given in (padded.shape, strides))
    planes, lines, length = map(int, shape)
    first, last = np.full((2 * planes, 2 * lines), 2 * length), np.full((2 * planes, 2 * lines), -1)
    _find_ends(padded.reshape(-1), shape, steps, first, last)
    points = np.empty((2 * int(np.count_nonzero(last >= 0)), 3), dtype=np.int64)
    return points[: _put_ends(first, last, points)].copy()


@njit(cache=True, nogil=True)
def _find_ends(padded: Padded, shape: Ints, steps: Ints, first: Ints, last: Ints) -> None:
    for p in range(shape[0] - 1):
        for u in range(shape[1] - 1):
            for v in range(shape[2] - 1):
                place = p * steps[0] + u * steps[1] + v * steps[2]
                here = padded[place]
                if padded[place + steps[2]] != here:
                    _extend(first, last, 2 * p, 2 * u, 2 * v + 1)
                if padded[place + steps[1]] != here:
                    _extend(first, last, 2 * p, 2 * u + 1, 2 * v)
                if padded[place + steps[0]] != here:
                    _extend(first, last, 2 * p + 1, 2 * u, 2 * v)


@njit(cache=True, nogil=True)
def _put_ends(first: Ints, last: Ints, points: Ints) -> int:
    """Write down the ends of all lines, one of them where both are the same, and return their number."""
    size = 0
    for p in range(last.shape[0]):
        for u in range(last.shape[1]):
            if last[p, u] >= 0:
                points[size, 0], points[size, 1], points[size, 2] = p, u, first[p, u]
                size += 1
            if last[p, u] > first[p, u]:
                points[size, 0], points[size, 1], points[size, 2] = p, u, last[p, u]
                size += 1
    return size


@njit(cache=True, nogil=True)
def _extend(first: Ints, last: Ints, p: int, u: int, v: int) -> None:
    first[p, u], last[p, u] = min(first[p, u], v), max(last[p, u], v)


@njit(cache=True, nogil=True)
def corners_of_planes(points: Ints) -> Ints:
    """Return those of points (plane, u, v), in order, that are corners of their plane's convex hull.

    The corners of the convex hull in space are among them.
    """
    corners, hull = np.empty((len(points), 3), dtype=np.int64), np.empty((2 * len(points) + 2, 2), dtype=np.int64)
    n_corners = start = 0
    while start < len(points):
        stop = start
        while stop < len(points) and points[stop, 0] == points[start, 0]:
            stop += 1
        for place in range(max(_hull(points[start:stop], hull) - 1, 1)):
            corners[n_corners, 0], corners[n_corners, 1] = points[start, 0], hull[place, 0]
            corners[n_corners, 2] = hull[place, 1]
            n_corners += 1
        start = stop
    return corners[:n_corners].copy()


@njit(cache=True, nogil=True)
def widest_plane(points: Ints, u_mm: float, v_mm: float) -> float:
    """Return the largest distance (mm) of two points of one plane.

    Parameters
    ----------
    points : array of int64 (n, 3)
        Plane, u and v of each, in steps and in order.
    u_mm, v_mm : float
        A step of u and of v, mm.
    """
    hull = np.empty((2 * len(points) + 2, 2), dtype=np.int64)
    widest = 0.0
    start = 0
    while start < len(points):
        stop = start
        while stop < len(points) and points[stop, 0] == points[start, 0]:
            stop += 1
        size = _hull(points[start:stop], hull)
        for one in range(size):
            for other in range(one):
                u, v = (hull[one, 0] - hull[other, 0]) * u_mm, (hull[one, 1] - hull[other, 1]) * v_mm
                widest = max(widest, u * u + v * v)
        start = stop
    return math.sqrt(widest)


@njit(cache=True, nogil=True)
def _hull(points: Ints, hull: Ints) -> int:
    """Write the corners of a plane's convex hull, the first one twice, and return their number (monotone chain)."""
    size = 0
    for place in range(len(points)):
        size = _turned_back(hull, size, 0, points[place, 1], points[place, 2])
    above = size - 1
    for place in range(len(points) - 2, -1, -1):
        size = _turned_back(hull, size, above, points[place, 1], points[place, 2])
    return size


@njit(cache=True, nogil=True)
def _turned_back(hull: Ints, size: int, base: int, u: int, v: int) -> int:
    """Add a point after dropping those that are no corner any more; return the new size."""
    while size - base >= 2:
        du, dv = hull[size - 1, 0] - hull[size - 2, 0], hull[size - 1, 1] - hull[size - 2, 1]
        if du * (v - hull[size - 2, 1]) - dv * (u - hull[size - 2, 0]) > 0:
            break
        size -= 1
    hull[size, 0], hull[size, 1] = u, v
    return size + 1
