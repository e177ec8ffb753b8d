"""The shape of a region as pyradiomics measures it: in space, or within the one slice that the region has."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels import morphology
from medpipe.kernels.cubes import cube_surface, vertex_diameters
from medpipe.kernels.squares import square_outline
from medpipe.ops.roi import Spacing

Mask = NDArray[np.bool_]


def shape_features(mask: Mask, /, *, spacing_mm: Spacing) -> dict[str, float]:
    """Return the features of the class ``shape``.

    Parameters
    ----------
    mask : array of bool (z, y, x)
        Of at least one voxel, in the order of the file.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.
    """
    count = int(np.count_nonzero(mask))
    surface = cube_surface(mask, spacing_mm=spacing_mm)
    diameters = vertex_diameters(mask, spacing_mm=spacing_mm)
    # of the covariance divided by N
    major, minor, least = (
        2.0 * axis * math.sqrt((count - 1) / count)
        for axis in morphology.ellipsoid_semi_axes_mm(mask, spacing_mm=spacing_mm)
    )
    area, volume = surface.area_mm2, surface.volume_mm3
    return {
        "Elongation": minor / major,
        "Flatness": least / major,
        "LeastAxisLength": least,
        "MajorAxisLength": major,
        "Maximum2DDiameterColumn": diameters.column_mm,
        "Maximum2DDiameterRow": diameters.row_mm,
        "Maximum2DDiameterSlice": diameters.slice_mm,
        "Maximum3DDiameter": diameters.all_mm,
        "MeshVolume": volume,
        "MinorAxisLength": minor,
        "Sphericity": (36.0 * math.pi * volume**2) ** (1.0 / 3.0) / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume if volume != 0.0 else math.nan,
        "VoxelVolume": count * math.prod(spacing_mm),
    }


def slice_shape_features(mask: Mask, /, *, spacing_mm: Spacing, flat_axis: int) -> dict[str, float]:
    """Return the features of the class ``shape2D``; none of a region with more slices than one.

    Parameters
    ----------
    mask, spacing_mm
        As for :func:`shape_features`.
    flat_axis : int
        Axis that slices follow each other along.
    """
    if mask.shape[flat_axis] > 1:
        return {}
    mask = mask.squeeze(flat_axis)
    y_mm, x_mm = (step for axis, step in enumerate(spacing_mm) if axis != flat_axis)
    outline = square_outline(mask, spacing_mm=(y_mm, x_mm))
    places = np.argwhere(mask) * (y_mm, x_mm)
    minor, major = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(places.T, ddof=0)), 0.0)) * 4.0
    area, perimeter = outline.area_mm2, outline.perimeter_mm
    return {
        "Elongation": float(minor / major),
        "MajorAxisLength": float(major),
        "MaximumDiameter": outline.diameter_mm,
        "MeshSurface": area,
        "MinorAxisLength": float(minor),
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / area,
        "PixelSurface": len(places) * y_mm * x_mm,
        "Sphericity": 2.0 * math.sqrt(math.pi * area) / perimeter,
    }
