"""Missing voxels before a filter without an end, as that of a spline: one of them would take all others with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_SHARE = 1e-6
"""Weight of missing voxels from which a value between voxels is missing itself."""


def nearest_known(x: NDArray[Any], known: NDArray[np.bool_], /) -> NDArray[Any]:
    """Return an array with the value of the nearest known voxel, in voxels, where one is missing.

    Parameters
    ----------
    x : array (z, y, x)
    known : array of bool (z, y, x)
        At least one is.

    Returns
    -------
    array of the type of `x` (z, y, x)
    """
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled: NDArray[Any] = x[tuple(nearest)]
    return filled
