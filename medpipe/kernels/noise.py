"""How much noise an image has, told from the image alone, once for a whole volume.

References
----------
Donoho and Johnstone, Biometrika 81 (1994) 425, doi:10.1093/biomet/81.3.425. Gudbjartsson and
Patz, Magn. Reson. Med. 34 (1995) 910, doi:10.1002/mrm.1910340618: in air a magnitude is
distributed as Rayleigh's, whose median is ``sigma sqrt(2 ln 2)``.
"""

from __future__ import annotations

import math

from medpipe.errors import Rejected
from medpipe.kernels.wavelet import finest_details
from medpipe.types import Array
from medpipe.xp import backend_of

MEDIAN_OF_NORMAL = 0.6744897501960817
"""Median of the absolute value of a standard normal variable."""

_ROUNDING = 2e-6
"""Details of a constant image, over its size, are less than this in float32."""

_WITHIN = 2.0
_MOST_ROUNDS = 50
_LEAST_SHARE = 0.01
_QUARTERS = (0.25, 0.75)


def detail_noise(x: Array, /) -> float:
    """Return the standard deviation of additive noise: the median size of the finest details over 0.6745.

    Parameters
    ----------
    x : array of float32 (z, y, x)

    Returns
    -------
    float
        In the unit of the image. Details of 0, but for rounding, do not count (they are background
        that was cut away), nor do those near a NaN. Noise whose neighbours go together, as interpolation and
        reconstruction leave it, is estimated too low.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if no detail is left.
    """
    xp = backend_of(x).xp
    sizes = xp.abs(finest_details(x)).reshape(-1)
    sizes = sizes[sizes > 0]
    if sizes.size:
        largest = max(float(xp.nanmax(x)), -float(xp.nanmin(x)))
        sizes = sizes[sizes > _ROUNDING * largest]
    if not sizes.size:
        raise Rejected("E_CONSTANT")
    return float(xp.median(sizes)) / MEDIAN_OF_NORMAL


def air_noise(x: Array, /) -> float | None:
    """Return the standard deviation, per channel, of the noise of a magnitude, told from the air in it.

    The air is the darkest population: from the median of what is above 0 the bound of two
    standard deviations is drawn in until it no longer moves. Voxels of exactly 0 do not count.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        Magnitudes.

    Returns
    -------
    float or None
        In the unit of the image. None if less than 1 % of the voxels are air, or if they are not
        distributed as noise in air is (quartiles within 10 %).
    """
    xp = backend_of(x).xp
    known = x[x > 0]
    if not known.size:
        return None
    air, bound = known, math.inf
    for _ in range(_MOST_ROUNDS):
        sigma = float(xp.median(air)) / _rayleigh(0.5, below=_WITHIN if math.isfinite(bound) else math.inf)
        if _WITHIN * sigma >= bound:
            break
        bound = _WITHIN * sigma
        air = air[air < bound]
        if air.size < _LEAST_SHARE * x.size:
            return None
    for share in _QUARTERS:
        expected = sigma * _rayleigh(share, below=_WITHIN)
        if abs(float(xp.percentile(air, 100.0 * share)) / expected - 1.0) > 0.1:
            return None
    return sigma


def magnitude_noise(x: Array, /) -> float:
    """Return the noise of a magnitude from the air in it, or from its details where there is no air.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if the image has no details at all.
    """
    from_air = air_noise(x)
    return detail_noise(x) if from_air is None else from_air


def _rayleigh(share: float, *, below: float) -> float:
    """Return what a share of Rayleigh's distribution (sigma 1) is under, cut off at a bound."""
    return math.sqrt(-2.0 * math.log(1.0 - share * (1.0 - math.exp(-0.5 * below**2))))
