"""What the features of pyradiomics take."""

from __future__ import annotations

import math

from medpipe.kernels import pairs
from medpipe.kernels.directions import directions_at
from medpipe.ops import roi
from medpipe.ops.pyradiomics_columns import TEXTURE, Family
from medpipe.types import Geometry


def region_bytes(
    geometry: Geometry,
    /,
    *,
    families: tuple[Family, ...],
    resample_mm: roi.Spacing | None,
    normalize: bool,
    distances: tuple[int, ...],
    flat_axis: int | None,
    levels: int,
) -> int:
    """Return the peak bytes of a region as large as the volume, with a surface that is not all noise.

    Parameters
    ----------
    geometry : Geometry
        Of the volume.
    families, resample_mm, normalize, distances
        As for :class:`medpipe.ops.extract_pyradiomics.Pyradiomics`.
    flat_axis : int or None
        Axis that texture does not go along.
    levels : int
        Grey levels at most.
    """
    before = math.prod(geometry.spatial_shape)
    after = roi.voxels_after(geometry, resample_mm)
    plane = math.prod(geometry.spatial_shape[1:])
    # image, in float64 where it was normalized or resampled, two masks and which voxels are finite
    of_value = 4 if resample_mm is None and not normalize else 8
    held = (of_value + 3) * after
    steps = [held + 4 * after, 24 * plane]
    if resample_mm is not None and geometry.spacing_mm is not None:
        # what the library holds beside: the source, its coefficients, the result
        steps.append(34 * before + 18 * after)
    if "firstorder" in families:
        steps.append(held + (3 * of_value + 2) * after)
    if "shape" in families:
        steps.append(held + 2 * after + 600 * int(after ** (2 / 3)))
    if not TEXTURE.isdisjoint(families):
        reach = 2 * max(distances) + 2
        z, y, x = (size + reach for size in roi.shape_after(geometry, resample_mm))
        directions = len(directions_at(distances, flat_axis=flat_axis))
        matrices = 4 * max(min(directions * levels**2, pairs.CELLS_AT_ONCE), levels**2) + 48 * levels**2
        a_level = 60 * max(z, y, x) + 16 * directions + 300
        steps.append(held + 7 * after + 4 * z * y * x + 104 * (y + 3) * (x + 3) + matrices + a_level * levels)
    return max(steps) + 2**21
