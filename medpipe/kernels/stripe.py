"""WhiteStripe: white matter found as a peak of the histogram, and what lies around it as the scale.

References
----------
R. T. Shinohara et al., NeuroImage Clin. 6 (2014) 9-19, doi:10.1016/j.nicl.2014.08.008.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from medpipe.errors import Rejected
from medpipe.kernels.bins import centred
from medpipe.kernels.intensity import varying
from medpipe.types import Array
from medpipe.xp import backend_of

Peak = Literal["last", "largest", "first"]

GRID = 80
"""Points at which the density of the intensities is estimated."""

_REACH = 3.0
_FINE = 64
_TAILS = {"last": 96.0, "largest": 100.0, "first": 99.0}

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def density(values: Array, /) -> tuple[Floats, Floats]:
    """Estimate the density of intensities with a Gaussian kernel.

    Parameters
    ----------
    values : array of float32, one axis
        Finite, not all equal.

    Returns
    -------
    grid, density : arrays of float64 of 80 numbers, on the host
        The kernel's standard deviation is 1/80 of the greatest magnitude; the grid goes three of
        them beyond the values. Values are first counted in bins of 1/64 of a step of the grid.
    """
    low, high = float(values.min()), float(values.max())
    width = max(abs(low), abs(high)) / GRID
    grid = np.linspace(low - _REACH * width, high + _REACH * width, GRID)
    fine = math.ceil((high - low) / (grid[1] - grid[0]) * _FINE)
    weights, centres = centred(values, bins=max(fine, _FINE))
    kernel = np.exp(-0.5 * ((grid[:, None] - centres) / width) ** 2)
    return grid, kernel @ weights / (weights.sum() * width * math.sqrt(2.0 * math.pi))


def peak(values: Array, /, *, which: Peak) -> float:
    """Return the intensity of a peak of the density.

    Parameters
    ----------
    values : array of float32, one axis
        Finite, not all equal.
    which : {"last", "largest", "first"}
        The last one of values up to their percentile 96 (white matter in T1), the largest one
        (T2, FLAIR), or the first one up to percentile 99 (PD).
    """
    xp = backend_of(values).xp
    if _TAILS[which] < 100.0:
        values = values[values <= xp.percentile(values, _TAILS[which])]
        if float(values.min()) == float(values.max()):
            raise Rejected("E_CONSTANT")
    grid, height = density(values)
    # the density falls to both ends of its grid, so that the greatest point lies between others
    inner = np.flatnonzero((height[1:-1] > height[:-2]) & (height[1:-1] >= height[2:])) + 1
    if which == "largest" or inner.size == 0:
        return float(grid[int(np.argmax(height))])
    return float(grid[inner[-1 if which == "last" else 0]])


def white_stripe(x: Array, mask: Array, /, *, which: Peak, half_width: float) -> Array:
    """Return ``(x - mean) / sd`` with both over the voxels whose rank is near that of a peak.

    Parameters
    ----------
    x : array of float32
    mask : array of bool, same shape
        The brain; voxels that are not finite do not count.
    which : {"last", "largest", "first"}
        See :func:`peak`.
    half_width : float
        Share of the voxels to each side of the peak's rank.

    Returns
    -------
    array of float32, same shape

    Raises
    ------
    Rejected
        ``EMPTY_ROI`` if nothing finite lies in the mask, ``E_CONSTANT`` if it, or the stripe, is
        constant.
    """
    xp = backend_of(x).xp
    values = varying(x, mask)
    rank = float((values < peak(values, which=which)).mean())
    low, high = (float(end) for end in xp.quantile(values, [max(rank - half_width, 0.0), min(rank + half_width, 1.0)]))
    stripe = values[(values >= low) & (values <= high)]
    if stripe.size == 0 or float(stripe.min()) == float(stripe.max()):
        raise Rejected("E_CONSTANT")
    stripe = stripe.astype(xp.float64)
    mean, deviation = float(stripe.mean()), float(stripe.std())
    result = x - xp.float32(mean)
    result /= xp.float32(deviation)
    return result
