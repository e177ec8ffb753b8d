"""Local and global intensity peak of a region (IBSI family 9ST6)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array

RADIUS_MM = 10.0 * (3.0 / (4.0 * math.pi)) ** (1.0 / 3.0)
"""Radius of a sphere of 1 cm³."""

NAMES = ("peak_loc", "peak_glob")
"""Keys of :func:`intensity_peaks`, in the order of the standard."""

Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]
Floats = NDArray[np.float64]


def intensity_peaks(image: Array, region: Array, /, *, box: Box, spacing_mm: Spacing) -> dict[str, float]:
    """Return the highest mean over a sphere of 1 cm³ around a region's voxels.

    Parameters
    ----------
    image : NumPy array of float (z, y, x)
        Intensities of the region and, as far as the image goes, :func:`reach` voxels around it;
        values that are not finite do not count.
    region : NumPy array of bool, shape of ``box``
        The region's voxels, at least one.
    box : three slices
        Where the region lies in ``image``.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    dict of str to float
        ``peak_loc`` around the voxels of the region's maximum (the highest, of several),
        ``peak_glob`` around any voxel of the region.

    Notes
    -----
    A voxel is in the sphere if its centre is; voxels outside the region count, and at the border
    of the image those that are there. The sphere is a bundle of lines along x, and a line's sum
    is a difference of running sums. IBSI codes VJGA and 0F91.
    """
    edge = reach(spacing_mm)
    padded = _padded(np.asarray(image, dtype=np.float64), box, edge)
    finite = np.isfinite(padded)
    sums = _sphere_sums(np.where(finite, padded, 0.0), region.shape, spacing_mm)
    if finite.all():
        means = sums / sum(2 * half + 1 for _, _, half in _lines(spacing_mm))
    else:
        # a voxel of the region is finite, so that its sphere holds one
        means = sums / np.maximum(_sphere_sums(finite.astype(np.float64), region.shape, spacing_mm), 1.0)
    inside, values = means[region], np.asarray(image, dtype=np.float64)[box][region]
    return {"peak_loc": float(inside[values == values.max()].max()), "peak_glob": float(inside.max())}


def reach(spacing_mm: Spacing) -> tuple[int, int, int]:
    """Return how many voxels the sphere goes beyond its centre along (z, y, x)."""
    z, y, x = (int(RADIUS_MM // step) for step in spacing_mm)
    return z, y, x


def _lines(spacing_mm: Spacing) -> Iterator[tuple[int, int, int]]:
    """Yield the sphere's lines along x: their offset (z, y), and how far they go to either side."""
    z_reach, y_reach, _ = reach(spacing_mm)
    for z in range(-z_reach, z_reach + 1):
        for y in range(-y_reach, y_reach + 1):
            left = RADIUS_MM**2 - (z * spacing_mm[0]) ** 2 - (y * spacing_mm[1]) ** 2
            if left >= 0.0:
                yield z, y, int(math.sqrt(left) // spacing_mm[2])


def _padded(image: Floats, box: Box, edge: tuple[int, int, int]) -> Floats:
    """Return the box with its surroundings, NaN where there is no image."""
    padded = np.full(tuple(side.stop - side.start + 2 * more for side, more in zip(box, edge, strict=True)), np.nan)
    here, there = [], []
    for side, more, size in zip(box, edge, image.shape, strict=True):
        low, high = max(side.start - more, 0), min(side.stop + more, size)
        here.append(slice(low, high))
        there.append(slice(low - side.start + more, high - side.start + more))
    padded[tuple(there)] = image[tuple(here)]
    return padded


def _sphere_sums(padded: Floats, shape: tuple[int, ...], spacing_mm: Spacing) -> Floats:
    """Return the sum over the sphere around each voxel of a box, of values with its surroundings."""
    z_edge, y_edge, x_edge = reach(spacing_mm)
    running = np.zeros((*padded.shape[:2], padded.shape[2] + 1))
    np.cumsum(padded, axis=2, out=running[:, :, 1:])
    depth, height, width = shape
    sums = np.zeros(shape)
    for z, y, half in _lines(spacing_mm):
        planes = running[z_edge + z : z_edge + z + depth, y_edge + y : y_edge + y + height]
        sums += planes[:, :, x_edge + half + 1 : x_edge + half + 1 + width]
        sums -= planes[:, :, x_edge - half : x_edge - half + width]
    return sums
