"""Canny's edges, slice by slice: lines of one voxel along which the slope is largest.

References
----------
J. Canny, IEEE Trans. Pattern Anal. Mach. Intell. 8 (1986) 679-698, doi:10.1109/TPAMI.1986.4767851.
"""

from __future__ import annotations

import numpy as np

from medpipe.kernels.components import fill_slice_holes
from medpipe.kernels.slabs import slab_ranges
from medpipe.kernels.slopes import Spacing, connected_to_strong
from medpipe.types import Array
from medpipe.xp import backend_of

TRUNCATE = 4.0
"""The window ends after this many standard deviations."""

AROUND_IN_SLICE = np.array([[[0] * 3] * 3, [[1] * 3] * 3, [[0] * 3] * 3], dtype=bool)
"""Neighbours that share an edge or a corner within a slice (8)."""

_SOBEL = 8.0
"""Sobel's differences over the slope for each voxel."""

_FLAT = 1e-14


def canny(x: Array, /, *, sigma_mm: float, spacing_mm: Spacing, low: float, high: float) -> Array:
    """Return the edges of each slice.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        Finite; beyond the border the edge voxel goes on.
    sigma_mm : float
        Standard deviation of the window that smooths the image within slices, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm; the first does not count.
    low, high : float
        Slopes per mm. An edge has at least `low` everywhere, and at least `high` somewhere (of what is connected
        by 8 neighbours).

    Returns
    -------
    array of bool (z, y, x)
        Where the slope is no less than what it is, interpolated, a voxel before and a voxel behind along the
        gradient. Nothing at the border of a slice.
    """
    xp = backend_of(x).xp
    result = xp.zeros(x.shape, dtype=bool)
    if min(x.shape[1:]) < 3:
        return result
    for first, last in slab_ranges(x.shape):
        down, across = _slopes(x[first:last], sigma_mm=sigma_mm, spacing_mm=spacing_mm)
        steep = xp.sqrt(down * down + across * across)
        inner = steep[:, 1:-1, 1:-1]
        weak = _is_crest(steep, down / xp.float32(spacing_mm[1]), across / xp.float32(spacing_mm[2]))
        weak &= inner >= xp.float32(low or _FLAT)
        strong = weak & (inner >= xp.float32(high))
        result[first:last, 1:-1, 1:-1] = connected_to_strong(weak, strong, around=AROUND_IN_SLICE)
    return result


def enclosed(lines: Array, /) -> Array:
    """Return what lines enclose within slices, with the lines around it; those that enclose nothing are left out.

    Parameters
    ----------
    lines : array of bool (z, y, x)
        Connected by 8 neighbours within slices.
    """
    filled = fill_slice_holes(lines)
    backend = backend_of(lines)
    around: Array = backend.ndi.binary_dilation(filled & ~lines, structure=backend.xp.asarray(AROUND_IN_SLICE))
    around &= filled
    return around


def steepness(x: Array, /, *, sigma_mm: float, spacing_mm: Spacing) -> Array:
    """Return the slope per mm, within slices, that :func:`canny` goes by: array of float32 (z, y, x)."""
    xp = backend_of(x).xp
    result = xp.empty(x.shape, dtype=xp.float32)
    for first, last in slab_ranges(x.shape):
        down, across = _slopes(x[first:last], sigma_mm=sigma_mm, spacing_mm=spacing_mm)
        result[first:last] = xp.sqrt(down * down + across * across)
    return result


def _slopes(x: Array, *, sigma_mm: float, spacing_mm: Spacing) -> tuple[Array, Array]:
    """Return the slopes per mm along y and x of smoothed slices, by Sobel's windows."""
    backend = backend_of(x)
    ndi, xp = backend.ndi, backend.xp
    sigma = (0.0, *(sigma_mm / step for step in spacing_mm[1:]))
    smooth = ndi.gaussian_filter(x, sigma, mode="nearest", truncate=TRUNCATE)
    differences, weights = xp.asarray([-1.0, 0.0, 1.0]), xp.asarray([1.0, 2.0, 1.0])
    down, across = (
        ndi.correlate1d(ndi.correlate1d(smooth, differences, axis=axis), weights, axis=3 - axis) for axis in (1, 2)
    )
    down /= down.dtype.type(_SOBEL * spacing_mm[1])
    across /= across.dtype.type(_SOBEL * spacing_mm[2])
    return down, across


def _is_crest(steep: Array, down: Array, across: Array) -> Array:
    """Tell of each voxel within slices whether it is as steep as those before and behind it along a direction.

    Parameters
    ----------
    steep, down, across : array of float32 (z, y, x)
        The slope, and the parts along y and x of the direction, in voxels.

    Returns
    -------
    array of bool (z, y - 2, x - 2)
    """
    xp = backend_of(steep).xp
    rows, columns = steep.shape[1:]

    def at(y: int, x: int) -> Array:
        return steep[:, 1 + y : rows - 1 + y, 1 + x : columns - 1 + x]

    down, across = down[:, 1:-1, 1:-1], across[:, 1:-1, 1:-1]
    is_level = xp.abs(down) <= xp.abs(across)
    longer = xp.where(is_level, xp.abs(across), xp.abs(down))
    shorter = xp.where(is_level, xp.abs(down), xp.abs(across))
    # where there is no slope there is no edge either
    part = shorter / xp.where(longer > 0, longer, 1)
    falls = (down > 0) == (across > 0)
    crest = xp.ones(is_level.shape, dtype=bool)
    for step in (1, -1):
        straight = xp.where(is_level, at(0, step), xp.where(falls, at(step, 0), at(-step, 0)))
        diagonal = xp.where(falls, at(step, step), at(-step, step))
        between = (diagonal * part).astype(xp.float64) + straight * (1.0 - part.astype(xp.float64))
        crest &= between <= at(0, 0)
    return crest
