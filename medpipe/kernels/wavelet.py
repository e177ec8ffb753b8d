"""The wavelet transform of Daubechies with two vanishing moments, and shrinking of its details.

Filters of four taps, every second value kept, one axis after the other; beyond the border the
image is mirrored, the edge voxel twice. Plain array arithmetic, so it runs where the array is.

References
----------
Chang, Yu and Vetterli, IEEE Trans. Image Process. 9 (2000) 1532, doi:10.1109/83.862633: the
threshold of a band is ``sigma^2 / sqrt(var - sigma^2)``, soft.
"""

from __future__ import annotations

import math

import numpy as np

from medpipe.types import Array
from medpipe.xp import backend_of

_ROOT = math.sqrt(3.0)
LOW = tuple(tap / (4.0 * math.sqrt(2.0)) for tap in (1.0 - _ROOT, 3.0 - _ROOT, 3.0 + _ROOT, 1.0 + _ROOT))
"""Taps of the filter that keeps what is smooth."""

HIGH = (-LOW[3], LOW[2], -LOW[1], LOW[0])
"""Taps of the filter that keeps the details."""


def finest_details(x: Array, /) -> Array:
    """Return what is detail along every axis that has more than one voxel, at the finest level.

    Parameters
    ----------
    x : array of float32 (z, y, x)

    Returns
    -------
    array of float32
        About half as many voxels along each axis.
    """
    for axis, n in enumerate(x.shape):
        if n > 1:
            x = _filtered(_mirrored(x, axis), axis, HIGH)
    return x


def bayes_shrink(x: Array, /, *, sigma: float, levels: int) -> Array:
    """Return an image whose details are shrunk as far as noise explains them.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        Without NaN.
    sigma : float
        Standard deviation of the noise, above 0.
    levels : int
        How often what is smooth is taken apart again.

    Returns
    -------
    array of float32 (z, y, x)
    """
    axes = tuple(axis for axis, n in enumerate(x.shape) if n > 1)
    return _shrunk(x, axes, axes, sigma * sigma, levels, is_detail=False)


def usual_levels(shape: tuple[int, ...], /) -> int:
    """Return three levels less than the shortest axis allows, but at least one."""
    shortest = min((n for n in shape if n > 1), default=1)
    return max(int(math.log2(max(shortest / (len(LOW) - 1), 1.0))) - 3, 1)


def _shrunk(
    x: Array, axes: tuple[int, ...], left: tuple[int, ...], variance: float, levels: int, *, is_detail: bool
) -> Array:
    """Take a band apart along the axes that are left, shrink the details, and put it together again."""
    if not left:
        if is_detail:
            return _soft(x, variance)
        return _shrunk(x, axes, axes, variance, levels - 1, is_detail=False) if levels > 1 and axes else x
    axis, n = left[0], x.shape[left[0]]
    wide = _mirrored(x, axis)
    low, high = _filtered(wide, axis, LOW), _filtered(wide, axis, HIGH)
    del wide, x
    low = _shrunk(low, axes, left[1:], variance, levels, is_detail=is_detail)
    high = _shrunk(high, axes, left[1:], variance, levels, is_detail=True)
    return _merged(low, high, axis, n)


def _soft(details: Array, variance: float) -> Array:
    xp = backend_of(details).xp
    power = float(xp.mean(details * details, dtype=xp.float64))
    threshold = variance / math.sqrt(max(power - variance, float(np.finfo(np.float32).eps)))
    size = xp.abs(details)
    size -= xp.float32(threshold)
    return xp.copysign(xp.maximum(size, 0, out=size), details)


def _mirrored(x: Array, axis: int) -> Array:
    return backend_of(x).xp.pad(x, [(2, 3) if place == axis else (0, 0) for place in range(x.ndim)], mode="symmetric")


def _filtered(wide: Array, axis: int, taps: tuple[float, ...]) -> Array:
    """Return sum_j taps[j] x[2 k + 1 - j] of an image that was widened by 2 and 3 voxels."""
    xp = backend_of(wide).xp
    count = (wide.shape[axis] - 2) // 2
    result = None
    for tap, weight in enumerate(taps):
        first = 3 - tap
        part = wide[_along(wide.ndim, axis, slice(first, first + 2 * count - 1, 2))] * xp.float32(weight)
        result = part if result is None else xp.add(result, part, out=result)
    return result


def _merged(low: Array, high: Array, axis: int, n: int) -> Array:
    xp = backend_of(low).xp
    count = low.shape[axis]
    shape = list(low.shape)
    shape[axis] = 2 * (count - 1)
    result = xp.zeros(shape, dtype=xp.float32)
    for band, taps in ((low, LOW), (high, HIGH)):
        for odd in (0, 1):
            part = result[_along(low.ndim, axis, slice(odd, None, 2))]
            # the filters of the way back are those of the way there, turned round
            part += band[_along(low.ndim, axis, slice(0, count - 1))] * xp.float32(taps[1 - odd])
            part += band[_along(low.ndim, axis, slice(1, count))] * xp.float32(taps[3 - odd])
    return result[_along(low.ndim, axis, slice(0, n))]


def _along(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if place == axis else slice(None) for place in range(ndim))
