"""A bank of Gabor filters over the slices of a region."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from medpipe.errors import ConfigError
from medpipe.kernels.gabor import gabor_size, reach_of
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.ops.unstandardized import Unstandardized, slices_of, without_missing, word
from medpipe.types import Array, Column, Geometry, Region, Volume

_STATISTICS = (("mean", "image"), ("var", "image^2"), ("energy", "image^2"))


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class GaborBank(Unstandardized):
    """Mean, variance and energy over a region of the size of Gabor responses, slice by slice, for a bank of filters.

    Pixels around the region count, as far as a filter reaches; a missing one takes the mean of the
    slice's part that is filtered.

    Notes
    -----
    Size of the complex response, equal to ``hypot(*skimage.filters.gabor(slice, frequency, theta,
    bandwidth))`` of the whole slice. Energy is the mean of its square.
    """

    name: ClassVar[str] = "gabor_bank"
    version: ClassVar[int] = 1

    frequencies: tuple[float, ...] = parameter(
        (0.1, 0.2, 0.3, 0.4), doc="waves per pixel", unit="1/pixel", low=0.01, high=0.5
    )
    angles: int = parameter(4, doc="directions, evenly over half a turn", low=1, high=36)
    bandwidth: float = parameter(1.0, doc="bandwidth of a filter", unit="octave", low=0.1, high=5.0)

    def __post_init__(self) -> None:
        """Refuse a bank that is empty or names a frequency twice."""
        if not self.frequencies or len(set(self.frequencies)) < len(self.frequencies):
            raise ConfigError("gabor_bank.frequencies: names at least one, and none twice")

    @property
    def columns(self) -> tuple[Column, ...]:
        """``gabor_f0_1_a45_mean``: frequency, direction in degrees, statistic."""
        return tuple(
            Column(name=f"{prefix}_{statistic}", family="gabor", unit=unit, aggregation="2D", low=0.0)
            for prefix, _, _ in self._filters
            for statistic, unit in _STATISTICS
        )

    @property
    def _filters(self) -> tuple[tuple[str, float, float], ...]:
        """Prefix of the columns, frequency and direction in degrees of each filter."""
        turns = [180.0 * place / self.angles for place in range(self.angles)]
        return tuple(
            (f"gabor_f{word(frequency)}_a{word(round(turn, 2))}", frequency, turn)
            for frequency in self.frequencies
            for turn in turns
        )

    def _reach(self) -> int:
        return max(reach_of(frequency, self.bandwidth) for frequency in self.frequencies)

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume: its mask, twice while it is unpacked; some planes."""
        z, y, x = geometry.spatial_shape
        return 2 * z * y * x + 80 * y * x + 2**19

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN where no voxel of the region is finite.

        Raises
        ------
        Rejected
            ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of another
            shape.
        """
        sums = {prefix: (0, 0.0, 0.0) for prefix, _, _ in self._filters}
        for plane, inside in slices_of(volume, region, reach=self._reach()):
            filled, finite = without_missing(plane)
            known = inside & finite
            for prefix, frequency, turn in self._filters:
                size = gabor_size(filled, frequency=frequency, angle=math.radians(turn), bandwidth=self.bandwidth)
                sums[prefix] = _merged(sums[prefix], size[known])
        values = {column.name: math.nan for column in self.columns}
        for prefix, (count, mean, spread) in sums.items():
            if count:
                found = (mean, spread / count, mean**2 + spread / count)
                values |= {f"{prefix}_{name}": value for (name, _), value in zip(_STATISTICS, found, strict=True)}
        return values


def _merged(before: tuple[int, float, float], values: Array) -> tuple[int, float, float]:
    """Return count, mean and sum of squared deviations with more values."""
    count, mean, spread = before
    if not values.size:
        return before
    more, total = values.size, count + values.size
    found = float(values.mean())
    deviations = float(((values - found) ** 2).sum())
    step = found - mean
    return total, mean + step * more / total, spread + deviations + step**2 * count * more / total
