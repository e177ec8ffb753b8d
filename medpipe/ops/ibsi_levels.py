"""How intensities become levels: of the histogram and texture, and of the intensity-volume histogram."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels import discretise, intensity_volume
from medpipe.types import Column

Values = NDArray[np.floating[Any]]

_BLOCK = 1 << 14
"""Values whose levels are made at a time."""

_SHORT = 1 << 16
"""Levels that are held in 16 bits are below this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Bins of one width or a number of them.

    Attributes
    ----------
    width : float or None
        Width of a bin.
    bins : int or None
        Number of bins.
    limits : (float, float) or None
        Range of re-segmentation; bins of one width begin at its lower end.
    """

    width: float | None
    bins: int | None
    limits: tuple[float, float] | None

    @property
    def told(self) -> str:
        """How levels are made, in a few words."""
        if self.bins is not None:
            return f"fixed bin number {self.bins}"
        start = "the region's minimum" if self.limits is None else f"{self.limits[0]:g}"
        return f"fixed bin size {self.width:g} from {start}"

    @property
    def floats(self) -> bool:
        """Whether a level means another intensity in each region although bins have one width."""
        return self.width is not None and self.limits is None

    def start(self, values: Values) -> float:
        """Return the lower end of the first bin of one width."""
        return float(values.min()) if self.limits is None else self.limits[0]

    def of(self, values: Values) -> NDArray[np.integer[Any]]:
        """Return the level of each value, from 1, in the narrowest integer that holds the highest."""
        made = self._made(values)
        highest = int(made(values.max(keepdims=True))[0])
        levels = np.empty(values.shape, dtype=np.uint16 if 0 <= highest < _SHORT else np.int64)
        for at in range(0, values.size, _BLOCK):
            levels[at : at + _BLOCK] = made(values[at : at + _BLOCK])
        return levels

    def _made(self, values: Values) -> Callable[[Values], NDArray[np.int64]]:
        if self.bins is not None:
            ends = float(values.min()), float(values.max())
            return partial(discretise.fixed_bin_number, bins=self.bins, ends=ends)
        assert self.width is not None
        return partial(discretise.fixed_bin_size, width=self.width, low=self.start(values))


@dataclass(frozen=True, slots=True)
class VolumeLevels:
    """Levels of the intensity-volume histogram: bins, or the intensities themselves in steps of 1."""

    levels: Levels

    @property
    def told(self) -> str:
        """How levels are made, in a few words."""
        is_binned = self.levels.width is not None or self.levels.bins is not None
        return self.levels.told if is_binned else "intensities in steps of 1"

    def column(self, column: Column) -> Column:
        """Return a column with the unit that its numbers have on these levels."""
        if self.levels.bins is None or column.family != "intensity_volume_histogram":
            return column
        return replace(column, unit="1")

    def features(self, values: Values) -> dict[str, float]:
        """Return the features of :func:`medpipe.kernels.intensity_volume.volume_features`.

        Bins of one width stand for the intensity in their middle; of a number of bins the
        intensities are levels. Where re-segmentation gives a range, the curve spans it.
        """
        limits = self.levels.limits
        if self.levels.bins is not None:
            numbers = self.levels.of(values)
            return intensity_volume.volume_features(numbers, low=1.0, high=float(numbers.max()), step=1.0)
        if self.levels.width is None:
            low, high = limits or (float(values.min()), float(values.max()))
            return intensity_volume.volume_features(values, low=low, high=high, step=1.0)
        numbers, width, start = self.levels.of(values), self.levels.width, self.levels.start(values)
        # a last bin that the range cuts is a bin
        last = float(numbers.max()) if limits is None else math.ceil((limits[1] - limits[0]) / width - 1e-9)
        found = intensity_volume.volume_features(numbers, low=1.0, high=last, step=1.0)
        middle = {name: start + (found[name] - 0.5) * width for name in ("i10", "i90")}
        return found | middle | {"diff_i10_i90": found["diff_i10_i90"] * width}
