"""What is not background: Otsu's threshold and the foreground of a volume without one."""

from __future__ import annotations

import numpy as np

from medpipe.errors import Rejected
from medpipe.kernels.bins import counted
from medpipe.kernels.components import fill_slice_holes, largest_component
from medpipe.kernels.intensity import varying
from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

BINS = 256
"""Bins of the histogram the threshold is found in."""


def otsu_threshold(values: Array, /) -> float:
    """Return the threshold that parts values into the two most distinct classes.

    Parameters
    ----------
    values : array of float32
        Finite values, not all equal.

    Returns
    -------
    float
        Centre of one of 256 bins from the least to the greatest value; voxels above it are
        foreground.

    Notes
    -----
    The bin that maximises ``w0 w1 (mean0 - mean1)^2`` (N. Otsu, IEEE Trans. SMC 9 (1979) 62-66,
    doi:10.1109/TSMC.1979.4310076). Histograms of blocks with common edges may be added.
    """
    counts, edges = counted(values, bins=BINS)
    return _otsu(to_numpy(counts).astype(np.float64), to_numpy(edges).astype(np.float64))


def clipped_otsu(x: Array, /, *, low: float, high: float) -> tuple[Array, float]:
    """Return an array clipped to two of its percentiles, and Otsu's threshold of that.

    Parameters
    ----------
    x : array of float32
        Voxels that are not finite do not count; NaN stays NaN.
    low, high : float
        Percentiles, in percent.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if the clipped values are all equal, ``EMPTY_ROI`` if none is finite.
    """
    xp = backend_of(x).xp
    values, floor, ceiling = clipped(varying(x, xp.ones(x.shape, dtype=bool)), low=low, high=high)
    threshold = otsu_threshold(values)
    del values
    return xp.clip(x, floor, ceiling), threshold


def clipped(values: Array, /, *, low: float, high: float) -> tuple[Array, float, float]:
    """Clip values to two of their percentiles, in place, and return them with both.

    Parameters
    ----------
    values : array of float32, one axis
        Finite; put in another order and written to.
    low, high : float
        Percentiles, in percent.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if both percentiles are equal.
    """
    xp = backend_of(values).xp
    floor, ceiling = (float(value) for value in xp.percentile(values, [low, high], overwrite_input=True))
    if not ceiling > floor:
        raise Rejected("E_CONSTANT")
    return xp.clip(values, floor, ceiling, out=values), floor, ceiling


def foreground(x: Array, /) -> Array:
    """Return the foreground of an image with a dark background, such as a magnitude MR.

    Parameters
    ----------
    x : array of float32 (z, y, x)

    Returns
    -------
    array of bool (z, y, x)
        Otsu's threshold on the volume clipped to its percentiles 1 and 99 and smoothed (sigma
        of one voxel), the largest component of that, holes filled slice by slice.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if the volume does not vary, ``EMPTY_ROI`` if nothing is finite.
    """
    backend = backend_of(x)
    xp = backend.xp
    known, _ = clipped_otsu(x, low=1.0, high=99.0)
    known[xp.isnan(known)] = float(xp.nanmin(known))
    smooth = backend.ndi.gaussian_filter(known, 1.0, mode="nearest", truncate=4.0)
    del known
    bright = smooth > otsu_threshold(smooth)
    del smooth
    return fill_slice_holes(largest_component(bright))


def _otsu(
    counts: np.ndarray[tuple[int], np.dtype[np.float64]], edges: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> float:
    centres = 0.5 * (edges[:-1] + edges[1:])
    weight_below = np.cumsum(counts)
    weight_above = np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / weight_below
    mean_above = (np.cumsum((counts * centres)[::-1]) / weight_above[::-1])[::-1]
    between = weight_below[:-1] * weight_above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[int(np.argmax(between))])
