"""Thresholds: fixed ones, and those of Otsu."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medpipe.errors import ConfigError
from medpipe.kernels.classes import otsu_thresholds
from medpipe.kernels.foreground import clipped
from medpipe.kernels.intensity import varying
from medpipe.ops.parameters import parameter
from medpipe.ops.regions.voxels import TABLE_BYTES, VoxelSource, check_unit, found, measured, need_bytes, without
from medpipe.ops.register import register
from medpipe.types import Array, Companions, Geometry, Region, Volume
from medpipe.xp import backend_of


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold(VoxelSource):
    """Finds all voxels within limits."""

    name: ClassVar[str] = "threshold"
    version: ClassVar[int] = 1

    low: float | None = parameter(None, doc="Least value; without one there is none.", unit="unit of the image")
    high: float | None = parameter(None, doc="Greatest value; without one there is none.", unit="unit of the image")
    unit: str | None = parameter(None, doc="Unit the limits are in, such as HU or g/mL; other images are refused.")

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise ConfigError("low: a threshold needs low or high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError("high: must not be below low")

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames and masks."""
        return need_bytes(self, geometry, per_voxel=3, beside=0)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``threshold``, or none.

        Raises
        ------
        Rejected
            ``E_UNIT`` if the image is of another unit than the recipe's.
        """
        if self.unit is not None:
            check_unit(volume, self.unit)
        x, padded = measured(self, volume)
        xp = backend_of(x).xp
        mask = xp.isfinite(x)
        if self.low is not None:
            mask &= x >= xp.float32(self.low)
        if self.high is not None:
            mask &= x <= xp.float32(self.high)
        return found(without(mask, padded), name=self.name)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Otsu(VoxelSource):
    """Finds what is bright by Otsu's threshold, or several classes of grey by several thresholds.

    Thresholds are those of the volume clipped to two of its percentiles. The darkest class is no
    region; the others bear the labels 1, 2, ... from dark to bright.
    """

    name: ClassVar[str] = "otsu"
    version: ClassVar[int] = 1

    classes: int = parameter(2, doc="Number of classes, the darkest counted in.", low=2, high=5)
    low: float = parameter(1.0, doc="Percentile below which values are clipped.", unit="%", low=0.0, high=100.0)
    high: float = parameter(99.0, doc="Percentile above which values are clipped.", unit="%", low=0.0, high=100.0)

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError("high: must be above low")

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, and of the values sorted in a copy."""
        return need_bytes(self, geometry, per_voxel=9, beside=TABLE_BYTES)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return a region ``otsu`` for each class but the darkest.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the values are too few for the classes, ``EMPTY_ROI`` if none is finite.
        """
        x, padded = measured(self, volume)
        limits = (*class_limits(x, padded, classes=self.classes, low=self.low, high=self.high), None)
        regions: tuple[Region, ...] = ()
        for place in range(self.classes - 1):
            mask = x > limits[place]
            upper = limits[place + 1]
            if upper is not None:
                mask &= x <= upper
            regions += found(without(mask, padded), name=self.name, label=place + 1)
        return regions


def class_limits(
    x: Array, padded: Array | None, *, classes: int, low: float = 1.0, high: float = 99.0
) -> tuple[float, ...]:
    """Return Otsu's thresholds of the voxels that count, clipped to two of their percentiles.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if the values are too few for the classes, ``EMPTY_ROI`` if none is finite.
    """
    xp = backend_of(x).xp
    values = varying(x, xp.ones(x.shape, dtype=bool) if padded is None else ~padded)
    values, _, _ = clipped(values, low=low, high=high)
    return otsu_thresholds(values, classes=classes)
