"""Watershed from markers: each voxel goes to the marker that water from it would reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def flooded(height: NDArray[np.float32], markers: NDArray[np.int8], /) -> NDArray[np.int32]:
    """Return the marker whose basin each voxel lies in.

    Parameters
    ----------
    height : NumPy array of float32 (z, y, x)
        Finite; such as a slope, so that basins meet at edges.
    markers : NumPy array of int8, same shape
        Where basins begin, from 1; 0 elsewhere.

    Returns
    -------
    array of int32 (z, y, x)
        0 where there is no marker at all.

    Notes
    -----
    F. Meyer's flooding from markers by face neighbours (scikit-image), on the host: the order in
    which voxels are flooded is one after another.
    """
    from skimage.segmentation import watershed

    found: NDArray[np.int32] = watershed(  # type: ignore[no-untyped-call]  # scikit-image has no types
        height, markers.astype(np.int32), connectivity=1
    )
    return found
