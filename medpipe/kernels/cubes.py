"""The surface of a mask as pyradiomics measures it: marching cubes of 128 cases, and diameters of its vertices.

A cube has its corners at eight voxel centres, and the surface cuts edges half-way. Corners of the
region that face each other across a side are cut off one by one, where the cube's last corner (at
the highest y and z, the lowest x) is outside; where it is inside, region and outside change roles.
Cubes side by side may so disagree on the side they share: the surface has gaps there, and a volume
that depends on where its origin lies, which is the centre of the voxel before the mask's first one.
The surface of :mod:`medpipe.kernels.mesh`, which the standard asks for, has none.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.cube_cases import (
    N_CASES,
    CubeSizes,
    CubeSurface,
    Triangles,
    corners_of_planes,
    cube_sizes,
    ends_of_lines,
    padded_by_one,
    surface_of,
    widest_plane,
)
from medpipe.kernels.mesh import convex_hull, largest_distance_mm
from medpipe.types import Array

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Corner = tuple[int, int, int]
Spacing = tuple[float, float, float]

_FEW = 1000
"""Points whose distances cost less than their hull."""
_FLIPPING = (1, 1, 0)
"""The corner (z, y, x) that changes roles where it is inside."""


class Diameters(NamedTuple):
    """Largest distances of two vertices, mm: in planes of one z, of one y, of one x, and of all."""

    slice_mm: float
    column_mm: float
    row_mm: float
    all_mm: float


def cube_surface(mask: Array, /, *, spacing_mm: Spacing) -> CubeSurface:
    """Return area and volume of the surface of a mask.

    Parameters
    ----------
    mask : NumPy array of bool (z, y, x), not empty
        Cropped to the region: the volume depends on where it begins if the surface has gaps.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Notes
    -----
    Lorensen and Cline, doi:10.1145/37401.37422; in what pyradiomics 2.1 to 3.1 makes of it.
    """
    return surface_of(padded_by_one(mask), _sizes(spacing_mm), spacing_mm=spacing_mm)


def vertex_diameters(mask: Array, /, *, spacing_mm: Spacing) -> Diameters:
    """Return the largest distances between vertices of a mask's surface.

    Parameters
    ----------
    mask : NumPy array of bool (z, y, x), not empty
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Notes
    -----
    A vertex lies half-way between each voxel inside and each face neighbour outside.
    """
    padded = padded_by_one(mask)
    planar: list[float] = []
    far = np.empty((0, 3))
    for axis in range(3):
        u, v = (other for other in range(3) if other != axis)
        ends = ends_of_lines(padded, axes=(axis, u, v))
        planar.append(float(widest_plane(ends, spacing_mm[u] / 2.0, spacing_mm[v] / 2.0)))
        if axis == 0:
            far = corners_of_planes(ends) * (np.asarray(spacing_mm) / 2.0)
    if len(far) > _FEW:
        far = _far_out(far)
    if len(far) > _FEW:
        far = convex_hull(far).corners
    slice_mm, column_mm, row_mm = planar
    return Diameters(slice_mm, column_mm, row_mm, largest_distance_mm(far))


@lru_cache(maxsize=16)
def _sizes(spacing_mm: Spacing) -> CubeSizes:
    return cube_sizes(_triangles(), spacing_mm=spacing_mm)


@cache
def _triangles() -> Triangles:
    cases, corners = [], []
    flipping = 1 << _bit(_FLIPPING)
    for case in range(1, N_CASES - 1):
        is_flipped = bool(case & flipping)
        for triangle in _triangles_of(case ^ (N_CASES - 1) if is_flipped else case):
            cases.append(case)
            corners.append(triangle[::-1] if is_flipped else triangle)
    return Triangles(np.array(cases), np.array(corners))


def _triangles_of(case: int) -> list[Floats]:
    """Return the triangles of a cube whose flipping corner is outside, wound so that volumes are above 0."""
    after: dict[Corner, Corner] = {}
    for axis in range(3):
        for side in (0, 1):
            after |= _cuts(case, _round_a_side(axis, side))
    found: list[Floats] = []
    while after:
        loop = [next(iter(after))]
        while (following := after.pop(loop[-1])) != loop[0]:
            loop.append(following)
        # edges are held by twice their middle
        found += _fan(np.array(loop) / 2.0)
    return found


def _round_a_side(axis: int, side: int) -> list[Corner]:
    """Return the corners of a side of the cube, one way round as seen from outside."""
    b, c = (axis + 1) % 3, (axis + 2) % 3
    corners = []
    for at in ((0, 0), (1, 0), (1, 1), (0, 1)):
        corner = [side, side, side]
        corner[b], corner[c] = at
        corners.append((corner[0], corner[1], corner[2]))
    return corners if side else corners[::-1]


def _cuts(case: int, corners: list[Corner]) -> dict[Corner, Corner]:
    """Return the lines in which the surface meets a side: from edge to edge around each run of corners inside."""
    inside = [bool(case >> _bit(corner) & 1) for corner in corners]
    lines = {}
    for first in range(4):
        if inside[first] and not inside[first - 1]:
            last = first
            while inside[(last + 1) % 4]:
                last += 1
            into, out = (corners[first - 1], corners[first]), (corners[last % 4], corners[(last + 1) % 4])
            lines[_middle(*into)] = _middle(*out)
    return lines


def _fan(loop: Floats) -> list[Floats]:
    """Return the triangles between a vertex of a loop and the others.

    Of five and six vertices, those of the fan with the largest area; of seven, those of the fan
    that is its own mirror image: the only one whose area no other has.
    """
    fans = [np.roll(loop, -first, axis=0) for first in range(len(loop))]
    areas = np.round([sum(_area(*corners) for corners in _corners(fan)) for fan in fans], 9)
    chosen = int(areas.argmax())
    if len(loop) == 7:
        chosen = int(np.argmin([np.count_nonzero(areas == area) for area in areas]))
    return [np.array(corners) for corners in _corners(fans[chosen])]


def _corners(fan: Floats) -> list[tuple[Floats, Floats, Floats]]:
    return [(fan[0], fan[place], fan[place + 1]) for place in range(1, len(fan) - 1)]


def _area(a: Floats, b: Floats, c: Floats) -> float:
    return float(np.linalg.norm(np.cross(b - a, c - a))) / 2.0


def _middle(one: Corner, other: Corner) -> Corner:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _bit(corner: Corner) -> int:
    return 4 * corner[0] + 2 * corner[1] + corner[2]


def _far_out(points: Floats) -> Floats:
    """Return the points that the largest distance can be between: their distances from the middle add up to it."""
    from_middle = np.linalg.norm(points - points.mean(axis=0), axis=1)
    known = np.linalg.norm(points - points[from_middle.argmax()], axis=1).max()
    kept: Floats = points[from_middle >= (known - from_middle.max()) * (1.0 - 1e-9)]
    return kept


def _ordered(points: Ints) -> Ints:
    """Return points by their first coordinate, then by the second, then by the third."""
    low, spans = points.min(axis=0), np.ptp(points, axis=0) + 1
    key = ((points[:, 0] - low[0]) * spans[1] + points[:, 1] - low[1]) * spans[2] + points[:, 2] - low[2]
    key.sort()
    rest, x = np.divmod(key, spans[2])
    z, y = np.divmod(rest, spans[1])
    ordered: Ints = np.column_stack((z, y, x)) + low
    return ordered


def widest_in_planes(points: Ints, /, *, u_mm: float, v_mm: float) -> float:
    """Return the largest distance of two points that lie in one plane, mm.

    Parameters
    ----------
    points : array of int64 (n, 3)
        Plane, u and v of each, in steps.
    u_mm, v_mm : float
        A step of u and of v, mm.
    """
    return float(widest_plane(np.ascontiguousarray(_ordered(points)), u_mm, v_mm))
