"""Pictures out of volumes: the highest, lowest or mean value along an axis, and grey levels of it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of

How = Literal["max", "min", "mean"]


def project(x: Array, /, *, axis: int, how: How) -> Array:
    """Return the highest, lowest or mean value along an axis.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    axis : int
        0, 1 or 2.
    how : {"max", "min", "mean"}

    Returns
    -------
    array of float32, the two other axes in their order
        Missing voxels (NaN) are left out; NaN where all are missing. Means are added up in float64.
    """
    xp = backend_of(x).xp
    planes = xp.moveaxis(x, axis, 0)
    if how == "mean":
        total = xp.zeros(planes.shape[1:], dtype=xp.float64)
        known = xp.zeros(planes.shape[1:], dtype=xp.int64)
        for plane in planes:
            there = ~xp.isnan(plane)
            total += xp.where(there, plane, 0.0)
            known += there
        return xp.where(known > 0, total / xp.maximum(known, 1), xp.nan).astype(xp.float32)
    better = xp.fmax if how == "max" else xp.fmin
    result = planes[0].copy()
    for plane in planes[1:]:
        result = better(result, plane)
    return result


def grey_levels(picture: NDArray[np.float32], /, *, low: float, high: float) -> NDArray[np.uint8]:
    """Return values as 0 to 255: `low` and below, and what is missing, is 0, `high` and above is 255.

    Parameters
    ----------
    picture : array of float32 (rows, columns)
    low, high : float
        In the unit of the image; where they are equal everything above is 255.
    """
    width = high - low
    share = np.where(picture > low, 1.0, 0.0) if width <= 0 else (picture.astype(np.float64) - low) / width
    levels = np.floor(np.clip(np.nan_to_num(share, nan=0.0), 0.0, 1.0) * 255.0 + 0.5)
    return np.asarray(levels, dtype=np.uint8)


def block_means(picture: NDArray[np.float32], /, *, rows: int, columns: int) -> NDArray[np.float32]:
    """Return the means of blocks of so many rows and columns; blocks at the far edges may be smaller."""
    total = picture.astype(np.float64)
    for axis, step in ((0, rows), (1, columns)):
        starts = np.arange(0, picture.shape[axis], step)
        counts = np.diff([*starts, picture.shape[axis]])
        total = np.add.reduceat(total, starts, axis=axis) / (counts[:, None] if axis == 0 else counts[None, :])
    return total.astype(np.float32)
