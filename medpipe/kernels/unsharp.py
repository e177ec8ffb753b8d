"""Unsharp masking: what a Gaussian window smooths away, added again."""

from __future__ import annotations

from medpipe.kernels.gaussian import gaussian
from medpipe.types import Array
from medpipe.xp import backend_of


def unsharp(x: Array, /, *, sigma_mm: float, amount: float, spacing_mm: tuple[float, float, float]) -> Array:
    """Return ``x + amount (x - smoothed x)``.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    sigma_mm : float
        Standard deviation of the Gaussian window, mm.
    amount : float
        How much of the difference is added.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of float32 (z, y, x)
        Not limited to the range of the input. A missing voxel (NaN) is missing in what its window reaches.
    """
    xp = backend_of(x).xp
    result = gaussian(x, sigma_mm=sigma_mm, spacing_mm=spacing_mm)
    xp.subtract(x, result, out=result)
    result *= xp.float32(amount)
    result += x
    return result
