"""Bilateral smoothing: voxels count by how near they are, in mm, and by how near their values are.

References
----------
Tomasi and Manduchi, ICCV 1998, doi:10.1109/ICCV.1998.710815
"""

from __future__ import annotations

import math

import numpy as np

from medpipe.errors import Rejected
from medpipe.kernels.alike import Weighing, means_of_alike
from medpipe.types import Array

TRUNCATE = 2.0
"""The window ends after this many standard deviations of distance."""

MOST_VOXELS = 1 << 17
"""Voxels of the largest window: each voxel of the image takes a tenth of a millisecond then."""


def bilateral_radius(
    *, sigma_mm: float, spacing_mm: tuple[float, float, float], shape: tuple[int, ...] | None = None
) -> tuple[int, int, int]:
    """Return half the window in voxels along (z, y, x); along an axis of one voxel there is nothing to see.

    Parameters
    ----------
    sigma_mm : float
        Standard deviation of the distances, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.
    shape : tuple of int, optional
        Of the image.
    """
    reach = [int(TRUNCATE * sigma_mm / step + 1e-6) for step in spacing_mm]
    z, y, x = (r if shape is None or shape[axis] > 1 else 0 for axis, r in enumerate(reach))
    return z, y, x


def bilateral(x: Array, /, *, sigma_mm: float, sigma_value: float, spacing_mm: tuple[float, float, float]) -> Array:
    """Return the weighted mean of the voxels around each voxel.

    ``w = exp(-d^2 / (2 sigma_mm^2)) exp(-(a - b)^2 / (2 sigma_value^2))`` with d the distance of the
    voxels' centres, up to ``2 sigma_mm`` along each axis.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    sigma_mm : float
        Standard deviation of the distances, mm.
    sigma_value : float
        Standard deviation of the differences, in the unit of the image.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of float32 (z, y, x)
        Beyond the border the image is mirrored, the edge voxel being the mirror. NaN wherever
        the window holds a NaN.

    Raises
    ------
    Rejected
        ``E_WINDOW`` if the window would hold more than 131,072 voxels.
    """
    return means_of_alike(x, _weighing(x, sigma_mm, sigma_value, spacing_mm))


def window_voxels(radius: tuple[int, int, int]) -> int:
    """Return the voxels of a window, of which half is so many along (z, y, x)."""
    return math.prod(2 * reach + 1 for reach in radius)


def _weighing(x: Array, sigma_mm: float, sigma_value: float, spacing_mm: tuple[float, float, float]) -> Weighing:
    radius = bilateral_radius(sigma_mm=sigma_mm, spacing_mm=spacing_mm, shape=x.shape)
    if window_voxels(radius) > MOST_VOXELS:
        raise Rejected("E_WINDOW")
    along = [
        np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / sigma_mm) ** 2)
        for reach, step in zip(radius, spacing_mm, strict=True)
    ]
    closeness = along[0][:, None, None] * along[1][:, None] * along[2]
    return Weighing(
        halves=(0, 0, 0),
        scale=0.5 / (sigma_value * sigma_value),
        free=0.0,
        closeness=np.ascontiguousarray(closeness, np.float32),
    )
