"""Grids of voxel centres and the ellipsoids phantoms are built of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Bools: TypeAlias = npt.NDArray[np.bool_]
Point: TypeAlias = tuple[float, float, float]
"""(x, y, z) in mm, patient LPS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Voxel centres of a stack in patient space.

    Attributes
    ----------
    shape : (int, int, int)
        Voxels along (z, y, x).
    spacing_mm : (float, float, float)
        Steps along (z, y, x).
    origin_lps : (float, float, float)
        Centre of voxel (0, 0, 0), mm.
    row_lps, column_lps : (float, float, float)
        Unit vectors of increasing x and increasing y index.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_lps: Point
    row_lps: Point = (1.0, 0.0, 0.0)
    column_lps: Point = (0.0, 1.0, 0.0)

    @property
    def steps_lps(self) -> tuple[Point, Point, Point]:
        """World steps in mm of one voxel along x, y and z."""
        normal = np.cross(self.row_lps, self.column_lps)
        directions = (np.asarray(self.row_lps), np.asarray(self.column_lps), normal)
        steps = (d * s for d, s in zip(directions, reversed(self.spacing_mm), strict=True))
        x, y, z = ((float(v[0]), float(v[1]), float(v[2])) for v in steps)
        return x, y, z

    @property
    def affine_lps(self) -> tuple[float, ...]:
        """16 numbers, row-major: voxel index (x, y, z, 1) to mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.transpose(self.steps_lps)
        matrix[:3, 3] = self.origin_lps
        return tuple(float(value) for value in matrix.ravel())

    def position_lps(self, index: int) -> Point:
        """Return the centre of the first voxel of slice ``index``, mm."""
        x, y, z = (o + index * s for o, s in zip(self.origin_lps, self.steps_lps[2], strict=True))
        return x, y, z

    def coordinates(self) -> tuple[Floats, Floats, Floats]:
        """Return x, y, z of the voxel centres in mm, each broadcastable to ``shape``."""
        nz, ny, nx = self.shape
        places = (np.arange(nx)[None, None, :], np.arange(ny)[None, :, None], np.arange(nz)[:, None, None])
        x, y, z = (self._coordinate(axis, places) for axis in range(3))
        return x, y, z

    def _coordinate(self, axis: int, places: tuple[npt.NDArray[np.int64], ...]) -> Floats:
        # Directions a coordinate does not depend on stay of length one: an axial grid costs three vectors.
        terms = [step[axis] * place for step, place in zip(self.steps_lps, places, strict=True) if step[axis] != 0.0]
        total = np.full((1, 1, 1), self.origin_lps[axis])
        for term in terms:
            total = total + term
        return total.astype(np.float32)


def centred_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], centre_lps: Point) -> Grid:
    """Return an axial grid around a point; its origin is kept to 0.001 mm, as headers write it."""
    half = [s * (n - 1) / 2 for n, s in zip(reversed(shape), reversed(spacing_mm), strict=True)]
    x, y, z = (round(c - h, 3) for c, h in zip(centre_lps, half, strict=True))
    return Grid(shape=shape, spacing_mm=spacing_mm, origin_lps=(x, y, z))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipsoid:
    """An ellipsoid with axes along x, y, z; an infinite semi-axis makes it a cylinder.

    Attributes
    ----------
    centre_lps : (float, float, float)
        mm.
    semi_axes_mm : (float, float, float)
        Along x, y, z.
    """

    centre_lps: Point
    semi_axes_mm: Point

    def level(self, coordinates: tuple[Floats, Floats, Floats]) -> Floats:
        """Return the squared normalised distance: below 1 inside, 1 on the surface."""
        total = np.zeros((1, 1, 1), dtype=np.float32)
        for where, centre, semi_axis in zip(coordinates, self.centre_lps, self.semi_axes_mm, strict=True):
            if math.isfinite(semi_axis):
                total = total + ((where - np.float32(centre)) / np.float32(semi_axis)) ** 2
        return total

    def inside(self, coordinates: tuple[Floats, Floats, Floats], shape: tuple[int, int, int]) -> Bools:
        """Return which voxel centres lie inside."""
        return np.broadcast_to(self.level(coordinates) < 1.0, shape)

    def shrunk(self, by_mm: float) -> Ellipsoid:
        """Return the ellipsoid with every semi-axis shorter by ``by_mm``."""
        a, b, c = (semi_axis - by_mm for semi_axis in self.semi_axes_mm)
        return Ellipsoid(centre_lps=self.centre_lps, semi_axes_mm=(a, b, c))

    def chord_y_mm(self, x: Floats, z: Floats) -> Floats:
        """Return the length within the ellipsoid of lines along y through (x, z)."""
        total = ((x - self.centre_lps[0]) / self.semi_axes_mm[0]) ** 2
        if math.isfinite(self.semi_axes_mm[2]):
            total = total + ((z - self.centre_lps[2]) / self.semi_axes_mm[2]) ** 2
        chord = 2 * self.semi_axes_mm[1] * np.sqrt(np.clip(1 - total, 0, None))
        return np.asarray(chord, dtype=np.float32)
