"""How intensities become levels: of the histogram and texture, and of the intensity-volume histogram."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels import discretise, intensity_volume
from medpipe.types import Array, Column
from medpipe.xp import backend_of, is_cupy

Values = Array

_BLOCK = 1 << 14
"""Values whose levels are made at a time."""

_BLOCK_ON_DEVICE = 1 << 22

_SHORT = 1 << 16
"""Levels that are held in 16 bits are below this."""

_MOST_BINS = 2.0**52
"""Bins of one width from the first to the last beyond which neighbours are one number in float64."""


def check_range(given: tuple[float, ...] | None, where: str) -> None:
    """Refuse a range that is neither one number nor two in order.

    Raises
    ------
    ConfigError
    """
    if given is None:
        return
    if len(given) not in (1, 2):
        raise ConfigError(f"{where}: one or two numbers")
    if len(given) == 2 and not given[0] < given[1]:
        raise ConfigError(f"{where}: its lower end must be below its upper end")


def ends_of(given: tuple[float, ...] | None) -> tuple[float, float] | None:
    """Return both ends of a range, of which the upper one may be left out."""
    return None if given is None else (given[0], given[1] if len(given) == 2 else math.inf)


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
        Range of re-segmentation, its upper end infinite where it has none; bins of one width begin at its lower end.
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

    def of(self, values: Values) -> Array:
        """Return the level of each value, from 1, in the narrowest integer that holds the highest.

        Raises
        ------
        Rejected
            ``E_LEVELS`` if bins of one width are more than can be told apart.
        """
        xp = backend_of(values).xp
        made = self._made(values)
        if self.width is not None and float(values.max()) - self.start(values) >= self.width * _MOST_BINS:
            raise Rejected("E_LEVELS")
        highest = int(made(values.max(keepdims=True))[0])
        levels = xp.empty(values.shape, dtype=xp.uint16 if 0 <= highest < _SHORT else xp.int64)
        block = _BLOCK_ON_DEVICE if is_cupy(values) else _BLOCK
        for at in range(0, values.size, block):
            levels[at : at + block] = made(values[at : at + block])
        return levels

    def _made(self, values: Values) -> Callable[[Values], Array]:
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
        is_open = limits is None or math.isinf(limits[1])
        if self.levels.bins is not None:
            numbers = self.levels.of(values)
            return intensity_volume.volume_features(numbers, low=1.0, high=float(numbers.max()), step=1.0)
        if self.levels.width is None:
            low = float(values.min()) if limits is None else limits[0]
            # a curve without an end goes as far as the intensities do
            high = float(values.max()) if limits is None or is_open else limits[1]
            return intensity_volume.volume_features(values, low=low, high=high, step=1.0)
        numbers, width, start = self.levels.of(values), self.levels.width, self.levels.start(values)
        # a last bin that the range cuts is a bin
        last = float(numbers.max()) if limits is None or is_open else math.ceil((limits[1] - limits[0]) / width - 1e-9)
        found = intensity_volume.volume_features(numbers, low=1.0, high=last, step=1.0)
        middle = {name: start + (found[name] - 0.5) * width for name in ("i10", "i90")}
        return found | middle | {"diff_i10_i90": found["diff_i10_i90"] * width}
