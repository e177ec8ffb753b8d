"""From a volume and a region to the voxels that are measured: the IBSI processing chain.

Fixed order: crop, interpolate image and mask, round, re-segment by outliers and range. The
crop keeps the context interpolation needs, and the grid is that of the whole image, so it
changes no number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels import resample
from medpipe.kernels.device.places import is_counted_there
from medpipe.kernels.grid import GridAxis
from medpipe.kernels.slabs import planes_of, slab_ranges
from medpipe.kernels.sums import mean_and_deviation
from medpipe.types import Array, Geometry, Region, Volume
from medpipe.xp import backend_of, is_cupy, to_numpy

Box = tuple[slice, slice, slice]
Spacing = tuple[float, float, float]
Bools = NDArray[np.bool_]

# A cubic spline sees the whole line, but at 16 voxels its weight is below 1e-9.
_CONTEXT_VOXELS = {1: 1, 3: 16}

_ON_DEVICE_AT_ONCE = 1 << 22
"""Voxels that are compared at a time on a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roi:
    """What is measured, cropped to the region.

    Attributes
    ----------
    image : array of float32 or float64 (z, y, x)
        On the volume's device, as are ``inside``, ``intensity`` and ``around``.
    morphological : NumPy array of bool (z, y, x)
        The region, whose shape is measured on the host.
    inside, intensity : array of bool (z, y, x)
        The region, and the part of it that re-segmentation left. Neither is empty.
    spacing_mm : (float, float, float) or None
    around : array like ``image`` (z, y, x)
        The image with as much of what lies around the region as the chain asked for.
    box : three slices
        Where ``image`` lies in ``around``.
    """

    image: Array
    morphological: Bools
    inside: Array
    intensity: Array
    spacing_mm: Spacing | None
    around: Array
    box: Box

    @property
    def values(self) -> Array:
        """The intensities of ``intensity`` in C order: made anew each time."""
        return self.image[self.intensity]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Parameters of the chain; see :class:`medpipe.ops.extract_ibsi.Ibsi`.

    ``around_mm`` is how far the image is wanted around the region, ``context`` the same in voxels
    after interpolation; None wants all of it.
    """

    resample_mm: Spacing | None
    order: int
    rounded: bool
    limits: tuple[float, float] | None
    outlier_sigma: float | None
    around_mm: float = 0.0
    context: tuple[int, int, int] | None = (0, 0, 0)


def prepare(volume: Volume, region: Region, chain: Chain) -> Roi | None:
    """Return what is measured of a region, or None if nothing of it is left.

    Raises
    ------
    Rejected
        ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of another
        shape, ``NO_SPACING`` if resampling is asked for and the spacing is not known,
        ``W_UNEVEN`` for a cubic spline across uneven slices.
    """
    check_grid(volume, region)
    spacing_mm = volume.geometry.spacing_mm
    box = inside = region.bits.box
    if box is None or inside is None:
        return None
    if chain.around_mm and spacing_mm is not None:
        # A resampled mask may reach one voxel farther than its source.
        z, y, x = (1 + math.ceil(chain.around_mm / step) for step in spacing_mm)
        box = widened(box, (z, y, x), volume.geometry.spatial_shape)
    box = widened(box, _context(volume.geometry, chain), volume.geometry.spatial_shape)
    if chain.resample_mm is None:
        image = volume.data[box]
        mask = region.bits.inside
        inner = shifted(inside, box)
    else:
        target_mm = _target_mm(volume.geometry, chain.resample_mm)
        image, mask = _resampled(volume, region, box, chain.order, target_mm)
        spacing_mm = target_mm
        left = bounding_box(mask)
        if left is None:
            return None
        inner, mask = left, np.ascontiguousarray(mask[left])
    if not is_counted_there(image.shape, 1):
        image = to_numpy(image)
    xp = backend_of(image).xp
    image = image.astype(_float_of(image.dtype), copy=False)
    if chain.rounded:
        image = xp.rint(image)
    around = image
    image, on_device = image[inner], xp.asarray(mask)
    intensity = resegmented(image, on_device, limits=chain.limits, outlier_sigma=chain.outlier_sigma)
    if not bool(intensity.any()):
        return None
    return Roi(
        image=image,
        morphological=mask,
        inside=on_device,
        intensity=intensity,
        spacing_mm=spacing_mm,
        around=around,
        box=inner,
    )


def resegmented(image: Array, mask: Array, *, limits: tuple[float, float] | None, outlier_sigma: float | None) -> Array:
    """Return the voxels of a mask with a finite intensity within limits and near the mean.

    Mean and standard deviation (population) are those of all voxels of the mask, before the
    range takes effect (IBSI codes USB3 and 7ACA).
    """
    xp = backend_of(image).xp
    kept = xp.isfinite(image)
    kept &= mask
    planes = planes_of(image.shape, _ON_DEVICE_AT_ONCE) if is_cupy(image) else 1
    slabs = [slice(first, last) for first, last in slab_ranges(image.shape, planes=planes)]
    # compared as an image in float64 would be
    if outlier_sigma is not None:
        values = image[kept]
        # Equal values have no outliers, though their mean may differ from them in the last bit.
        if values.size and values.min() < values.max():
            mean, deviation = mean_and_deviation(values)
            for slab in slabs:
                kept[slab] &= xp.abs(image[slab].astype(xp.float64) - mean) <= outlier_sigma * deviation
    if limits is not None:
        low, high = map(float, limits)
        for slab in slabs:
            wide = image[slab].astype(xp.float64)
            kept[slab] &= (wide >= low) & (wide <= high)
    return kept


def bounding_box(mask: Array) -> Box | None:
    """Return the smallest box around a mask (z, y, x), or None if it is empty."""
    xp = backend_of(mask).xp
    slices = [slice(None)] * 3
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        # Cropped as it goes: only the first axis looks at the whole volume.
        places = np.flatnonzero(to_numpy(xp.any(mask[tuple(slices)], axis=others)))
        if places.size == 0:
            return None
        slices[axis] = slice(int(places[0]), int(places[-1]) + 1)
    return slices[0], slices[1], slices[2]


def widened(box: Box, voxels: tuple[int, int, int], shape: tuple[int, int, int]) -> Box:
    """Return a box with context on each side, as far as the array goes."""
    z, y, x = (
        slice(max(side.start - more, 0), min(side.stop + more, size))
        for side, more, size in zip(box, voxels, shape, strict=True)
    )
    return z, y, x


def shifted(box: Box, outer: Box) -> Box:
    """Return where a box lies within one around it."""
    z, y, x = (slice(side.start - other.start, side.stop - other.start) for side, other in zip(box, outer, strict=True))
    return z, y, x


def check_settings(op: str, *, resample_mm: Spacing | None, limits: tuple[float, float] | None = None) -> None:
    """Refuse a grid without a spacing and a range without a width.

    Raises
    ------
    ConfigError
        With the op and its parameter, ``resample_mm`` or ``range``.
    """
    if resample_mm is not None and not any(resample_mm):
        raise ConfigError(f"{op}.resample_mm: at least one axis must be above 0")
    if limits is not None and not limits[0] < limits[1]:
        raise ConfigError(f"{op}.range: its lower end must be below its upper end")


def check_grid(volume: Volume, region: Region) -> None:
    """Refuse a volume with a fourth axis, and a mask on another grid."""
    if len(volume.data.shape) != 3:
        raise Rejected("E_AXES")
    if region.bits.shape != tuple(volume.data.shape):
        raise Rejected("E_GRID")


def geometry_after(geometry: Geometry, resample_mm: Spacing | None) -> Geometry:
    """Return shape and spacing of the volume once resampled.

    Raises
    ------
    Rejected
        ``NO_SPACING`` if resampling is asked for and the spacing is not known.
    """
    spacing_mm = geometry.spacing_mm if resample_mm is None else _target_mm(geometry, resample_mm)
    return Geometry(shape=shape_after(geometry, resample_mm), spacing_mm=spacing_mm)


def voxels_after(geometry: Geometry, resample_mm: Spacing | None) -> int:
    """Return the number of voxels of the volume once resampled."""
    return math.prod(shape_after(geometry, resample_mm))


def shape_after(geometry: Geometry, resample_mm: Spacing | None) -> tuple[int, int, int]:
    """Return the shape (z, y, x) of the volume once resampled."""
    if resample_mm is None or geometry.spacing_mm is None:
        return geometry.spatial_shape
    z, y, x = (axis.count for axis in _whole_grid(geometry, _target_mm(geometry, resample_mm)))
    return z, y, x


def voxels_in_reach(
    geometry: Geometry, resample_mm: Spacing | None, reach: Callable[[Spacing], tuple[int, int, int]]
) -> int:
    """Return the number of voxels of as many slices of the resampled volume as something reaches; 0 without spacing.

    Slices have so many voxels around them as it reaches.
    """
    if geometry.spacing_mm is None:
        return 0
    target_mm = geometry.spacing_mm if resample_mm is None else _target_mm(geometry, resample_mm)
    grid = _whole_grid(geometry, target_mm)
    z, y, x = reach(target_mm)
    return (2 * z + 1) * (grid[1].count + 2 * y) * (grid[2].count + 2 * x)


def _float_of(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """Return the narrowest of float32 and float64 that holds every value of a type."""
    return np.float32 if np.can_cast(dtype, np.float32) else np.float64


def _target_mm(geometry: Geometry, resample_mm: Spacing) -> Spacing:
    """Return the spacing of the result: 0 keeps an axis, and a single slice keeps its own."""
    if geometry.spacing_mm is None:
        raise Rejected("NO_SPACING")
    z, y, x = (new or old for new, old in zip(resample_mm, geometry.spacing_mm, strict=True))
    return (geometry.spacing_mm[0] if geometry.spatial_shape[0] == 1 else z), y, x


def _context(geometry: Geometry, chain: Chain) -> tuple[int, int, int]:
    """Return the voxels of the volume that the chain wants around the region's box."""
    if chain.context is None:
        return geometry.spatial_shape
    if chain.resample_mm is None or geometry.spacing_mm is None or not any(chain.context):
        return chain.context
    target_mm = _target_mm(geometry, chain.resample_mm)
    # A resampled mask may reach one voxel farther than its source.
    z, y, x = (
        1 + math.ceil(more * new / old)
        for more, new, old in zip(chain.context, target_mm, geometry.spacing_mm, strict=True)
    )
    return z, y, x


