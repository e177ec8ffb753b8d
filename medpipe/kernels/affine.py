"""Linear interpolation of an image on a grid that lies anyhow to its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

SNAP = 1e-6
"""Points that are no farther from a voxel's centre, in voxels, lie on it: equal grids give equal bits."""

TOLERANCE = 1e-5
"""Largest difference between the compiled body and that of array operations, as a share of the range of values."""


def affine_sample(x: Array, /, *, matrix: Matrix, shape: tuple[int, int, int]) -> Array:
    """Return an image's values at the voxels of another grid.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        NaN where a value is missing.
    matrix : array of float64 (3, 4)
        Voxel (z, y, x, 1) of the result to the place (z, y, x) in `x`, in voxels.
    shape : (int, int, int)
        Of the result.

    Returns
    -------
    array of float32 (z, y, x)
        Linear between the nearest voxels along each axis; within half a voxel of the image's
        border the edge voxel goes on, beyond it and where a missing voxel weighs in it is NaN.
    """
    if is_cupy(x):
        return sample_by_planes(x, matrix=matrix, shape=shape)
    result = np.empty(shape, np.float32)
    _sample(np.ascontiguousarray(x, np.float32), np.ascontiguousarray(matrix, np.float64), result)
    return result


def sample_by_planes(x: Array, /, *, matrix: Matrix, shape: tuple[int, int, int]) -> Array:
    """Return the same as :func:`affine_sample` by operations on whole planes of the result."""
    xp = backend_of(x).xp
    result = xp.empty(shape, dtype=xp.float32)
    rows = xp.arange(shape[1], dtype=xp.float64)[:, None]
    columns = xp.arange(shape[2], dtype=xp.float64)[None, :]
    for plane in range(shape[0]):
        places = [float(m[0] * plane + m[3]) + float(m[1]) * rows + float(m[2]) * columns for m in matrix]
        cells = [_cells(xp, place, size) for place, size in zip(places, x.shape, strict=True)]
        result[plane] = _interpolated(xp, x, cells)
    return result


def _cells(xp: Any, place: Array, size: int) -> tuple[Array, Array, Array, Array]:
    """Return for points along an axis: the voxel before and after, the part of the way between, and whether within."""
    near = xp.rint(place)
    place = xp.where(xp.abs(place - near) < SNAP, near, place)
    within = (place >= -0.5 - SNAP) & (place <= size - 0.5 + SNAP)
    place = xp.clip(place, 0.0, size - 1.0)
    first = xp.floor(place).astype(xp.int64)
    return first, xp.minimum(first + 1, size - 1), place - first, within


def _interpolated(xp: Any, x: Array, cells: list[tuple[Array, Array, Array, Array]]) -> Array:
    (z0, z1, part_z, in_z), (y0, y1, part_y, in_y), (x0, x1, part_x, in_x) = cells
    planes = []
    for z in (z0, z1):
        lines = [_between(xp, x[z, y, x0], x[z, y, x1], part_x) for y in (y0, y1)]
        planes.append(_between(xp, lines[0], lines[1], part_y))
    return xp.where(in_z & in_y & in_x, _between(xp, planes[0], planes[1], part_z), xp.nan)


def _between(xp: Any, a: Array, b: Array, part: Array) -> Array:
    # what does not weigh in may be missing
    return xp.where(part > 0.0, a * (1.0 - part) + b * part, a)


@njit(cache=True, nogil=True)
def _cell(place: float, size: int) -> tuple[int, float]:
    near = np.rint(place)
    if abs(place - near) < SNAP:
        place = near
    if place < -0.5 - SNAP or place > size - 0.5 + SNAP:
        return -1, 0.0
    place = min(max(place, 0.0), size - 1.0)
    first = int(np.floor(place))
    return first, place - first


@njit(cache=True, nogil=True)
def _line(row: Floats, first: int, part: float) -> float:
    if part > 0.0:
        return float(row[first] * (1.0 - part) + row[first + 1] * part)
    return float(row[first])


@njit(cache=True, nogil=True)
def _plane(plane: Floats, y: int, part_y: float, x: int, part_x: float) -> float:
    value = _line(plane[y], x, part_x)
    if part_y > 0.0:
        value = value * (1.0 - part_y) + _line(plane[y + 1], x, part_x) * part_y
    return value


@njit(cache=True, nogil=True)
def _sample(source: Floats, m: Matrix, result: Floats) -> None:
    n_z, n_y, n_x = source.shape
    for k in range(result.shape[0]):
        for j in range(result.shape[1]):
            for i in range(result.shape[2]):
                z, part_z = _cell(m[0, 0] * k + m[0, 3] + m[0, 1] * j + m[0, 2] * i, n_z)
                y, part_y = _cell(m[1, 0] * k + m[1, 3] + m[1, 1] * j + m[1, 2] * i, n_y)
                x, part_x = _cell(m[2, 0] * k + m[2, 3] + m[2, 1] * j + m[2, 2] * i, n_x)
                if z < 0 or y < 0 or x < 0:
                    result[k, j, i] = np.nan
                    continue
                value = _plane(source[z], y, part_y, x, part_x)
                if part_z > 0.0:
                    value = value * (1.0 - part_z) + _plane(source[z + 1], y, part_y, x, part_x) * part_z
                result[k, j, i] = value
