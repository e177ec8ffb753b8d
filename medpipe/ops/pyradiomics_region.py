"""From a volume and a region to the voxels that pyradiomics measures.

Its order of steps: normalize the whole image, interpolate image and mask on a grid that begins at the
corner of the image, check the size of the region, re-segment, check again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.bits import Bits
from medpipe.errors import Rejected
from medpipe.kernels import discretise
from medpipe.kernels.sums import mean_and_deviation
from medpipe.ops import roi
from medpipe.ops.corner_grid import Interpolator, interpolated, target_spacing
from medpipe.ops.roi import Spacing, bounding_box
from medpipe.types import Array, Region, Volume
from medpipe.xp import backend_of, to_numpy

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]

_MOST_BINS = 2**31
"""Bins beyond which levels are no numbers to count with."""

_SHORT = 2**16
"""Levels that are held in 16 bits are below this."""

_BLOCK = 2**14
"""Values whose levels are made at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Parameters of the steps; see :class:`medpipe.ops.extract_pyradiomics.Pyradiomics`."""

    normalize: bool
    scale: float
    outlier_limit: float | None
    resample_mm: Spacing | None
    interpolator: Interpolator
    pad_voxels: int
    whole_numbers: bool | None
    least_dimensions: int
    least_voxels: int
    thresholds: tuple[float, ...]
    mode: str
    resegment_shape: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is measured.

    Attributes
    ----------
    image : array of float32 or float64 (z, y, x)
    shape : array of bool (z, y, x)
        Voxels whose shape is measured, on the grid of the image.
    intensity : array of bool (z, y, x)
        Voxels whose intensities are.
    spacing_mm : (float, float, float) or None
    """

    image: Floats
    shape: Bools
    intensity: Bools
    spacing_mm: Spacing | None


def prepare(volume: Volume, region: Region, steps: Preparation) -> Measured | None:
    """Return what is measured of a region, cropped to it; None for a region without a voxel.

    Raises
    ------
    Rejected
        ``E_AXES``, ``E_GRID``, ``NO_SPACING`` or ``W_UNEVEN`` as :func:`medpipe.ops.roi.prepare`;
        ``E_CONSTANT`` for an image that cannot be normalized; ``SMALL_ROI`` for a region below the least size;
        ``EMPTY_ROI`` if no voxel has a finite intensity within the thresholds.
    """
    roi.check_grid(volume, region)
    if volume.stored_reversed:
        volume, region = _as_stored(volume, region)
    box = region.bits.box
    if box is None:
        return None
    scaling = _scaling(volume.data) if steps.normalize else None
    prepared = partial(_normalized, scaling=scaling, steps=steps)
    target_mm = target_spacing(volume.geometry, box, steps.resample_mm)
    if target_mm is None:
        image = prepared(to_numpy(volume.data[box]))
        mask, spacing_mm = region.bits.inside, volume.geometry.spacing_mm
    else:
        kind: type[np.number[Any]] = np.float64
        if scaling is None:
            kind = np.int32 if _is_whole(volume.data, steps) else np.float32
        image, mask = interpolated(
            volume,
            region.bits,
            target_mm,
            interpolator=steps.interpolator,
            pad_voxels=steps.pad_voxels,
            kind=kind,
            prepared=prepared,
        )
        spacing_mm = target_mm
    _check_size(mask, steps)
    return _cropped(image, mask, spacing_mm, steps)


def levels_of(values: NDArray[Any], /, *, bins: int | None, width: float) -> NDArray[np.integer[Any]]:
    """Return the grey level of each value, from 1: of a number of bins, or of bins of a width.

    Raises
    ------
    Rejected
        ``E_LEVELS`` for more levels than there are numbers to count with.
    """
    low, high = float(values.min()), float(values.max())
    if bins is None and (high - low) / width > _MOST_BINS:
        raise Rejected("E_LEVELS")
    made = (
        partial(discretise.anchored_bins, width=width, low=low)
        if bins is None
        else partial(discretise.histogram_bins, bins=bins, ends=(low, high))
    )
    highest = int(made(values.max(keepdims=True).astype(np.float64))[0])
    levels = np.empty(values.shape, dtype=np.uint16 if highest < _SHORT else np.int64)
    for at in range(0, values.size, _BLOCK):
        levels[at : at + _BLOCK] = made(values[at : at + _BLOCK].astype(np.float64))
    return levels


