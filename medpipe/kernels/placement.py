"""How two grids lie to each other: small arithmetic on 4x4 matrices."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Affine

Matrix = NDArray[np.float64]

_POINTS_PER_AXIS = 16
_FLIP = np.eye(4)[[2, 1, 0, 3]]


def voxel_to_voxel(affine: Matrix, other: Matrix, /, *, between: Matrix) -> Matrix:
    """Return the map from voxels of one grid to places in another.

    Parameters
    ----------
    affine, other : array of float64 (4, 4)
        Voxel (x, y, z, 1) to LPS mm, of the grid and of the other one.
    between : array of float64 (4, 4)
        LPS mm of the grid to LPS mm of the other one.

    Returns
    -------
    array of float64 (3, 4)
        Voxel (z, y, x, 1) to place (z, y, x), as :func:`medpipe.kernels.affine.affine_sample` takes it.
    """
    direct = np.linalg.solve(other, between @ affine)
    return np.asarray((_FLIP @ direct @ _FLIP)[:3])


def overlap(shape: tuple[int, int, int], other: tuple[int, int, int], /, *, there: Matrix, back: Matrix) -> float:
    """Return the share of the smaller of two grids that lies within the other, to about one in a thousand.

    Parameters
    ----------
    shape, other : (int, int, int)
        Voxels (z, y, x) of both grids.
    there, back : array of float64 (3, 4)
        Voxel (z, y, x, 1) of the first to place in the second, and the other way.
    """
    return max(_share_within(shape, other, there), _share_within(other, shape, back))


def corners_mm(affine: Matrix, shape: tuple[int, int, int], /) -> Matrix:
    """Return the centres (8, 3) in LPS mm of the corner voxels of a grid (z, y, x)."""
    ends = itertools.product(*((0.0, size - 1.0) for size in reversed(shape)))
    voxels = np.array([(*end, 1.0) for end in ends])
    return np.asarray((voxels @ affine.T)[:, :3])


def turn_deg(matrix: Matrix, /) -> float:
    """Return the angle by which a rigid map (4, 4) turns, in degrees."""
    cosine = (np.trace(matrix[:3, :3]) - 1.0) / 2.0
    sine = np.linalg.norm(matrix[:3, :3] - matrix[:3, :3].T) / math.sqrt(8.0)
    return math.degrees(math.atan2(float(sine), float(cosine)))


def shift_mm(matrix: Matrix, point: Matrix, /) -> float:
    """Return by how far a map (4, 4) moves a point (3), in mm."""
    return float(np.linalg.norm(matrix[:3, :3] @ point + matrix[:3, 3] - point))


def as_affine(matrix: Matrix, /) -> Affine:
    """Return a matrix (4, 4) as 16 numbers, row by row."""
    return tuple(float(value) for value in matrix.reshape(-1))


def _share_within(shape: tuple[int, int, int], other: tuple[int, int, int], matrix: Matrix) -> float:
    # the middles of equal parts of each axis, edges of voxels at its ends
    steps = (np.arange(_POINTS_PER_AXIS) + 0.5) / _POINTS_PER_AXIS
    axes = [steps * size - 0.5 for size in shape]
    points = np.stack([*np.meshgrid(*axes, indexing="ij"), np.ones((_POINTS_PER_AXIS,) * 3)]).reshape(4, -1)
    places = matrix @ points
    sizes = np.array(other, dtype=np.float64)[:, None]
    within = (places >= -0.5 - 1e-6) & (places <= sizes - 0.5 + 1e-6)
    return float(within.all(axis=0).mean())
