"""Tiles of a volume on a lattice, and what is made of them put together again by weights.

The lattice begins at the first voxel of the volume and ends at its last, so that a voxel's tiles, and the order in
which they are added, depend on the volume's shape alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
Window = tuple[slice, slice, slice]
Floats = NDArray[np.float32]

SIGMA = 0.125
"""Standard deviation of the weights, as a share of a tile."""

LEAST_WEIGHT = 1e-3
"""Least weight, as a share of the largest."""


def starts(size: int, /, *, patch: int, overlap: float) -> list[int]:
    """Return where tiles begin along an axis; the last is shifted to end where the axis does.

    Parameters
    ----------
    size : int
        Voxels along the axis, at least `patch`.
    patch : int
        Voxels of a tile.
    overlap : float
        Share of a tile that the next one covers too.
    """
    step = max(1, round(patch * (1 - overlap)))
    last = size - patch
    return [*range(0, last, step), last]


def windows(shape: Shape, /, *, patch: Shape, overlap: float) -> Iterator[Window]:
    """Yield the tiles of a volume of a shape, along x first."""
    axes = [starts(size, patch=side, overlap=overlap) for size, side in zip(shape, patch, strict=True)]
    for z, y, x in product(*axes):
        yield slice(z, z + patch[0]), slice(y, y + patch[1]), slice(x, x + patch[2])


def weights(patch: Shape, /) -> Floats:
    """Return how much each voxel of a tile counts: a Gaussian around the middle, nowhere below a thousandth of its top.

    Returns
    -------
    array of float32 (z, y, x)
        exp(-sum (i - c)^2 / (2 (0.125 p)^2)) over the axes.
    """
    z, y, x = (np.exp(-((np.arange(side) - (side - 1) / 2) ** 2) / (2 * (SIGMA * side) ** 2)) for side in patch)
    whole = z[:, None, None] * y[:, None] * x
    clipped: Floats = np.maximum(whole, LEAST_WEIGHT * whole.max()).astype(np.float32)
    return clipped


def tiled(shape: Shape, make: Callable[[Window], Floats], /, *, patch: Shape, overlap: float) -> Floats:
    """Return what is made tile by tile: where tiles overlap, their weighted mean.

    Parameters
    ----------
    shape : (int, int, int)
        Of the volume, along each axis at least that of a tile.
    make : callable
        Takes the place of a tile, and returns float32 of its shape.
    patch : (int, int, int)
    overlap : float

    Returns
    -------
    array of float32 (z, y, x)
        Sum of w f over sum of w, both in float32.
    """
    share = weights(patch)
    total = np.zeros(shape, np.float32)
    count = np.zeros(shape, np.float32)
    for window in windows(shape, patch=patch, overlap=overlap):
        total[window] += share * make(window)
        count[window] += share
    total /= count
    return total


def at_least(x: Floats, /, *, patch: Shape, fill: float | None) -> tuple[Floats, Window]:
    """Return a volume that is nowhere smaller than a tile, and where the volume lies in it.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    patch : (int, int, int)
    fill : float or None
        Value of what is added, on both sides alike; None: the border's voxels go on.
    """
    short = [max(side - size, 0) for side, size in zip(patch, x.shape, strict=True)]
    if not any(short):
        return x, (slice(None), slice(None), slice(None))
    sides = [(one // 2, one - one // 2) for one in short]
    z, y, width = (slice(before, before + size) for (before, _), size in zip(sides, x.shape, strict=True))
    if fill is None:
        return np.pad(x, sides, mode="edge"), (z, y, width)
    return np.pad(x, sides, constant_values=np.float32(fill)), (z, y, width)
