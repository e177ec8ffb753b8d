"""What lies beyond the border of an image: nothing, its edge voxel, itself again, or its mirror image."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of

Boundary = Literal["constant", "nearest", "wrap", "reflect"]
"""Zeros; the edge voxel goes on; the image starts anew; it is mirrored, the edge voxel twice."""

Places = NDArray[np.int64]

NOWHERE = -1
"""The place of a zero."""


def places(size: int, /, *, before: int, after: int, boundary: Boundary) -> Places:
    """Return which voxel stands at each place of an axis that goes on beyond its ends.

    Parameters
    ----------
    size : int
        Voxels along the axis, at least 1.
    before, after : int
        Places wanted beyond either end; more than there are voxels is allowed.
    boundary : {"constant", "nearest", "wrap", "reflect"}

    Returns
    -------
    array of int64, shape (before + size + after,)
        :data:`NOWHERE` where a zero stands.
    """
    wanted = np.arange(-before, size + after, dtype=np.int64)
    if boundary == "nearest":
        return np.clip(wanted, 0, size - 1)
    if boundary == "wrap":
        return wanted % size
    if boundary == "reflect":
        turned = wanted % (2 * size)
        return np.where(turned < size, turned, 2 * size - 1 - turned)
    return np.where((wanted >= 0) & (wanted < size), wanted, NOWHERE)


def widened(x: Array, /, *, by: tuple[int, ...], boundary: Boundary) -> Array:
    """Return an array with what lies beyond its border.

    Parameters
    ----------
    x : array of float
    by : tuple of int
        Voxels on both sides of each axis.
    boundary : {"constant", "nearest", "wrap", "reflect"}

    Returns
    -------
    array of the same type
    """
    xp = backend_of(x).xp
    for axis, more in enumerate(by):
        if not more:
            continue
        index = places(x.shape[axis], before=more, after=more, boundary=boundary)
        x = xp.take(x, xp.asarray(np.maximum(index, 0)), axis=axis)
        if boundary == "constant":
            beside = [slice(None)] * x.ndim
            for end in (slice(0, more), slice(x.shape[axis] - more, None)):
                beside[axis] = end
                x[tuple(beside)] = 0
    return x
