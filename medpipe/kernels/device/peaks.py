"""Intensity peaks by array operations: the body of :mod:`medpipe.kernels.local_intensity` on a device."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.device.places import AT_ONCE
from medpipe.kernels.slabs import slab_ranges
from medpipe.types import Array
from medpipe.xp import backend_of

Box = tuple[slice, slice, slice]
Lines = NDArray[np.int64]


def intensity_peaks(image: Array, region: Array, /, *, box: Box, lines: Lines) -> tuple[float, float]:
    """Return the local and the global peak of a region.

    Parameters
    ----------
    image : array of float (z, y, x)
    region : array of bool, shape of ``box``
        The region's voxels, at least one.
    box : three slices
        Where the region lies in ``image``.
    lines : array of int64 (n, 3)
        The sphere's lines along x: their offsets (z, y), and how far they go to either side.

    Notes
    -----
    A line's sum is that of the next shorter line and its two ends: added up in one order, without
    differences of large sums.
    """
    xp = backend_of(image).xp
    inside = image[box]
    highest = inside[region].max()
    z_edge = int(lines[:, 0].max())
    least = max(AT_ONCE // region[0].size, 2 * z_edge + 1)
    local = overall = -math.inf
    for first, last in slab_ranges(region.shape, planes=least):
        here = region[first:last]
        if not bool(here.any()):
            continue
        around = _around(image, (slice(box[0].start + first, box[0].start + last), *box[1:]), lines)
        known = xp.isfinite(around)
        around[~known] = 0.0
        means = _sphere_sums(around, here.shape, lines)
        # a voxel of the region is finite, so that its sphere holds one
        means /= xp.maximum(_sphere_sums(known.astype(xp.int32), here.shape, lines), 1)
        overall = max(overall, float(xp.where(here, means, -math.inf).max()))
        at_top = here & (inside[first:last] == highest)
        local = max(local, float(xp.where(at_top, means, -math.inf).max()))
    return local, overall


def _around(image: Array, box: Box, lines: Lines) -> Array:
    """Return a box of the image in float64 with what the sphere reaches around it, NaN where there is no image."""
    xp = backend_of(image).xp
    edges = [int(lines[:, axis].max()) for axis in range(3)]
    shape = [side.stop - side.start + 2 * edge for side, edge in zip(box, edges, strict=True)]
    here, there = [], []
    for side, edge, size in zip(box, edges, image.shape, strict=True):
        low, high = max(side.start - edge, 0), min(side.stop + edge, size)
        here.append(slice(low, high))
        there.append(slice(low - side.start + edge, high - side.start + edge))
    around = xp.full(tuple(shape), math.nan)
    around[tuple(there)] = image[tuple(here)]
    return around


def _sphere_sums(around: Array, shape: tuple[int, int, int], lines: Lines) -> Array:
    """Return the sum over the sphere around each voxel of a box of a shape."""
    xp = backend_of(around).xp
    depth, height, width = shape
    z_edge, y_edge, x_edge = (int(lines[:, axis].max()) for axis in range(3))
    sums = xp.zeros(shape, dtype=around.dtype)
    across = around[:, :, x_edge : x_edge + width].copy()
    for half in range(x_edge + 1):
        if half:
            across += around[:, :, x_edge + half : x_edge + half + width]
            across += around[:, :, x_edge - half : x_edge - half + width]
        for z, y, _ in lines[lines[:, 2] == half].tolist():
            sums += across[z_edge + z : z_edge + z + depth, y_edge + y : y_edge + y + height]
    return sums
