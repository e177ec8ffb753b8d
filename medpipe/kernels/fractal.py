"""Fractal dimensions by counting boxes.

References
----------
Sarkar and Chaudhuri, IEEE Trans. Syst. Man Cybern. 24 (1994) 115, doi:10.1109/21.259692: of
intensities as a surface over a slice, in boxes whose height goes with their width.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of

_LEAST_SIZES = 2
_SAME = 1e-9


def box_dimension(mask: Array, /) -> float:
    """Return the dimension of a set by the boxes it takes to cover it.

    Parameters
    ----------
    mask : array of bool (z, y, x)
        Boxes are laid from its first voxel; their sides are 1, 2, 4, ... up to half the longest side of
        the array.

    Returns
    -------
    float
        Slope of the logarithm of their number over that of 1 / side, by least squares: of a line 1, a
        plane 2, a solid 3. NaN of fewer than two sides, or of an empty mask.
    """
    xp = backend_of(mask).xp
    sizes = _sizes(max(mask.shape))
    if len(sizes) < _LEAST_SIZES or not bool(mask.any()):
        return math.nan
    counts = [int(mask.sum())]
    halved = mask
    for _ in sizes[1:]:
        halved = _halved(halved, xp)
        counts.append(int(halved.sum()))
    # boxes hold one to eight of half their side, but the slope of a solid may be rounded up
    return min(max(_slope(sizes, counts), 0.0), float(mask.ndim))


def border(mask: Array, /) -> Array:
    """Return the voxels of a mask with a face towards what is not of it; beyond the array nothing is.

    Along an axis of one voxel there are no faces.
    """
    backend = backend_of(mask)
    structure = backend.xp.zeros((3, 3, 3), dtype=bool)
    structure[1, 1, 1] = True
    for axis, size in enumerate(mask.shape):
        if size > 1:
            for end in (0, 2):
                structure[tuple(end if one == axis else 1 for one in range(3))] = True
    return mask & ~backend.ndi.binary_erosion(mask, structure=structure)


def surface_dimension(x: Array, inside: Array, /) -> float:
    """Return the dimension of intensities as surfaces over slices, by differential box counting.

    Parameters
    ----------
    x : array of float (z, y, x)
        Cells are laid from its first pixel; their sides are 2, 4, ... up to half the longer side.
    inside : array of bool (z, y, x)
        Only cells that lie in it as a whole count.

    Returns
    -------
    float
        2 of an even slice, up to 3 of a rough one: the slope of the logarithm of the boxes that a cell's
        values go through, by their share of the area, over that of 1 / side. NaN of fewer than two
        sides.
    """
    xp = backend_of(x).xp
    if not bool(inside.any()):
        return math.nan
    extent = max(x.shape[1:])
    values = x[inside]
    floor, span = float(values.min()), float(values.max()) - float(values.min())
    low = high = xp.where(inside, x.astype(xp.float64) - floor, 0.0)
    full = inside
    sizes, counts = [], []
    # within a pixel nothing varies
    for size in _sizes(extent)[1:]:
        low, high, full = _joined(low, "min"), _joined(high, "max"), _joined(full, "min")
        if not bool(full.any()):
            break
        sizes.append(size)
        counts.append(_boxes(low[full], high[full], height=size * span / extent, xp=xp) / size**2)
    return _slope(sizes, counts) if len(sizes) >= _LEAST_SIZES else math.nan


def _boxes(low: Array, high: Array, *, height: float, xp: Any) -> float:
    """Return the mean number of boxes of a height between the least and the greatest value of cells."""
    if not height > 0.0:
        return 1.0
    # a value that lies on a border, but for rounding, lies on it
    first, last = (xp.floor(ends / height + _SAME) for ends in (low, high))
    top = xp.ceil(float(high.max()) / height - _SAME) - 1
    return float((xp.minimum(last, top) - xp.minimum(first, top)).mean()) + 1.0


def _joined(cells: Array, how: str) -> Array:
    """Return the least or greatest value of each two by two cells; what is left over at the ends goes."""
    rows, columns = (size // 2 * 2 for size in cells.shape[1:])
    cells = cells[:, :rows, :columns]
    return getattr(cells.reshape(len(cells), rows // 2, 2, columns // 2, 2), how)(axis=(2, 4))


def _halved(mask: Array, xp: Any) -> Array:
    """Return which boxes of two by two by two hold something."""
    padded = xp.pad(mask, [(0, size % 2) for size in mask.shape])
    z, y, x = padded.shape
    return padded.reshape(z // 2, 2, y // 2, 2, x // 2, 2).any(axis=(1, 3, 5))


def _sizes(extent: int) -> list[int]:
    return [2**power for power in range(extent.bit_length()) if 2 ** (power + 1) <= extent]


def _slope(sizes: list[int], counts: list[float] | list[int]) -> float:
    """Return the slope of a line through the points, by least squares."""
    x: NDArray[np.float64] = -np.log(np.array(sizes, dtype=np.float64))
    y = np.log(np.array(counts, dtype=np.float64))
    x -= x.mean()
    return float((x * (y - y.mean())).sum() / (x * x).sum())
