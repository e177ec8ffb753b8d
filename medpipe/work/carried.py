"""Regions of a case on a companion image: how much of them it shows, and where they lie on its own grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medpipe.bits import Bits
from medpipe.kernels.affine import SNAP, affine_sample
from medpipe.kernels.placement import voxel_to_voxel
from medpipe.ops.align.frame import matrix_of
from medpipe.ops.roi import widened
from medpipe.ops.straighten import STRAIGHTENED
from medpipe.types import Region, Volume
from medpipe.work.measure import BEYOND
from medpipe.xp import backend_of, to_numpy

Matrix = NDArray[np.float64]

_HALF = 0.5 - 1e-6
_NEAR = (1, 1, 1)


def seen(image: Volume, region: Region, *, flag: str) -> Region:
    """Return a region with what is to be told of it on an image.

    Parameters
    ----------
    image : Volume
        (z, y, x) on the region's grid, NaN where it shows nothing.
    region : Region
    flag : str
        Reason code of what is measured of the image, or an empty string.

    Returns
    -------
    Region
        With the code ``W_BEYOND`` where the image shows nothing of it, and so flagged where it shows a part.
    """
    box = region.bits.box
    if region.code or box is None:
        return region
    known = to_numpy(backend_of(image.data).xp.isfinite(image.data[box]))
    voxels = int(np.count_nonzero(known & region.bits.inside))
    if voxels == 0:
        return replace(region, code=BEYOND)
    return replace(region, flag=BEYOND if voxels < region.bits.n_voxels else region.flag or flag)


def flag_of(own: Volume, original: Volume, matrix: Matrix, *, on_own_grid: bool) -> str:
    """Return the reason code of what is measured of a companion image, or an empty string.

    Parameters
    ----------
    own, original : Volume
        The companion image on its own grid, and the image of the case.
    matrix : array of float64 (4, 4)
        LPS mm of `original` to LPS mm of `own`.
    on_own_grid : bool
        Whether its own voxels are measured.

    Returns
    -------
    str
        ``W_ALIGNED`` where values lie between voxels, ``W_TILTED`` where the own grid is sheared; what an op
        interpolated before (``W_STRAIGHTENED``) is told first.
    """
    if own.verdict == STRAIGHTENED or own.interpolated:
        return "W_STRAIGHTENED"
    if on_own_grid:
        return "W_TILTED" if own.verdict == "tilted" else ""
    there = voxel_to_voxel(matrix_of(original), matrix_of(own), between=matrix)
    near = np.rint(there)
    # voxel on voxel, one step here as long as one along an axis there, either way
    far = max(original.geometry.spatial_shape)
    steps = abs(near[:, :3])
    is_voxel = bool((abs(there - near) * [far, far, far, 1] < SNAP).all() and (steps @ steps.T == np.eye(3)).all())
    return "" if is_voxel else "W_ALIGNED"


def carried(region: Region, original: Volume, own: Volume, matrix: Matrix) -> Region:
    """Return a region on the own grid of a companion image, by linear interpolation of its mask from one half (IBSI).

    Parameters
    ----------
    region : Region
        On the grid of `original`.
    original, own : Volume
    matrix : array of float64 (4, 4)
        LPS mm of `original` to LPS mm of `own`.
    """
    box = region.bits.box
    if region.code or box is None:
        return region
    # without what lies around, the edge of the box would go on
    window = widened(box, _NEAR, region.bits.shape)
    between = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    back = voxel_to_voxel(matrix_of(own), matrix_of(original), between=between)
    back[:, 3] -= [side.start for side in window]
    inside = region.bits.within(window).astype(np.float32)
    share = affine_sample(inside, matrix=back, shape=own.geometry.spatial_shape)
    return replace(region, bits=Bits.of(share >= _HALF))
