"""Kernels on volumes: as float32, and frame by frame where there is a leading axis."""

from __future__ import annotations

import math
from collections.abc import Callable

from medpipe.errors import Rejected
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of


def by_frame(volume: Volume, kernel: Callable[[Array], Array]) -> Array:
    """Return what a kernel on (z, y, x) makes of a volume.

    Parameters
    ----------
    volume : Volume
        With axes (z, y, x), or with a leading axis t or c, whose frames are worked on one by
        one.
    kernel : callable
        Takes and returns a float32 array (z, y, x).
    """
    xp = backend_of(volume.data).xp
    data = xp.asarray(volume.data, dtype=xp.float32)
    if data.ndim == 3:
        return kernel(data)
    first = kernel(data[0])
    result = xp.empty((data.shape[0], *first.shape), dtype=first.dtype)
    result[0] = first
    for place in range(1, data.shape[0]):
        result[place] = kernel(data[place])
    return result


def mean_frame(volume: Volume) -> Array:
    """Return the volume as one float32 array (z, y, x): the mean over a leading axis."""
    xp = backend_of(volume.data).xp
    data = xp.asarray(volume.data, dtype=xp.float32)
    return data if data.ndim == 3 else data.mean(axis=0)


def known_spacing(geometry: Geometry) -> tuple[float, float, float]:
    """Return the spacing along (z, y, x) in mm.

    Raises
    ------
    Rejected
        ``E_SPACING`` if it is not known.
    """
    if geometry.spacing_mm is None:
        raise Rejected("E_SPACING")
    return geometry.spacing_mm


def result_bytes(geometry: Geometry, *, beside: int) -> int:
    """Return what :func:`by_frame` takes for a float32 result of a geometry.

    Parameters
    ----------
    geometry : Geometry
        The result's.
    beside : int
        Bytes per voxel of a frame that the kernel takes beside its result.
    """
    frame = 0 if len(geometry.shape) == 3 else frame_bytes(geometry, per_voxel=4)
    return math.prod(geometry.shape) * 4 + frame + frame_bytes(geometry, per_voxel=beside)


def mean_bytes(geometry: Geometry) -> int:
    """Return what :func:`mean_frame` takes: nothing without a leading axis."""
    return 0 if len(geometry.shape) == 3 else frame_bytes(geometry, per_voxel=4)


def frame_bytes(geometry: Geometry, *, per_voxel: int) -> int:
    """Return the bytes of arrays over the voxels of one frame."""
    return math.prod(geometry.spatial_shape) * per_voxel
