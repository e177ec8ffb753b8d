"""Intensity statistics of a region (IBSI family UHIW)."""

from __future__ import annotations

import math

from medpipe.types import Array
from medpipe.xp import backend_of

NAMES = (
    "mean", "var", "skew", "kurt", "median", "min", "p10", "p90", "max",
    "iqr", "range", "mad", "rmad", "medad", "cov", "qcod", "energy", "rms",
)  # fmt: skip
"""Keys of :func:`intensity_statistics`, in the order of the standard."""


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
    xp = backend_of(values).xp
    x = values.astype(xp.float64, copy=False)
    low, p10, p25, median, p75, p90, high = (
        float(point) for point in xp.percentile(x, xp.asarray([0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 100.0]))
    )
    # The mean of equal numbers may differ from them in the last bit, which would make a
    # skewness out of rounding.
    mean = low if low == high else float(x.mean())
    deviation = x - mean
    variance = float((deviation**2).mean())
    energy = float((x**2).sum())
    robust = x[(x >= p10) & (x <= p90)]
    return {
        "mean": mean,
        "var": variance,
        "skew": _standardised(float((deviation**3).mean()), variance, 1.5),
        "kurt": _standardised(float((deviation**4).mean()), variance, 2.0) - (3.0 if variance > 0.0 else 0.0),
        "median": median,
        "min": low,
        "p10": p10,
        "p90": p90,
        "max": high,
        "iqr": p75 - p25,
        "range": high - low,
        "mad": float(abs(deviation).mean()),
        "rmad": float(abs(robust - robust.mean()).mean()) if robust.size else math.nan,
        "medad": float(abs(x - median).mean()),
        "cov": math.sqrt(variance) / mean if mean != 0.0 else math.nan,
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 != 0.0 else math.nan,
        "energy": energy,
        "rms": math.sqrt(energy / x.size),
    }


def _standardised(moment: float, variance: float, power: float) -> float:
    # A variance that underflows to a power of 0 has no shape left to speak of.
    scale = variance**power
    return moment / scale if scale > 0.0 else 0.0
