"""The features that run-length, zone and dependence matrices have in common.

Each of these matrices counts by grey level i and by some size j: the length of a run, the size
of a zone or its distance to the border, the number of dependent neighbours. The standard
defines the same sums for all of them under other names.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

N_FEATURES = 17
"""Emphases of small and large j, of low and high i, of the four pairs; non-uniformities of i and
j, each also normalised; percentage; variances of i and j; entropy; energy."""

Counts = NDArray[np.uint32]
Floats = NDArray[np.float64]


@njit(cache=True, nogil=True)
def emphases(counts: Counts, levels: Floats, sizes: Floats, n_voxels: int) -> Floats:
    """Return the features of a matrix in the order of :data:`N_FEATURES`.

    Parameters
    ----------
    counts : array of uint32 (k, m)
        Elements by grey level and size.
    levels : array of float64 (k,)
        Grey level of each row, above 0.
    sizes : array of float64 (m,)
        Size of each column, above 0.
    n_voxels : int
        Voxels of the region, once for each matrix that was merged: what the number of elements
        is a share of.

    Returns
    -------
    array of float64 (17,)
        NaN for an empty matrix.

    Notes
    -----
    IBSI reference manual, chapters "Grey level run length based features" to "Neighbouring grey
    level dependence based features"; doi:10.1016/S0146-664X(75)80008-6.
    """
    result = np.full(N_FEATURES, math.nan)
    by_level, by_size = np.zeros(levels.size), np.zeros(sizes.size)
    for row in range(levels.size):
        for column in range(sizes.size):
            by_level[row] += counts[row, column]
            by_size[column] += counts[row, column]
    total = by_level.sum()
    if total == 0.0:
        return result
    by_level /= total
    by_size /= total
    low, high = 1.0 / levels**2, levels**2
    small, large = 1.0 / sizes**2, sizes**2
    result[0], result[1] = (by_size * small).sum(), (by_size * large).sum()
    result[2], result[3] = (by_level * low).sum(), (by_level * high).sum()
    result[4:8] = 0.0
    result[9], result[11] = (by_level**2).sum(), (by_size**2).sum()
    result[8], result[10] = result[9] * total, result[11] * total
    result[12] = total / n_voxels
    result[13] = (by_level * (levels - (by_level * levels).sum()) ** 2).sum()
    result[14] = (by_size * (sizes - (by_size * sizes).sum()) ** 2).sum()
    result[15:] = 0.0
    for row in range(levels.size):
        for column in range(sizes.size):
            if counts[row, column] > 0:
                p = counts[row, column] / total
                result[4] += p * small[column] * low[row]
                result[5] += p * small[column] * high[row]
                result[6] += p * large[column] * low[row]
                result[7] += p * large[column] * high[row]
                result[15] -= p * math.log2(p)
                result[16] += p * p
    return result
