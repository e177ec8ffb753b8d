"""Local and global intensity peak of a region (IBSI family 9ST6)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.device import peaks
from medpipe.types import Array
from medpipe.xp import is_cupy

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
    image : array of float (z, y, x)
        Intensities of the region and, as far as the image goes, :func:`reach` voxels around it;
        values that are not finite do not count.
    region : array of bool, shape of ``box``
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
    lines = np.array(list(_lines(spacing_mm)), dtype=np.int64)
    if is_cupy(image):
        return dict(zip(NAMES, peaks.intensity_peaks(image, region, box=box, lines=lines), strict=True))
    depth, height, width = region.shape
    z_edge, y_edge, x_edge = reach(spacing_mm)
    inside = np.asarray(image)[box]
    highest = inside[region].max()
    peak_loc = peak_glob = -math.inf
    # planes that the sphere reaches, each at its place modulo their number
    shape = (2 * z_edge + 1, height + 2 * y_edge, width + 2 * x_edge + 1)
    planes = _Planes(np.zeros(shape), np.zeros(shape), np.zeros(shape[0], dtype=np.bool_))
    for z in range(-z_edge, depth + z_edge):
        _put_plane(planes, image, z, box, (y_edge, x_edge))
        middle = z - z_edge
        if middle < 0 or not region[middle].any():
            continue
        sums = _sphere_sums(planes.sums, middle, lines, height, width)
        counts: Floats | int = int((2 * lines[:, 2] + 1).sum())
        if not planes.is_whole.all():
            counts = _sphere_sums(planes.counts, middle, lines, height, width)
        # a voxel of the region is finite, so that its sphere holds one
        means = sums / np.maximum(counts, 1.0)
        peak_glob = max(peak_glob, float(means[region[middle]].max()))
        peak_loc = max(peak_loc, float(means[region[middle] & (inside[middle] == highest)].max(initial=-math.inf)))
    return {"peak_loc": peak_loc, "peak_glob": peak_glob}


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


class _Planes(NamedTuple):
    """Running sums along x of planes with their surroundings: of intensities, and of how many are finite.

    ``is_whole`` tells of each plane that all are.
    """

    sums: Floats
    counts: Floats
    is_whole: NDArray[np.bool_]


def _put_plane(planes: _Planes, image: Array, z: int, box: Box, edge: tuple[int, int]) -> None:
    """Put in a plane of the image around a box in it, z from the box; nothing where there is no image."""
    place, from_first = z % len(planes.is_whole), z + box[0].start
    sums, counts = planes.sums[place], planes.counts[place]
    padded = np.full((sums.shape[0], sums.shape[1] - 1), np.nan)
    if 0 <= from_first < len(image):
        here, there = [], []
        for side, more, size in zip(box[1:], edge, image.shape[1:], strict=True):
            low, high = max(side.start - more, 0), min(side.stop + more, size)
            here.append(slice(low, high))
            there.append(slice(low - side.start + more, high - side.start + more))
        padded[tuple(there)] = image[from_first][tuple(here)]
    finite = np.isfinite(padded)
    planes.is_whole[place] = finite.all()
    padded[~finite] = 0.0
    np.cumsum(padded, axis=1, out=sums[:, 1:])
    np.cumsum(finite, axis=1, out=counts[:, 1:])


@njit(cache=True, nogil=True)
def _sphere_sums(running: Floats, z: int, lines: NDArray[np.int64], height: int, width: int) -> Floats:
    """Return the sum over the sphere around each voxel of a plane, line by line."""
    y_edge, x_edge = (running.shape[1] - height) // 2, (running.shape[2] - 1 - width) // 2
    sums = np.zeros((height, width))
    for y in range(height):
        total = sums[y]
        for line in range(len(lines)):
            half = lines[line, 2]
            row = running[(z + lines[line, 0]) % len(running), y_edge + y + lines[line, 1]]
            after, before = row[x_edge + half + 1 :], row[x_edge - half :]
            for x in range(width):
                total[x] = total[x] + after[x] - before[x]
    return sums
