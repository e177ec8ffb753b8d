"""Intensity statistics of a region (IBSI family UHIW)."""

from __future__ import annotations

import math

import numpy as np

from medpipe.kernels.powers import cubes, fourths
from medpipe.kernels.sums import mean_of, sum_of
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy, to_numpy

NAMES = (
    "mean", "var", "skew", "kurt", "median", "min", "p10", "p90", "max",
    "iqr", "range", "mad", "rmad", "medad", "cov", "qcod", "energy", "rms",
)  # fmt: skip
"""Keys of :func:`intensity_statistics`, in the order of the standard."""

_PERCENTS = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 100.0)


def intensity_statistics(values: Array, /) -> dict[str, float]:
    """Return the 18 statistics of the intensities of a region.

    Moments are population moments (divided by N), kurtosis is the excess over the normal
    distribution, percentiles interpolate linearly between order statistics. Where all values
    are equal, variance, skewness, kurtosis and coefficient of variation are 0.

    Parameters
    ----------
    values : array of shape (n,), n >= 1
        Intensities of the region's voxels; reduced in float64.

    Returns
    -------
    dict of str to float
        One value for each of :data:`NAMES`; NaN where a denominator is 0.

    Notes
    -----
    IBSI reference manual, chapter "Intensity-based statistical features"
    (doi:10.1148/radiol.2020191145); codes Q4LE to 5ZWQ.
    """
    low, p10, p25, median, p75, p90, high = _percentiles(values)
    # The mean of equal numbers may differ from them in the last bit, which would make a
    # skewness out of rounding.
    mean = low if low == high else mean_of(values)
    variance = mean_of(values, lambda x: (x - mean) ** 2)
    energy = sum_of(values, lambda x: x**2)
    third, fourth = (_cube, _fourth) if is_cupy(values) else (cubes, fourths)
    # wide limits: beside a narrow array a plain number is as narrow as the array
    robust = values[(values >= np.float64(p10)) & (values <= np.float64(p90))]
    return {
        "mean": mean,
        "var": variance,
        "skew": _standardised(mean_of(values, lambda x: third(x - mean)), variance, 1.5),
        "kurt": _standardised(mean_of(values, lambda x: fourth(x - mean)), variance, 2.0) - (variance > 0.0) * 3.0,
        "median": median,
        "min": low,
        "p10": p10,
        "p90": p90,
        "max": high,
        "iqr": p75 - p25,
        "range": high - low,
        "mad": _deviation(values, mean),
        "rmad": _deviation(robust, mean_of(robust)) if robust.size else math.nan,
        "medad": _deviation(values, median),
        "cov": math.sqrt(variance) / mean if mean != 0.0 else math.nan,
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 != 0.0 else math.nan,
        "energy": energy,
        "rms": math.sqrt(energy / values.size),
    }


def _percentiles(values: Array) -> list[float]:
    """Return the percentiles, linear between order statistics; sorting is quicker than parting seven times."""
    xp = backend_of(values).xp
    ordered = xp.sort(values)
    places = (values.size - 1) * (np.asarray(_PERCENTS) / 100.0)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, values.size - 1)
    a, b = (to_numpy(ordered[xp.asarray(side)]).astype(np.float64) for side in (below, above))
    share, gap = places - below, b - a
    # from the nearer end, as NumPy does it: the last of equal numbers is then never passed
    points: list[float] = np.where(share >= 0.5, b - gap * (1.0 - share), a + gap * share).tolist()
    if 0.0 in points and xp is np:
        # of zeros of both signs, as rounding leaves them, the parting says which one it is
        del ordered
        points = np.percentile(values.astype(np.float64), _PERCENTS, overwrite_input=True).tolist()
    return points


def _deviation(values: Array, centre: float) -> float:
    return mean_of(values, lambda x: abs(x - centre))


def _cube(x: Array) -> Array:
    return x**3


def _fourth(x: Array) -> Array:
    return x**4


def _standardised(moment: float, variance: float, power: float) -> float:
    # A variance that underflows to a power of 0 has no shape left to speak of.
    scale = variance**power
    return moment / scale if scale > 0.0 else 0.0
