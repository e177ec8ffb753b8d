"""Intensity-volume histogram of a region (IBSI family P88C)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.sums import mean_of
from medpipe.types import Array
from medpipe.xp import backend_of

Floats = NDArray[np.float64]
Steps = Callable[[Array], Floats]

NAMES = ("v10", "v90", "i10", "i90", "diff_v10_v90", "diff_i10_i90", "auc")
"""Keys of :func:`volume_features`, in the order of the standard."""

# A step such as 0.1 * 1400 must not pass the level it stands for by rounding.
_ROUNDING = 1e-9


def volume_features(values: Array, /, *, low: float, high: float, step: float) -> dict[str, float]:
    """Return the features of the share of a region at or above each intensity.

    Parameters
    ----------
    values : array, shape (n,), n >= 1
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
    if not high > low:
        return dict(zip(NAMES, (1.0, 1.0, low, low, 0.0, 0.0, 0.0), strict=True))
    span = (high - low) / step

    def steps_of(x: Array) -> Floats:
        steps: Floats = (x - low) / step
        return steps

    v10, v90 = (_share_at(values, steps_of, percent, span) for percent in (10, 90))
    i10, i90 = (low + step * _level_of(values, steps_of, percent) for percent in (10, 90))
    area = _area(values, steps_of, span)
    return dict(zip(NAMES, (v10, v90, i10, i90, v10 - v90, i10 - i90, area), strict=True))


def _share_at(values: Array, steps_of: Steps, percent: int, span: float) -> float:
    level = math.ceil(span * percent / 100.0 - _ROUNDING)
    return _reaching(values, steps_of, level - _ROUNDING)


def _reaching(values: Array, steps_of: Steps, level: float) -> float:
    """Return the share of the values that are some steps above the lowest level, or more."""
    return mean_of(values, lambda x: (steps_of(x) >= level).astype(np.float64))


def _level_of(values: Array, steps_of: Steps, percent: int) -> int:
    """Return the number of the least level that at most some percent of the voxels reach."""
    below = -(-(100 - percent) * values.size // 100)
    # what is the value of a rank among the intensities is so among their steps
    value = float(backend_of(values).xp.partition(values, below - 1)[below - 1])
    return math.floor(float(steps_of(np.float64(value))) + _ROUNDING) + 1


def _area(values: Array, steps_of: Steps, span: float) -> float:
    xp = backend_of(values).xp
    last = math.floor(span + _ROUNDING)

    def reached(x: Array) -> Array:
        return xp.minimum(xp.floor(steps_of(x) + _ROUNDING), last)

    # the sum of nu over the levels is the mean number of levels that a voxel reaches
    at_the_end = mean_of(values, lambda x: (reached(x) >= last).astype(xp.float64))
    return (mean_of(values, reached) + 1.0 - 0.5 * (1.0 + at_the_end)) / span
