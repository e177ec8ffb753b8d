"""How good an image is, told from the image alone: noise, contrast, sharpness, structure in the air.

References
----------
Atkinson et al., IEEE Trans. Med. Imaging 16 (1997) 903, doi:10.1109/42.650886 (entropy-focus).
Immerkær, Comput. Vis. Image Underst. 64 (1996) 300, doi:10.1006/cviu.1996.0060 (noise by a mask).
Mortamet et al., Magn. Reson. Med. 62 (2009) 365, doi:10.1002/mrm.21992 (structure in the air).
Forman et al., Magn. Reson. Med. 33 (1995) 636, doi:10.1002/mrm.1910330508 (smoothness).
Esteban et al., PLoS ONE 12 (2017) e0184661, doi:10.1371/journal.pone.0184661 (the measures together).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from medpipe.kernels.noise import MEDIAN_OF_NORMAL
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

RAYLEIGH_SPREAD = math.sqrt((4.0 - math.pi) / 2.0)
"""Standard deviation of the magnitude of noise, over that of the noise in each channel."""

STANDS_OUT = 4.0
"""Robust standard deviations above the median of the background from which a voxel may be structure."""

BLURRED_VOXELS = 2
"""Voxels around the foreground that are neither foreground nor background."""


class Spread(NamedTuple):
    """How the values of a part of an image are spread; ``sd`` is that of a population, ``mad`` the median's."""

    mean: float
    sd: float
    median: float
    mad: float
    p05: float
    p95: float


NO_SPREAD = Spread(*[math.nan] * 6)


class Sharpness(NamedTuple):
    """What differences between neighbours in a slice say: noise, and how sharp edges are."""

    noise: float
    laplacian_var: float
    gradient_mean: float


def spread(values: Array, /) -> Spread:
    """Return how values are spread.

    Parameters
    ----------
    values : array of float32, one axis
        Finite. May be put in another order and written to.

    Returns
    -------
    Spread
        All NaN without values.
    """
    if not values.size:
        return NO_SPREAD
    xp = backend_of(values).xp
    mean = float(values.mean(dtype=xp.float64))
    sd = math.sqrt(max(float(xp.square(values - xp.float32(mean)).mean(dtype=xp.float64)), 0.0))
    if float(values.min()) == float(values.max()):
        sd = 0.0
    p05, median, p95 = (float(value) for value in xp.percentile(values, [5.0, 50.0, 95.0], overwrite_input=True))
    values -= xp.float32(median)
    mad = float(xp.median(xp.abs(values, out=values), overwrite_input=True))
    return Spread(mean=mean, sd=sd, median=median, mad=mad, p05=p05, p95=p95)


def end_shares(frames: Array, /, *, left_out: Array | None) -> tuple[float, float]:
    """Return the shares of values that equal the least and the greatest one.

    Parameters
    ----------
    frames : array (t, z, y, x)
        Values that are not finite do not count.
    left_out : array of bool (z, y, x) or None
        Voxels that do not count either.

    Returns
    -------
    (float, float)
        NaN without values.
    """
    xp = backend_of(frames).xp
    ends = [(math.inf, 0), (math.inf, 0)]
    count = 0
    for frame in frames:
        counts = xp.isfinite(frame) if left_out is None else xp.isfinite(frame) & ~left_out
        values = frame[counts]
        del counts
        count += values.size
        if values.size:
            ends = [_more_extreme(end, sign, values) for end, sign in zip(ends, (1, -1), strict=True)]
    return (ends[0][1] / count, ends[1][1] / count) if count else (math.nan, math.nan)


def sharpness(x: Array, /) -> Sharpness:
    """Return what differences between neighbours within slices say.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        NaN where nothing is known: what would need such a pixel does not count.

    Returns
    -------
    Sharpness
        ``noise`` is Immerkær's estimate: the mean size of the difference of two Laplacians. Then the
        variance of the Laplacian (four neighbours) and the mean size of the gradient (central
        differences), per pixel. NaN where a slice has fewer than 3 rows or columns.
    """
    xp = backend_of(x).xp
    count, masked, total, squares, slopes = 0, 0.0, 0.0, 0.0, 0.0
    for plane in x:
        wide = plane.astype(xp.float64)
        middle, up, down = wide[1:-1, 1:-1], wide[:-2, 1:-1], wide[2:, 1:-1]
        left, right = wide[1:-1, :-2], wide[1:-1, 2:]
        cross = up + down + left + right
        laplacian = cross - 4.0 * middle
        corners = wide[:-2, :-2] + wide[:-2, 2:] + wide[2:, :-2] + wide[2:, 2:]
        known = xp.isfinite(corners - laplacian)
        laplacian = laplacian[known]
        count += laplacian.size
        masked += float(xp.abs((corners - 2.0 * cross + 4.0 * middle)[known]).sum())
        total += float(laplacian.sum())
        squares += float(xp.square(laplacian).sum())
        slopes += float(xp.hypot(down - up, right - left)[known].sum()) / 2.0
    if not count:
        return Sharpness(math.nan, math.nan, math.nan)
    return Sharpness(
        noise=math.sqrt(math.pi / 2.0) / 6.0 * masked / count,
        laplacian_var=max(squares / count - (total / count) ** 2, 0.0),
        gradient_mean=slopes / count,
    )


