"""Intensities onto a standard through landmarks: piecewise linear (Nyul and Udupa), and histogram matching.

References
----------
L. G. Nyul, J. K. Udupa, X. Zhang, IEEE Trans. Med. Imaging 19 (2000) 143-150, doi:10.1109/42.836373;
M. Shah et al., Med. Image Anal. 15 (2011) 267-282, doi:10.1016/j.media.2010.12.003 (deciles).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medpipe.errors import Rejected
from medpipe.kernels.intensity import varying
from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def landmarks(x: Array, mask: Array, /, *, percentiles: Sequence[float]) -> Floats:
    """Return percentiles of an image over a mask.

    Parameters
    ----------
    x : array of float32
    mask : array of bool, same shape
        Voxels that are not finite do not count.
    percentiles : sequence of float
        In percent.

    Returns
    -------
    array of float64, on the host
        Interpolated linearly between the sorted values.

    Raises
    ------
    Rejected
        ``EMPTY_ROI`` if nothing finite lies in the mask, ``E_CONSTANT`` if all of it is equal.
    """
    xp = backend_of(x).xp
    found = xp.percentile(varying(x, mask), list(percentiles))
    return to_numpy(found).astype(np.float64)


def distinct(own: Sequence[float] | Floats, standard: Sequence[float]) -> tuple[Floats, Floats]:
    """Return pairs of landmarks whose own values rise strictly; of equal ones the mean of the standard counts.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if fewer than two are left.
    """
    values, places = np.unique(np.asarray(own, np.float64), return_inverse=True)
    if values.size < 2:
        raise Rejected("E_CONSTANT")
    sums = np.bincount(places.reshape(-1), weights=np.asarray(standard, np.float64))
    return values, sums / np.bincount(places.reshape(-1))


def standardize(x: Array, /, *, own: Sequence[float] | Floats, standard: Sequence[float]) -> Array:
    """Map landmarks of an image to those of a standard, and what lies between linearly.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    own : sequence or array of float
        Landmarks of the image, rising.
    standard : sequence of float
        What they become.

    Returns
    -------
    array of float32, same shape
        Beyond the outer landmarks the outer segments go on. NaN stays NaN.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if fewer than two landmarks of the image differ, or some by less than float32 can scale.
    """
    xp = backend_of(x).xp
    values, targets = distinct(own, standard)
    slopes = np.diff(targets) / np.diff(values)
    if slopes.max() > np.finfo(np.float32).max:
        raise Rejected("E_CONSTANT")
    origin, rise, start = (xp.asarray(part.astype(np.float32)) for part in (values[:-1], slopes, targets[:-1]))
    edges = origin[1:]
    result = xp.empty(x.shape, dtype=xp.float32)
    # plane by plane: the segments' numbers take eight bytes a voxel
    for place in range(len(x)):
        segment = xp.searchsorted(edges, x[place].reshape(-1), side="right").reshape(x[place].shape)
        result[place] = (x[place] - origin[segment]) * rise[segment] + start[segment]
    return result


def matched(x: Array, mask: Array, /, *, shares: Sequence[float], values: Sequence[float]) -> Array:
    """Give an image the histogram of a reference: each value becomes the reference's of the same rank.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    mask : array of bool, same shape
        Where ranks are taken; voxels that are not finite do not count.
    shares : sequence of float
        Rising shares (0 to 1) of the reference's voxels that are at most ...
    values : sequence of float
        ... these values.

    Returns
    -------
    array of float32, same shape
        ``Q(F(x))`` with the image's distribution F and the reference's quantiles Q; of values
        that are not in the mask F is interpolated. NaN stays NaN.

    Raises
    ------
    Rejected
        ``EMPTY_ROI`` if nothing finite lies in the mask, ``E_CONSTANT`` if all of it is equal.
    """
    xp = backend_of(x).xp
    own, counts = xp.unique(varying(x, mask), return_counts=True)
    ranks = xp.cumsum(counts) / counts.sum()
    targets = xp.interp(ranks, xp.asarray(np.asarray(shares, np.float64)), xp.asarray(np.asarray(values, np.float64)))
    result = xp.empty(x.shape, dtype=xp.float32)
    for place in range(len(x)):
        result[place] = xp.interp(x[place], own, targets)
    return result