def _as_stored(volume: Volume, region: Region) -> tuple[Volume, Region]:
    """Return both in the order of the file: where grids and cubes begin is part of the numbers."""
    bits = region.bits
    z, y, x = bits.start
    flipped = Bits.of(bits.inside[::-1], start=(bits.shape[0] - z - bits.size[0], y, x), shape=bits.shape)
    geometry = volume.geometry
    if (matrix := geometry.matrix) is not None:
        matrix[:3, 3] += (geometry.shape[0] - 1) * matrix[:3, 2]
        matrix[:3, 2] *= -1.0
        geometry = replace(geometry, affine_lps=tuple(matrix.reshape(-1).tolist()))
    return volume.with_data(volume.data[::-1], geometry=geometry), replace(region, bits=flipped)


def _cropped(image: Floats, mask: Bools, spacing_mm: Spacing | None, steps: Preparation) -> Measured:
    known = mask & np.isfinite(image)
    if np.count_nonzero(known) == np.count_nonzero(mask):
        # one mask is enough
        known = mask
    intensity = _resegmented(image, known, steps)
    if np.count_nonzero(intensity) < 2:
        raise Rejected("EMPTY_ROI" if not intensity.any() else "SMALL_ROI")
    shape = mask
    if steps.thresholds:
        _check_size(intensity, steps)
        shape = intensity if steps.resegment_shape else mask
    # the shape of what lies in the box of the voxels that are left, as it is measured there
    box = bounding_box(intensity if steps.thresholds else mask)
    assert box is not None
    return Measured(image=image[box], shape=shape[box], intensity=intensity[box], spacing_mm=spacing_mm)


def _check_size(mask: Bools, steps: Preparation) -> None:
    box = bounding_box(mask)
    if box is None:
        raise Rejected("EMPTY_ROI")
    dimensions = sum(side.stop - side.start > 1 for side in box)
    if dimensions < max(steps.least_dimensions, 1) or np.count_nonzero(mask) <= steps.least_voxels:
        raise Rejected("SMALL_ROI")


def _resegmented(image: Floats, mask: Bools, steps: Preparation) -> Bools:
    if not steps.thresholds or not mask.any():
        return mask
    limits = sorted(steps.thresholds)
    if steps.mode == "relative":
        highest = float(image[mask].max())
        limits = [highest * limit for limit in limits]
    elif steps.mode == "sigma":
        mean, deviation = mean_and_deviation(image[mask])
        limits = [mean + deviation * limit for limit in limits]
    kept = mask.copy()
    # wide limits: beside a narrow array a plain number is as narrow as the array
    for z, plane in enumerate(image):
        kept[z] &= plane >= np.float64(limits[0])
        if len(limits) == 2:
            kept[z] &= plane <= np.float64(limits[1])
    return kept


def _scaling(data: Array) -> tuple[float, float]:
    """Return mean and standard deviation (divided by N - 1) of all finite voxels of an image."""
    count, total = 0, 0.0
    for plane in data:
        values = _finite(plane)
        count, total = count + values.size, total + float(values.sum())
    if count < 2:
        raise Rejected("E_CONSTANT")
    mean = total / count
    squares = sum(float(((_finite(plane) - mean) ** 2).sum()) for plane in data)
    if squares <= 0.0:
        raise Rejected("E_CONSTANT")
    return mean, math.sqrt(squares / (count - 1))


def _finite(plane: Array) -> Array:
    xp = backend_of(plane).xp
    values = plane.astype(xp.float64).reshape(-1)
    return values[xp.isfinite(values)]


def _normalized(part: NDArray[Any], *, scaling: tuple[float, float] | None, steps: Preparation) -> Floats:
    if scaling is None:
        return part.astype(np.float32 if np.can_cast(part.dtype, np.float32) else np.float64, copy=False)
    image = part.astype(np.float64)
    mean, deviation = scaling
    image -= mean
    image /= deviation
    if steps.outlier_limit is not None:
        np.clip(image, -steps.outlier_limit, steps.outlier_limit, out=image)
    image *= steps.scale
    return image


def _is_whole(data: Array, steps: Preparation) -> bool:
    """Tell whether an interpolated image is to hold whole numbers: as asked, or as the image does."""
    if steps.whole_numbers is not None:
        return steps.whole_numbers
    rint = backend_of(data).xp.rint
    return all(bool((plane == rint(plane)).all()) for plane in data)
