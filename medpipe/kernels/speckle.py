"""Speckle, noise in proportion to the signal: Lee's filter and speckle-reducing anisotropic diffusion.

References
----------
Lee, IEEE Trans. Pattern Anal. 2 (1980) 165, doi:10.1109/TPAMI.1980.4766994. Yu and Acton, IEEE
Trans. Image Process. 11 (2002) 1260, doi:10.1109/TIP.2002.804276.
"""

from __future__ import annotations

import math

import numpy as np

from medpipe.errors import Rejected
from medpipe.kernels.noise import detail_noise
from medpipe.kernels.slabs import along, edged, moved, slab_ranges, window_sums
from medpipe.types import Array
from medpipe.xp import backend_of

_LEAST_SQUARE = 1e-30
"""Squares below it count as it: what is divided by them stays a number in float32."""


def speckle_of(x: Array, /) -> float:
    """Return the coefficient of variation of the speckle: the detail noise of the logarithm.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        Voxels that are not above 0 do not count, nor do details near them.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if nothing varies.
    """
    xp = backend_of(x).xp
    found = detail_noise(xp.log(xp.where(x > 0, x, xp.float32(math.nan))))
    return math.sqrt(math.expm1(found * found))


def lee(x: Array, /, *, size: int, speckle: float) -> Array:
    """Return ``m + w (x - m)`` with ``w = max(0, 1 - speckle^2 / C^2)`` and C = s / m of the window.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    size : int
        Edge of the window, odd; along an axis of one voxel it is one voxel.
    speckle : float
        Coefficient of variation of the noise.

    Returns
    -------
    array of float32 (z, y, x)
        Beyond the border the edge voxel goes on. NaN wherever the window holds a NaN.
    """
    xp = backend_of(x).xp
    half = size // 2
    result = xp.empty(x.shape, dtype=xp.float32)
    halves = [half if n > 1 else 0 for n in x.shape]
    for first, last in slab_ranges(x.shape):
        slab = edged(x, first, last, border=half)
        slab = slab[tuple(slice(half - h, n - half + h) for h, n in zip(halves, slab.shape, strict=True))]
        mean = _window_mean(slab.astype(xp.float64), halves)
        power = _window_mean(slab.astype(xp.float64) ** 2, halves)
        own = x[first:last].astype(xp.float64)
        variance = xp.maximum(power - mean * mean, 0.0)
        # w without a division by a mean or a variance of 0
        noise = (speckle * mean) ** 2
        rest = xp.maximum(variance - noise, 0.0)
        weight = rest / xp.where(variance > 0, variance, 1.0)
        result[first:last] = mean + weight * (own - mean)
    return result


def _window_mean(x: Array, halves: list[int]) -> Array:
    for axis, half in enumerate(halves):
        x = window_sums(x, axis, 2 * half + 1) / (2 * half + 1)
    return x


def srad(x: Array, /, *, speckle: float, decay: float, iterations: int, step: float) -> Array:
    """Return an image after some steps of speckle-reducing diffusion.

    ``q^2``, the local coefficient of variation, is told from the differences to the neighbours; what
    flows is scaled by ``1 / (1 + (q^2 - q0^2) / (q0^2 (1 + q0^2)))``, held to [0, 1], with
    ``q0 = speckle exp(-decay t)``. Voxels count as cubes; along an axis of one voxel nothing flows.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        At least 0.
    speckle : float
        Coefficient of variation of the noise before the first step.
    decay : float
        How fast it falls, per unit of time.
    iterations : int
        Steps; the result at a voxel depends on voxels up to twice as many away.
    step : float
        Length of a step in time.

    Returns
    -------
    array of float32 (z, y, x)
    """
    xp = backend_of(x).xp
    axes = [axis for axis, n in enumerate(x.shape) if n > 1]
    before, after = x, xp.empty(x.shape, dtype=xp.float32)
    for done in range(iterations):
        q0 = speckle * math.exp(-decay * done * step)
        for first, last in slab_ranges(x.shape):
            slab = edged(before, first, last, border=2)
            own = moved(slab, (0, 0, 0), border=2)
            flows = _speckle_conductance(slab, axes, max(q0 * q0, _LEAST_SQUARE))
            change = xp.zeros(own.shape, dtype=xp.float32)
            # of each pair of voxels the one further on tells how much flows
            for axis in axes:
                ahead, behind = along(axis, 1), along(axis, -1)
                change += moved(flows, ahead) * (moved(slab, ahead, border=2) - own)
                change += moved(flows, (0, 0, 0)) * (moved(slab, behind, border=2) - own)
            after[first:last] = own + change * xp.float32(step / (2 * max(len(axes), 1)))
        before, after = after, xp.empty(x.shape, dtype=xp.float32) if before is x else before
    return before


def _speckle_conductance(slab: Array, axes: list[int], q0_squared: float) -> Array:
    """Return how freely values flow, on a slab with a border of one voxel less."""
    xp = backend_of(slab).xp
    own = moved(slab, (0, 0, 0))
    squares, total = xp.zeros(own.shape, dtype=xp.float32), xp.zeros(own.shape, dtype=xp.float32)
    neighbours = 2 * max(len(axes), 1)
    for axis in axes:
        for side in (-1, 1):
            difference = moved(slab, along(axis, side)) - own
            squares += difference * difference
            total += difference
    # both sides of the fraction times the square of the voxel, so that a voxel of 0 is no exception
    mean = own + total * xp.float32(1.0 / neighbours)
    varied = squares * xp.float32(2.0 / neighbours) - (total * xp.float32(1.0 / neighbours)) ** 2
    # the square of a small mean can be 0 in float32, and nothing that varies may be too much
    with np.errstate(over="ignore"):
        q_squared = varied / xp.maximum(mean * mean, xp.float32(_LEAST_SQUARE))
    q_squared = xp.where(mean > 0, q_squared, xp.float32(0.0))
    q_squared = xp.where(xp.isnan(mean), mean, q_squared)
    with np.errstate(divide="ignore"):
        return xp.clip(1.0 / (1.0 + (q_squared - q0_squared) / (q0_squared * (1.0 + q0_squared))), 0.0, 1.0)


def refuse_negative(x: Array, /) -> None:
    """Refuse an image with values below 0.

    Raises
    ------
    Rejected
        ``E_NEGATIVE``
    """
    if bool((x < 0).any()):
        raise Rejected("E_NEGATIVE")
