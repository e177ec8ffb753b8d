"""Anscombe's transform: counts become values whose noise is about 1 everywhere, and come back without bias.

References
----------
Anscombe, Biometrika 35 (1948) 246, doi:10.1093/biomet/35.3-4.246. Makitalo and Foi, IEEE Trans.
Image Process. 20 (2011) 99, doi:10.1109/TIP.2010.2056693: the inverse takes the mean of a
transformed count to the mean of the count.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import Rejected
from medpipe.kernels.noise import MEDIAN_OF_NORMAL
from medpipe.kernels.slabs import slab_ranges
from medpipe.types import Array
from medpipe.xp import backend_of

_TABLE_COUNTS = 120.0
_ENTRIES = 8192


def anscombe(x: Array, /, *, gain: float) -> Array:
    """Return ``2 sqrt(x / gain + 3/8)``; what is below ``-3/8 gain`` becomes 0.

    Parameters
    ----------
    x : array of float32
        Values with a variance of `gain` times their mean.
    gain : float
        The value that one count has, above 0.
    """
    xp = backend_of(x).xp
    return 2.0 * xp.sqrt(xp.maximum(x * xp.float32(1.0 / gain) + xp.float32(0.375), 0))


def unbiased_inverse(y: Array, /, *, gain: float) -> Array:
    """Return the mean of the values whose transform has a mean of `y`.

    Parameters
    ----------
    y : array of float32 (z, y, x)
        Means of :func:`anscombe`.
    gain : float
        The value that one count has, above 0.

    Returns
    -------
    array of float32, same shape
        At least 0.
    """
    xp = backend_of(y).xp
    result = xp.empty(y.shape, dtype=xp.float32)
    for first, last in slab_ranges(y.shape):
        result[first:last] = _inverse(y[first:last], gain)
    return result


def gain_of(x: Array, /) -> float:
    """Return the value that one count has: variance over mean, from squares of four voxels in a plane.

    Of a square ``a b / c d`` the detail ``(a - b - c + d) / 2`` has the variance of a voxel; the median of
    its size over the root of the square's mean is taken, over squares of at least a tenth of the mean of
    what is above 0.

    Parameters
    ----------
    x : array of float32 (z, y, x)

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if there is no such square or no noise.
    """
    xp = backend_of(x).xp
    rows, columns = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    a, b = x[:, 0:rows:2, 0:columns:2], x[:, 0:rows:2, 1:columns:2]
    c, d = x[:, 1:rows:2, 0:columns:2], x[:, 1:rows:2, 1:columns:2]
    mean = 0.25 * (a + b + c + d)
    above = mean[mean > 0]
    if not above.size:
        raise Rejected("E_CONSTANT")
    counted = mean > 0.1 * float(above.mean(dtype=xp.float64))
    ratio = xp.abs(0.5 * (a - b - c + d))[counted] / xp.sqrt(mean[counted])
    found = (float(xp.median(ratio)) / MEDIAN_OF_NORMAL) ** 2
    if not found > 0:
        raise Rejected("E_CONSTANT")
    return found


def _inverse(y: Array, gain: float) -> Array:
    xp = backend_of(y).xp
    means, counts = _table()
    few = xp.interp(y.reshape(-1), xp.asarray(means), xp.asarray(counts)).reshape(y.shape)
    # where counts are many, their mean is this to a ten-thousandth of a count
    many = 0.25 * y.astype(xp.float64) ** 2 - 0.125
    result = xp.where(y > xp.float32(means[-1]), many, few) * gain
    return xp.where(xp.isnan(y), y, result)


@cache
def _table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means of transformed counts and the means of the counts, both rising."""
    # even in the root, so that small counts lie close
    means = np.linspace(0.0, math.sqrt(_TABLE_COUNTS), _ENTRIES) ** 2
    total = np.zeros_like(means)
    chance = np.exp(-means)
    for count in range(int(_TABLE_COUNTS + 12.0 * math.sqrt(_TABLE_COUNTS))):
        total += 2.0 * math.sqrt(count + 0.375) * chance
        chance = chance * means / (count + 1)
    return total, means
