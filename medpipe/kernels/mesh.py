"""The surface of a mask as triangles, its convex hull, and their sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numba import njit
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
)
from medpipe.types import Array

Floats = NDArray[np.float64]

# Above rounding: a pair of points that can be no farther apart than the farthest known is left out.
_CLOSER = 1.0 - 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A closed surface.

    Attributes
    ----------
    vertices : array of float64 (n, 3)
        Points (z, y, x) in mm, from the centre of the array's first voxel.
    faces : array of int (m, 3)
        Vertices of each triangle, all wound the same way.
    """

    vertices: Floats
    faces: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hull:
    """A convex hull: its volume (mm³), its area (mm²), its corners (n, 3) in mm, and triangles (m, 3) of them."""

    volume_mm3: float
    area_mm2: float
    corners: Floats
    faces: NDArray[np.int64]


def surface_mesh(mask: Array, /, *, spacing_mm: tuple[float, float, float]) -> Mesh:
    """Return the surface half-way between mask and outside (marching cubes at 0.5).

    Parameters
    ----------
    mask : NumPy array of bool (z, y, x), not empty
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Notes
    -----
    The mask is padded with one voxel of outside, so the surface is always closed. Lewiner's
    tables (doi:10.1080/10867651.2003.10487582), as IBSI recommends a mesh without gaps.
    """
    from skimage.measure import marching_cubes

    padded = np.zeros(tuple(size + 2 for size in mask.shape), dtype=np.float32)
    padded[1:-1, 1:-1, 1:-1] = mask
    vertices, faces, _, _ = marching_cubes(padded, 0.5)  # type: ignore[no-untyped-call]  # scikit-image has no types
    # Vertices lie on half steps, exact in float32: spacing is applied in float64 afterwards.
    points = (vertices.astype(np.float64) - 1.0) * np.asarray(spacing_mm)
    return Mesh(vertices=points, faces=faces.astype(np.int64))


def mask_surface(mask: Array, /, *, spacing_mm: tuple[float, float, float]) -> CubeSurface:
    """Return area and volume of the surface that :func:`surface_mesh` has, without making it.

    Parameters
    ----------
    mask, spacing_mm
        As for :func:`surface_mesh`.
    """
    found = surface_of(padded_by_one(mask), _sizes(spacing_mm), spacing_mm=spacing_mm)
    return found._replace(volume_mm3=abs(found.volume_mm3))


def outer_vertices_mm(mask: Array, /, *, spacing_mm: tuple[float, float, float]) -> Floats:
    """Return vertices (n, 3) of the surface, in mm, that its convex hull is that of.

    Parameters
    ----------
    mask, spacing_mm
        As for :func:`surface_mesh`.
    """
    # seen from the centre of the array's first voxel, which is the second one of the padded mask
    halves = corners_of_planes(ends_of_lines(padded_by_one(mask))) - 2
    return np.asarray(halves * (np.asarray(spacing_mm) / 2.0))


@lru_cache(maxsize=16)
def _sizes(spacing_mm: tuple[float, float, float]) -> CubeSizes:
    return cube_sizes(_triangles(), spacing_mm=spacing_mm)


@cache
def _triangles() -> Triangles:
    """Return the triangles of cubes, one by one from the tables that meshes are made by."""
    from skimage.measure import marching_cubes

    cases, corners = [], []
    for case in range(1, N_CASES - 1):
        cube = np.array([case >> bit & 1 for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
        vertices, faces, _, _ = marching_cubes(cube, 0.5)  # type: ignore[no-untyped-call]  # scikit-image has no types
        cases.append(np.full(len(faces), case))
        corners.append(vertices.astype(np.float64)[faces])
    return Triangles(case=np.concatenate(cases), corners=np.concatenate(corners))


def mesh_volume_mm3(mesh: Mesh, /) -> float:
    """Return the volume enclosed: the sum of signed tetrahedra ``|a . (b x c)| / 6``."""
    # Any origin serves; one inside the mesh keeps the terms small.
    a, normals = np.empty(mesh.faces.shape), np.empty(mesh.faces.shape)
    _tetrahedra(mesh.vertices, mesh.faces, mesh.vertices.mean(axis=0), a, normals)
    return abs(float(np.einsum("ij,ij->", a, normals))) / 6.0


def mesh_area_mm2(mesh: Mesh, /) -> float:
    """Return the area of the surface: the sum of ``|ab x ac| / 2``."""
    areas = np.empty(len(mesh.faces))
    _parallelograms(mesh.vertices, mesh.faces, areas)
    return float(areas.sum()) / 2.0


def convex_hull(points: Floats, /) -> Hull:
    """Return the convex hull of points (n, 3) in mm that do not lie in one plane."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    place = np.empty(len(points), dtype=np.int64)
    place[hull.vertices] = np.arange(len(hull.vertices))
    return Hull(
        volume_mm3=float(hull.volume),
        area_mm2=float(hull.area),
        corners=points[hull.vertices],
        faces=place[hull.simplices],
    )


def largest_distance_mm(points: Floats, /) -> float:
    """Return the largest distance between any two of the points (n, 3)."""
    from_middle = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1))
    order = np.argsort(-from_middle)
    return _largest_distance(points[order], from_middle[order])


@njit(cache=True, nogil=True)
def _largest_distance(points: Floats, from_middle: Floats) -> float:
    """Return the largest distance of points that are sorted, those farthest from the middle first."""
    farthest2 = farthest = 0.0
    for i in range(len(points)):
        if 2.0 * from_middle[i] < farthest * _CLOSER:
            break
        for j in range(i + 1, len(points)):
            if from_middle[i] + from_middle[j] < farthest * _CLOSER:
                break
            z, y, x = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1], points[i, 2] - points[j, 2]
            distance2 = z * z + y * y + x * x
            if distance2 > farthest2:
                farthest2 = distance2
                farthest = math.sqrt(distance2)
    return farthest


@njit(cache=True, nogil=True)
def _tetrahedra(vertices: Floats, faces: NDArray[np.int64], origin: Floats, a: Floats, normals: Floats) -> None:
    """Fill in the first corner of each face seen from an origin, and the cross product of the other two."""
    for face in range(len(faces)):
        for axis in range(3):
            a[face, axis] = vertices[faces[face, 0], axis] - origin[axis]
        bz, by, bx = _apart(vertices[faces[face, 1]], origin)
        cz, cy, cx = _apart(vertices[faces[face, 2]], origin)
        normals[face, 0] = by * cx - bx * cy
        normals[face, 1] = bx * cz - bz * cx
        normals[face, 2] = bz * cy - by * cz


@njit(cache=True, nogil=True)
def _parallelograms(vertices: Floats, faces: NDArray[np.int64], areas: Floats) -> None:
    for face in range(len(faces)):
        a = vertices[faces[face, 0]]
        bz, by, bx = _apart(vertices[faces[face, 1]], a)
        cz, cy, cx = _apart(vertices[faces[face, 2]], a)
        z, y, x = by * cx - bx * cy, bx * cz - bz * cx, bz * cy - by * cz
        areas[face] = math.sqrt(z * z + y * y + x * x)


@njit(cache=True, nogil=True)
def _apart(point: Floats, origin: Floats) -> tuple[float, float, float]:
    return point[0] - origin[0], point[1] - origin[1], point[2] - origin[2]
