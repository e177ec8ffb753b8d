"""An image's grid as companions see it: slices along the normal, pixels in a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from medpipe.archive.frames import Vector
from medpipe.errors import Rejected
from medpipe.types import Geometry

PARALLEL: Final = 0.999
"""Least cosine between normals of planes taken as parallel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where the slices and pixels of an image are.

    Attributes
    ----------
    shape : (int, int, int)
        (z, y, x).
    origins : (z, 3) float64
        LPS mm of each slice's first pixel.
    plane : (3, 2) float64
        Steps in mm to the next column and to the next row.
    normal : (3,) float64
        Unit normal.
    along_mm : (z,) float64
        Position of each slice along the normal.
    step_mm : float
        Median step between slices.
    """

    shape: tuple[int, int, int]
    origins: Vector
    plane: Vector
    normal: Vector
    along_mm: Vector
    step_mm: float

    def nearest_slice(self, position_mm: float, reach_mm: float) -> int | None:
        """Return the slice nearest to a position along the normal, or None beyond the reach."""
        away = np.abs(self.along_mm - position_mm)
        index = int(away.argmin())
        return index if away[index] <= reach_mm else None

    def pixel_coordinates(self, points_mm: Vector, index: int) -> Vector:
        """Return (column, row) of LPS points projected into a slice, in pixels."""
        coordinates = (points_mm - self.origins[index]) @ np.linalg.pinv(self.plane).T
        # an edge through pixel centres must fall on the same side on every host
        return np.asarray(np.round(coordinates, 6))


def grid_of(geometry: Geometry) -> Grid:
    """Return the grid of an image.

    Raises
    ------
    Rejected
        ``E_GRID`` if the image has no place in the patient.
    """
    matrix = geometry.matrix
    if matrix is None:
        raise Rejected("E_GRID")
    shape = geometry.spatial_shape
    plane = matrix[:3, :2]
    normal = np.cross(plane[:, 0], plane[:, 1])
    normal = normal / np.linalg.norm(normal)
    order = np.arange(shape[0], dtype=np.float64)
    if geometry.slice_positions_mm is not None and shape[0] > 1:
        places = np.array(geometry.slice_positions_mm)
        order = (places - places[0]) / (places[-1] - places[0]) * (shape[0] - 1)
    origins = matrix[:3, 3] + order[:, None] * matrix[:3, 2]
    along = origins @ normal
    step = float(np.median(np.diff(along))) if shape[0] > 1 else float(abs(matrix[:3, 2] @ normal))
    return Grid(shape=shape, origins=origins, plane=plane, normal=normal, along_mm=along, step_mm=step)
