"""Interpolation of an image and a region as pyradiomics has it: by SimpleITK, on a grid that begins at the corner.

The first point of the grid lies half a new voxel from the corner of the image, and the part of the
grid that is made lies around the region. Where samples of a mask lie half-way between its voxels,
which happens from 2.5 to 1 mm in every other slice, rounding decides which voxel is the nearest:
points are therefore worked out by the same steps, in the same frame of reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.bits import Bits
from medpipe.errors import Rejected
from medpipe.kernels.missing import LEAST_SHARE, nearest_known
from medpipe.ops.itk import itk, one_thread
from medpipe.ops.roi import Box, Spacing, widened
from medpipe.types import Geometry, Volume
from medpipe.xp import to_numpy

Interpolator = Literal[
    "nearest", "linear", "bspline", "gaussian", "label_gaussian", "hamming", "cosine", "welch", "lanczos", "blackman"
]
ITK_INTERPOLATORS: Final[dict[Interpolator, str]] = {
    "nearest": "sitkNearestNeighbor",
    "linear": "sitkLinear",
    "bspline": "sitkBSpline",
    "gaussian": "sitkGaussian",
    "label_gaussian": "sitkLabelGaussian",
    "hamming": "sitkHammingWindowedSinc",
    "cosine": "sitkCosineWindowedSinc",
    "welch": "sitkWelchWindowedSinc",
    "lanczos": "sitkLanczosWindowedSinc",
    "blackman": "sitkBlackmanWindowedSinc",
}
"""Names of SimpleITK, which pyradiomics takes, in the order of SimpleITK's numbers for them."""

_CONTEXT_VOXELS = 32
"""What a spline is given around a region: farther away its weight is below 1e-17."""

_LEAST_SQUARE = 1e-6
"""How far axes may be from right angles."""


def target_spacing(geometry: Geometry, box: Box, resample_mm: Spacing | None) -> Spacing | None:
    """Return the spacing (z, y, x) in mm to interpolate to; None where the image has it already.

    Raises
    ------
    Rejected
        ``NO_SPACING``, or ``W_UNEVEN`` across uneven slices.
    """
    if resample_mm is None:
        return None
    if geometry.spacing_mm is None:
        raise Rejected("NO_SPACING")
    # an axis along which the region has one voxel stays as it is
    z, y, x = (
        new if new and side.stop - side.start > 1 else old
        for new, old, side in zip(resample_mm, geometry.spacing_mm, box, strict=True)
    )
    if np.allclose(geometry.spacing_mm, (z, y, x)):
        return None
    if geometry.slice_positions_mm is not None and z != geometry.spacing_mm[0]:
        raise Rejected("W_UNEVEN")
    return z, y, x


def interpolated(
    volume: Volume,
    bits: Bits,
    target_mm: Spacing,
    /,
    *,
    interpolator: Interpolator,
    pad_voxels: int,
    kind: type[np.number[Any]],
    prepared: Callable[[NDArray[Any]], NDArray[np.floating[Any]]],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return an image and a region on the part of a grid that lies around the region.

    Parameters
    ----------
    volume : Volume
        With spacing.
    bits : Bits
        The region, not empty.
    target_mm : (float, float, float)
        Spacing (z, y, x), mm.
    interpolator : str
        Of the image; the region takes the nearest voxel.
    pad_voxels : int
        Voxels of the grid on each side of the region.
    kind : NumPy type
        Of the image's voxels: of whole numbers the library makes whole numbers.
    prepared : callable
        Makes the voxels that are interpolated of a part of the volume's.
    """
    sitk, box = itk(), bits.box
    assert box is not None
    shape = volume.geometry.spatial_shape
    whole = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    outer = widened(box, (_CONTEXT_VOXELS,) * 3, shape) if interpolator == "bspline" else whole
    with one_thread():
        mask = sitk.GetImageFromArray(bits.whole().astype(np.uint8))
        _place(mask, volume.geometry)
        # made here: a filter keeps the number of threads that was the default when it was made
        resampler = sitk.ResampleImageFilter()
        _lay_out(resampler, mask, box, target_mm, pad_voxels)
        resampler.SetOutputPixelType(mask.GetPixelID())
        resampler.SetInterpolator(sitk.sitkNearestNeighbor)
        inside = sitk.GetArrayFromImage(resampler.Execute(mask)) != 0
        values = prepared(to_numpy(volume.data[outer]))
        known = np.isfinite(values)
        # a spline has no end, and no whole number stands for what is missing
        is_filled = (interpolator == "bspline" or issubclass(kind, np.integer)) and not known.all()
        if is_filled and known.any():
            values = nearest_known(values, known)
        elif is_filled:
            is_filled, kind = False, np.float32
        image = sitk.GetImageFromArray(values.astype(kind))
        del values
        image.SetSpacing(mask.GetSpacing())
        image.SetDirection(mask.GetDirection())
        image.SetOrigin(mask.TransformIndexToPhysicalPoint([side.start for side in reversed(outer)]))
        resampler.SetOutputPixelType(image.GetPixelID())
        resampler.SetInterpolator(getattr(sitk, ITK_INTERPOLATORS[interpolator]))
        found = sitk.GetArrayFromImage(resampler.Execute(image)).astype(np.float64)
        if is_filled:
            missing = sitk.GetImageFromArray((~known).astype(np.float32))
            missing.CopyInformation(image)
            resampler.SetOutputPixelType(missing.GetPixelID())
            resampler.SetInterpolator(sitk.sitkNearestNeighbor if interpolator == "nearest" else sitk.sitkLinear)
            found[sitk.GetArrayFromImage(resampler.Execute(missing)) > LEAST_SHARE] = np.nan
        return found, inside


def _place(image: Any, geometry: Geometry) -> None:
    """Lay an image where its geometry says, if its axes are at right angles; else at the origin."""
    assert geometry.spacing_mm is not None
    image.SetSpacing(geometry.spacing_mm[::-1])
    matrix = geometry.matrix
    if matrix is None:
        return
    direction = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    if np.abs(direction.T @ direction - np.eye(3)).max() < _LEAST_SQUARE:
        image.SetDirection(direction.reshape(-1).tolist())
        image.SetOrigin(matrix[:3, 3].tolist())


def _lay_out(resampler: Any, mask: Any, box: Box, target_mm: Spacing, pad_voxels: int) -> None:
    """Give a filter the points of the grid around a box."""
    old, new = np.array(mask.GetSpacing()), np.array(target_mm[::-1])
    start, stop = (np.array([getattr(side, end) for side in reversed(box)]) for end in ("start", "stop"))
    ratio = old / new
    last = np.ceil(np.array(mask.GetSize()) * ratio) - 1
    low = np.maximum(np.floor((start - 0.5) * ratio - pad_voxels), 0)
    high = np.minimum(np.ceil((stop - 0.5) * ratio + pad_voxels), last)
    corner = 0.5 * (new - old) / old + low / ratio
    resampler.SetSize((high - low + 1).astype(int).tolist())
    resampler.SetOutputOrigin(mask.TransformContinuousIndexToPhysicalPoint(corner.tolist()))
    resampler.SetOutputSpacing(new.tolist())
    resampler.SetOutputDirection(mask.GetDirection())
