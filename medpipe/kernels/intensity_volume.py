"""Intensity-volume histogram of a region (IBSI family P88C)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array

NAMES = ("v10", "v90", "i10", "i90", "diff_v10_v90", "diff_i10_i90", "auc")
"""Keys of :func:`volume_features`, in the order of the standard."""

# A step such as 0.1 * 1400 must not pass the level it stands for by rounding.
_ROUNDING = 1e-9


def volume_features(values: Array, /, *, low: float, high: float, step: float) -> dict[str, float]:
    """Return the features of the share of a region at or above each intensity.

    Parameters
    ----------
    values : NumPy array, shape (n,), n >= 1
        Intensities or grey levels of the region's voxels, none below ``low``.
    low, high : float
        First and last level of the curve.
    step : float
        Distance of levels, above 0.

    Returns
    -------
    dict of str to float
        One value for each of :data:`NAMES`; ``i10`` and ``i90`` are levels, ``high + step`` or
        beyond where none is high enough.

    Notes
    -----
    Levels ``i`` run from ``low`` to ``high``, absent ones too; ``nu(i)`` is the share of voxels
    that are not below ``i``, ``gamma(i) = (i - low) / (high - low)``. ``v_x`` is the greatest
    ``nu`` with ``gamma >= x``, ``i_x`` the least level with ``nu <= x``, ``auc`` the area under
    ``nu`` over ``gamma`` by trapezia. No curve is made: each number is read off the sorted
    values, or off how many levels lie below a voxel. Of a single level ``v10`` and ``v90`` are 1,
    ``i10`` and ``i90`` that level, ``auc`` 0. IBSI codes BC2M, GBPN, DDTU, CNV2 and 9CMM.
    """
    x = np.asarray(values, dtype=np.float64)
    if not high > low:
        return dict(zip(NAMES, (1.0, 1.0, low, low, 0.0, 0.0, 0.0), strict=True))
    steps = (x - low) / step
    v10, v90 = (_share_at(steps, percent, (high - low) / step) for percent in (10, 90))
    i10, i90 = (low + step * _level_of(steps, percent) for percent in (10, 90))
    area = _area(steps, (high - low) / step)
    return dict(zip(NAMES, (v10, v90, i10, i90, v10 - v90, i10 - i90, area), strict=True))


def _share_at(steps: NDArray[np.float64], percent: int, span: float) -> float:
    level = math.ceil(span * percent / 100.0 - _ROUNDING)
    return float(np.count_nonzero(steps >= level - _ROUNDING)) / steps.size


def _level_of(steps: NDArray[np.float64], percent: int) -> int:
    """Return the number of the least level that at most some percent of the voxels reach."""
    below = -(-(100 - percent) * steps.size // 100)
    return math.floor(float(np.partition(steps, below - 1)[below - 1]) + _ROUNDING) + 1


def _area(steps: NDArray[np.float64], span: float) -> float:
    last = math.floor(span + _ROUNDING)
    # the sum of nu over the levels is the mean number of levels that a voxel reaches
    reached = np.minimum(np.floor(steps + _ROUNDING), last)
    ends = 1.0 + float(np.count_nonzero(reached >= last)) / steps.size
    return (float(reached.mean()) + 1.0 - 0.5 * ends) / span