def entropy_focus(x: Array, /) -> float:
    """Return the entropy of how an image's energy is shared out, over that of an even image.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        NaN where nothing is known. Where a value is below 0, all count from the least one.

    Returns
    -------
    float
        0 if all energy is in one voxel, 1 if all voxels are equal; NaN if there is no energy, or
        only one voxel. Ghosts and blur of motion raise it.
    """
    xp = backend_of(x).xp
    floor = min(float(xp.nanmin(x)), 0.0)
    count, energy = 0, 0.0
    for plane in x:
        values = plane[xp.isfinite(plane)].astype(xp.float64) - floor
        count += values.size
        energy += float(xp.square(values).sum())
    if count < 2 or not energy > 0.0:
        return math.nan
    whole, entropy = math.sqrt(energy), 0.0
    for plane in x:
        shares = (plane[xp.isfinite(plane)].astype(xp.float64) - floor) / whole
        entropy -= float((shares * xp.log(xp.where(shares > 0.0, shares, 1.0))).sum())
    return min(max(entropy / (math.sqrt(count) * math.log(math.sqrt(count))), 0.0), 1.0)


def background(known: Array, inside: Array, /) -> Array:
    """Return the known voxels more than two steps away from the foreground.

    Parameters
    ----------
    known, inside : array of bool (z, y, x)
    """
    backend = backend_of(known)
    # CuPy repeats itself by force only; SciPy then takes longer
    by_force = is_cupy(inside)
    around = backend.ndi.binary_dilation(inside, iterations=BLURRED_VOXELS, brute_force=by_force)
    return known & ~around


def structure_share(x: Array, air: Array, /, *, median: float, mad: float) -> float:
    """Return the share of a background that stands out from it in patches: ghosts, wrapped parts, objects.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    air : array of bool (z, y, x)
        The background.
    median, mad : float
        Of its values.

    Returns
    -------
    float
        Voxels more than :data:`STANDS_OUT` robust standard deviations above the median that a cross of
        five pixels of a slice fits among; NaN without a background.
    """
    backend = backend_of(x)
    xp = backend.xp
    size = int(air.sum())
    if not size:
        return math.nan
    bright = air & (x > xp.float32(median + STANDS_OUT * mad / MEDIAN_OF_NORMAL))
    cross = xp.asarray([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], dtype=bool)
    return int(backend.ndi.binary_opening(bright, structure=cross).sum()) / size


def smoothness(x: Array, inside: Array, /, *, variance: float, axis: int) -> float:
    """Return the width at half height, in voxels, of the blur that noise of such smoothness has gone through.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    inside : array of bool (z, y, x)
    variance : float
        Of the values inside.
    axis : int

    Returns
    -------
    float
        0 where neighbours do not go together; NaN without a pair of neighbours inside, or where
        nothing varies.
    """
    xp = backend_of(x).xp
    if not variance > 0.0:
        return math.nan
    count, total, squares = 0, 0.0, 0.0
    for low, high in _pairs(x, inside, axis):
        both = low[1] & high[1]
        steps = high[0][both].astype(xp.float64) - low[0][both]
        count += steps.size
        total += float(steps.sum())
        squares += float(xp.square(steps).sum())
    if not count:
        return math.nan
    together = 1.0 - max(squares / count - (total / count) ** 2, 0.0) / (2.0 * variance)
    if together <= 0.0:
        return 0.0
    return math.sqrt(-2.0 * math.log(2.0) / math.log(together)) if together < 1.0 else math.nan


def steadiness(frames: Array, mean: Array, inside: Array, /) -> float:
    """Return the median over the foreground of a voxel's mean in time over its standard deviation.

    Parameters
    ----------
    frames : array (t, z, y, x)
    mean : array of float32 (z, y, x)
        Over time.
    inside : array of bool (z, y, x)

    Returns
    -------
    float
        NaN where no voxel of the foreground varies.
    """
    xp = backend_of(frames).xp
    level = mean[inside].astype(xp.float64)
    squares = xp.zeros_like(level)
    for frame in frames:
        squares += xp.square(frame[inside] - level)
    varies = squares > 0.0
    if not bool(varies.any()):
        return math.nan
    ratio = level[varies] / xp.sqrt(squares[varies] / len(frames))
    return float(xp.median(ratio))


def _more_extreme(end: tuple[float, int], sign: int, values: Array) -> tuple[float, int]:
    """Return the least of values (the greatest, by its negative, for -1) and how often it was seen so far."""
    found = values.min() if sign > 0 else values.max()
    least, seen = end
    signed = sign * float(found)
    if signed > least:
        return end
    return signed, int((values == found).sum()) + (seen if signed == least else 0)


def _pairs(x: Array, inside: Array, axis: int) -> list[tuple[tuple[Array, Array], tuple[Array, Array]]]:
    """Return neighbours along an axis, a plane at a time: values and mask of the one and of the other."""
    if axis == 0:
        planes = list(zip(x, inside, strict=True))
        return list(pairwise(planes))
    first, last = (slice(None, -1), slice(1, None))
    low, high = ((first,), (last,)) if axis == 1 else ((slice(None), first), (slice(None), last))
    return [((plane[low], mask[low]), (plane[high], mask[high])) for plane, mask in zip(x, inside, strict=True)]
