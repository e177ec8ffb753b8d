"""Shifting the planes of a stack within themselves and onto even steps, by linear interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of

_WITHIN = 1e-9


def straightened(
    x: Array,
    /,
    *,
    planes: Sequence[float],
    shifts: NDArray[np.float64],
    plane_shape: tuple[int, int],
    fill: float,
) -> Array:
    """Return the planes of an image at other places, each of its planes shifted within itself.

    Parameters
    ----------
    x : array of float32 or bool (z, y, x)
    planes : sequence of float
        Where in the image, counted in its planes, each plane of the result lies.
    shifts : array of float64, (source planes, 2)
        By how many pixels (y, x) each source plane moves.
    plane_shape : (int, int)
        Rows and columns of the result.
    fill : float
        Value of pixels that no source pixel reaches.

    Returns
    -------
    array of float32, (planes, *plane_shape)
        Linear between the two nearest pixels along each axis.
    """
    xp = backend_of(x).xp
    result = xp.empty((len(planes), *plane_shape), dtype=xp.float32)
    for place, at in enumerate(planes):
        below = min(int(np.floor(at + _WITHIN)), x.shape[0] - 1)
        part = max(at - below, 0.0)
        plane = _shifted(x[below], shifts[below], plane_shape, fill)
        if part > _WITHIN and below + 1 < x.shape[0]:
            above = _shifted(x[below + 1], shifts[below + 1], plane_shape, fill)
            plane = (1.0 - part) * plane + part * above
        result[place] = plane
    return result


def _shifted(plane: Array, shift: NDArray[np.float64], shape: tuple[int, int], fill: float) -> Array:
    xp = backend_of(plane).xp
    moved = plane.astype(xp.float64)
    known = xp.ones(shape, dtype=bool)
    for axis in (0, 1):
        points = np.arange(shape[axis], dtype=np.float64) - shift[axis]
        size = plane.shape[axis]
        within = (points >= -_WITHIN) & (points <= size - 1 + _WITHIN)
        first = np.floor(points + _WITHIN).astype(np.int64)
        part = np.clip(points - first, 0.0, 1.0)
        one, other = (xp.asarray(np.clip(first + step, 0, size - 1)) for step in (0, 1))
        across = (-1, 1) if axis == 0 else (1, -1)
        weight = xp.asarray(part).reshape(across)
        moved = moved.take(one, axis=axis) * (1.0 - weight) + moved.take(other, axis=axis) * weight
        known &= xp.asarray(within).reshape(across)
    return xp.where(known, moved, fill)