def _whole_grid(geometry: Geometry, target_mm: Spacing) -> resample.Axes:
    assert geometry.spacing_mm is not None
    return resample.centred_grid(geometry.spatial_shape, spacing_mm=geometry.spacing_mm, target_mm=target_mm)


def _resampled(volume: Volume, region: Region, box: Box, order: int, target_mm: Spacing) -> tuple[Array, Bools]:
    geometry, shape = volume.geometry, volume.geometry.spatial_shape
    whole = _whole_grid(geometry, target_mm)
    positions = geometry.slice_positions_mm if whole[0].step != 1.0 else None
    if positions is not None:
        if order == 3:
            raise Rejected("W_UNEVEN")
        # Uneven slices have no place on the grid without their neighbours: all are kept.
        box = (slice(0, shape[0]), box[1], box[2])
    context = _CONTEXT_VOXELS[order]
    outer = widened(box, (context, context, context), shape)
    sides = zip(whole, box, outer, shape, strict=True)
    z, y, x = (_part(axis, side, crop, size) for axis, side, crop, size in sides)
    image = resample.resample(volume.data[outer], (z, y, x), order=order, integral=False, slice_positions=positions)
    # on the host, where its bits are: so it is the same on every device
    mask = resample.resample_mask(region.bits.within(outer), (z, y, x), slice_positions=positions)
    return image, mask


def _part(whole: GridAxis, side: slice, crop: slice, size: int) -> GridAxis:
    return whole.part(side.start, side.stop - 1, size=size).shifted(crop.start)
