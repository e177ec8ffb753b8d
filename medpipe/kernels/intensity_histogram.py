"""Intensity histogram of a region (IBSI family ZVCW)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import Rejected
from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

NAMES = (
    "mean", "var", "skew", "kurt", "median", "min", "p10", "p90", "max", "mode", "iqr", "range",
    "mad", "rmad", "medad", "cov", "qcod", "entropy", "uniformity",
    "max_grad", "max_grad_g", "min_grad", "min_grad_g",
)  # fmt: skip
"""Keys of :func:`histogram_features`, in the order of the standard."""

_BLOCK = 1 << 20
"""Levels that are counted at a time."""

MOST_LEVELS = 1 << 17
"""Highest level of which a histogram is made: each bin takes about 75 bytes."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def histogram_features(levels: Array, /) -> dict[str, float]:
    """Return the 23 features of the histogram of a region's grey levels.

    Parameters
    ----------
    levels : array of int, shape (n,), n >= 1
        Grey levels from 1. The histogram has a bin for each level from 1 to the highest, those
        that are absent too.

    Returns
    -------
    dict of str to float
        One value for each of :data:`NAMES`; NaN where a denominator is 0.

    Raises
    ------
    Rejected
        ``E_LEVELS`` if a level is above :data:`MOST_LEVELS`.

    Notes
    -----
    All numbers come from the counts, so that a large region is looked at once. Of several modes
    the one nearest to the mean counts, of two equally near the lower. Gradients are central
    differences, one-sided at both ends, and 0 for a single bin. IBSI codes X6K6 to RHQZ.
    """
    counts = _counted(levels)
    places = np.arange(1, counts.size + 1, dtype=np.float64)
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1])
    share = counts / total
    mean = float(share @ places)
    p10, p25, median, p75, p90 = (_percentile(cumulative, percent) for percent in (10, 25, 50, 75, 90))
    present = np.flatnonzero(counts) + 1
    low, high = float(present[0]), float(present[-1])
    if low == high:
        mean = low
    deviation = places - mean
    variance = float(share @ deviation**2)
    skew, kurt = 0.0, 0.0
    if variance > 0.0:
        skew = float(share @ deviation**3) / variance**1.5
        kurt = float(share @ deviation**4) / variance**2 - 3.0
    occurring = share[share > 0.0]
    slopes = np.gradient(counts.astype(np.float64)) if counts.size > 1 else np.zeros(1)
    return {
        "mean": mean,
        "var": variance,
        "skew": skew,
        "kurt": kurt,
        "median": median,
        "min": low,
        "p10": p10,
        "p90": p90,
        "max": high,
        "mode": _mode(counts, places, mean),
        "iqr": p75 - p25,
        "range": high - low,
        "mad": float(share @ abs(deviation)),
        "rmad": _robust_deviation(counts, places, p10, p90),
        "medad": float(share @ abs(places - median)),
        "cov": math.sqrt(variance) / mean,
        "qcod": (p75 - p25) / (p75 + p25),
        "entropy": max(float(-(occurring @ np.log2(occurring))), 0.0),
        "uniformity": float(share @ share),
        "max_grad": float(slopes.max()),
        "max_grad_g": float(places[slopes.argmax()]),
        "min_grad": float(slopes.min()),
        "min_grad_g": float(places[slopes.argmin()]),
    }


def _counted(levels: Array) -> Counts:
    """Return how many of each level from 1 to the highest there are, some at a time: counting makes them wide."""
    xp = backend_of(levels).xp
    highest = int(levels.max())
    if highest > MOST_LEVELS:
        raise Rejected("E_LEVELS")
    counts = xp.zeros(highest + 1, dtype=xp.int64)
    for at in range(0, levels.size, _BLOCK):
        # 64 bits, in which NumPy counts anyway: CUB does not count 16-bit levels in as many bins as 16 bits tell apart
        counts += xp.bincount(levels[at : at + _BLOCK].astype(xp.int64, copy=False), minlength=counts.size)
    return to_numpy(counts[1:])


def _percentile(cumulative: Counts, percent: int) -> float:
    """Return a percentile of the counted levels, linear between order statistics."""
    whole, rest = divmod((int(cumulative[-1]) - 1) * percent, 100)
    below = int(np.searchsorted(cumulative, whole, side="right")) + 1
    if rest == 0:
        return float(below)
    above = int(np.searchsorted(cumulative, whole + 1, side="right")) + 1
    return below + (above - below) * rest / 100.0


def _mode(counts: Counts, places: Floats, mean: float) -> float:
    commonest = places[counts == counts.max()]
    # argmin takes the first of equals, which is the lower
    return float(commonest[np.abs(commonest - mean).argmin()])


def _robust_deviation(counts: Counts, places: Floats, p10: float, p90: float) -> float:
    inside = (places >= p10) & (places <= p90)
    kept, values = counts[inside], places[inside]
    total = int(kept.sum())
    # of few levels far apart none may lie between the percentiles
    if total == 0:
        return math.nan
    mean = float(kept @ values) / total
    return float(kept @ abs(values - mean)) / total
