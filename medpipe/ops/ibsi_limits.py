"""Between which values a column can lie under the settings of its extraction, beyond what its formula allows."""

from __future__ import annotations

import math
from typing import Final

from medpipe.ops.ibsi_levels import Levels
from medpipe.types import Column

Limits = tuple[float, float]

_INTENSITIES: Final = frozenset(
    {"stat_mean", "stat_median", "stat_min", "stat_p10", "stat_p90", "stat_max", "ivh_i10", "ivh_i90"}
)
"""Columns that are an intensity of the region, or a mean of some."""

_LEVELS: Final = frozenset(
    f"ih_{key}" for key in ("mean", "median", "min", "p10", "p90", "max", "mode", "max_grad_g", "min_grad_g")
) | {"cm_joint_avg"}
"""Columns that are a grey level, or a mean of some."""

_SQUARES: Final = frozenset({"cm_auto_corr", "rlm_hgre", "szm_hgze", "dzm_hgze", "ngl_hgce"})
"""Columns that are a mean of products of two grey levels."""

_GAPS: Final = frozenset({"cm_diff_avg", "cm_dissimilarity", "ih_range", "ih_iqr"})
"""Columns that are a difference of grey levels, or a mean of some."""


def limits_of(column: Column, levels: Levels, volume_levels: Levels) -> Limits:
    """Return lowest and highest value of a column; NaN where there is no bound.

    Parameters
    ----------
    column : Column
    levels, volume_levels : Levels
        How grey levels are made, and those of the intensity-volume histogram.
    """
    key = column.name.removesuffix(f"_{column.aggregation}") if column.aggregation else column.name
    if key in _INTENSITIES:
        # of a number of bins the levels stand for intensities
        told = levels.limits if column.family != "intensity_volume_histogram" else _of_volume(volume_levels)
        low, high = told or (column.low, column.high)
        return low, (math.nan if math.isinf(high) else high)
    top = _highest(levels)
    if math.isnan(top):
        return column.low, column.high
    highest = {
        **dict.fromkeys(_LEVELS, top),
        **dict.fromkeys(_SQUARES, top**2),
        **dict.fromkeys(_GAPS, top - 1.0),
        "cm_sum_avg": 2.0 * top,
        "cm_contrast": (top - 1.0) ** 2,
    }
    return column.low, highest.get(key, column.high)


def _highest(levels: Levels) -> float:
    """Return the highest grey level that can be; NaN where it depends on the region."""
    if levels.bins is not None:
        return float(levels.bins)
    if levels.width is None or levels.limits is None or math.isinf(levels.limits[1]):
        return math.nan
    return math.floor((levels.limits[1] - levels.limits[0]) / levels.width) + 1.0


def _of_volume(levels: Levels) -> Limits | None:
    if levels.bins is not None:
        # a share that no level has is that of the one after the last
        return 1.0, levels.bins + 1.0
    if levels.limits is None:
        return None
    step = levels.width or 1.0
    return levels.limits[0], levels.limits[1] + 1.5 * step
