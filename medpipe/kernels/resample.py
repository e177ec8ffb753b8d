"""Interpolation of a whole volume on a centre-aligned grid, plane by plane.

The grid is a product of axes and so is every interpolation used here: a plane of the result
needs a few planes of the source, then a few rows, then a few columns. Beside source and
result only planes are held (and the spline coefficients for order 3), all in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.grid import MASK_THRESHOLD, GridAxis, centred_axis
from medpipe.kernels.missing import LEAST_SHARE, nearest_known
from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

Axes = tuple[GridAxis, GridAxis, GridAxis]

SPLINE_PAD = 12
"""Voxels the edge is continued by before spline coefficients are computed.

The filter's pole is 0.268: after 12 voxels the start value weighs 1e-7.
"""


def centred_grid(
    shape: tuple[int, int, int], /, *, spacing_mm: tuple[float, float, float], target_mm: tuple[float, float, float]
) -> Axes:
    """Return the grid of a target spacing; a target of 0 keeps that axis as it is.

    Parameters
    ----------
    shape : (int, int, int)
        Number of source voxels along (z, y, x).
    spacing_mm, target_mm : (float, float, float)
        Spacing of source and result along (z, y, x), mm.

    Notes
    -----
    IBSI 1, chapter 2 (image interpolation): both grids share their centre.
    """
    z, y, x = (
        centred_axis(size, spacing_mm=step, target_mm=target) if target else GridAxis(count=size, start=0.0, step=1.0)
        for size, step, target in zip(shape, spacing_mm, target_mm, strict=True)
    )
    return z, y, x


def resample(
    x: Array, axes: Axes, /, *, order: int, integral: bool, slice_positions: tuple[float, ...] | None = None
) -> Array:
    """Return an array's values on a grid.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    axes : three GridAxis
        Points along (z, y, x) in voxels of ``x``; beyond the border the edge voxel goes on.
    order : int
        0 nearest, 1 linear, 3 cubic B-spline.
    integral : bool
        Round to whole numbers, as calibrated integer images (HU) ask for.
    slice_positions : tuple of float, optional
        Position of each source slice, ascending, in any unit of length, where the steps are
        uneven; the grid's z axis then counts in mean steps from the first slice. Only for
        orders 0 and 1.

    Returns
    -------
    array of float32 (z, y, x)
        NaN where a missing voxel weighs in; for order 3, where it would weigh in linearly.
    """
    xp = backend_of(x).xp
    missing = _missing(x) if order == 3 else None
    if missing is not None:
        x = xp.asarray(nearest_known(to_numpy(x), to_numpy(~missing)))
    result = xp.empty(tuple(axis.count for axis in axes), dtype=xp.float32)
    for place, plane in enumerate(_planes(x, axes, order, slice_positions)):
        result[place] = xp.rint(plane) if integral else plane
    if missing is not None:
        for place, share in enumerate(_planes(missing, axes, 1, slice_positions)):
            result[place][share > LEAST_SHARE] = xp.nan
    return result


def resample_mask(mask: Array, axes: Axes, /, *, slice_positions: tuple[float, ...] | None = None) -> Array:
    """Return the voxels of a grid of which at least half lies in a mask.

    Parameters
    ----------
    mask : array of bool (z, y, x)
    axes : three GridAxis
    slice_positions : tuple of float, optional
        As for :func:`resample`.

    Returns
    -------
    array of bool (z, y, x)
        Linear interpolation of the mask, from 1/2 - 1e-6.
    """
    xp = backend_of(mask).xp
    result = xp.empty(tuple(axis.count for axis in axes), dtype=bool)
    for place, plane in enumerate(_planes(mask, axes, 1, slice_positions)):
        result[place] = plane >= MASK_THRESHOLD
    return result


def _missing(x: Array) -> Array | None:
    """Return which voxels have no finite value; None if no voxel lacks one, or all do."""
    missing = ~backend_of(x).xp.isfinite(x)
    return missing if bool(missing.any()) and not bool(missing.all()) else None


def _planes(x: Array, axes: Axes, order: int, slice_positions: tuple[float, ...] | None) -> Iterator[Array]:
    xp = backend_of(x).xp
    source = _coefficients(x, 0) if order == 3 else x
    points = _points(axes[0])
    if slice_positions is not None:
        points = _in_slices(points, slice_positions)
    index, weight = _taps(points, x.shape[0], order)
    rows, columns = (_across(xp, axes[axis], x.shape[axis], order) for axis in (1, 2))
    for place in range(points.size):
        plane = xp.zeros(x.shape[1:], dtype=xp.float64)
        # what does not weigh in may be missing
        for tap in np.flatnonzero(weight[:, place]):
            plane += float(weight[tap, place]) * source[int(index[tap, place])].astype(xp.float64)
        yield _along(_along(plane, 0, rows, order), 1, columns, order)


def _across(xp: Any, grid: GridAxis, size: int, order: int) -> list[tuple[Array, Array]] | None:
    """Return places and weights of each tap that weighs in along an axis of planes, where these are; None if nothing moves."""
    if grid.start == 0.0 and grid.step == 1.0 and grid.count == size:
        return None
    index, weight = _taps(_points(grid), size, order)
    taps = zip(index, weight, strict=True)
    return [(xp.asarray(places), xp.asarray(weights)) for places, weights in taps if weights.any()]


def _along(plane: Array, axis: int, taps: list[tuple[Array, Array]] | None, order: int) -> Array:
    if taps is None:
        return plane
    source = _coefficients(plane, axis) if order == 3 else plane
    shape = (-1, 1) if axis == 0 else (1, -1)
    total = 0.0
    for places, weights in taps:
        total = total + source.take(places, axis=axis) * weights.reshape(shape)
    return total


def _coefficients(x: Array, axis: int) -> Array:
    backend = backend_of(x)
    widths = [(SPLINE_PAD, SPLINE_PAD) if place == axis else (0, 0) for place in range(x.ndim)]
    padded = backend.xp.pad(x.astype(backend.xp.float64), widths, mode="edge")
    return backend.ndi.spline_filter1d(padded, order=3, axis=axis, mode="mirror")


def _points(axis: GridAxis) -> NDArray[np.float64]:
    return axis.start + axis.step * np.arange(axis.count, dtype=np.float64)


def _in_slices(points: NDArray[np.float64], slice_positions: tuple[float, ...]) -> NDArray[np.float64]:
    positions = np.asarray(slice_positions, dtype=np.float64)
    mean_step = (positions[-1] - positions[0]) / (positions.size - 1)
    return np.interp(points, (positions - positions[0]) / mean_step, np.arange(positions.size))


def _taps(points: NDArray[np.float64], size: int, order: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return source places and weights, each (taps, points)."""
    if order == 0:
        nearest = np.floor(points + 0.5).astype(np.int64)
        return np.clip(nearest, 0, size - 1)[None], np.ones((1, points.size))
    first = np.floor(points).astype(np.int64)
    t = points - first
    if order == 1:
        return np.clip(np.stack([first, first + 1]), 0, size - 1), np.stack([1.0 - t, t])
    weight = np.stack([(1.0 - t) ** 3, 4.0 - 6.0 * t**2 + 3.0 * t**3, 1.0 + 3.0 * t + 3.0 * t**2 - 3.0 * t**3, t**3])
    return np.stack([first - 1, first, first + 1, first + 2]) + SPLINE_PAD, weight / 6.0
