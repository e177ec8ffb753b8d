"""Uptake in PET: the hottest object, and all above a fixed uptake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medpipe.kernels.components import largest_component
from medpipe.ops.parameters import parameter
from medpipe.ops.regions.voxels import VoxelSource, check_unit, found, measured, need_bytes, without
from medpipe.ops.register import register
from medpipe.types import Companions, Geometry, Region, Volume
from medpipe.xp import backend_of


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hot(VoxelSource):
    """Finds the hottest object: the largest one at or above a fraction of the maximum.

    Meant for activity and uptake (PET), where the fraction means the same in Bq/ml and SUV.
    """

    name: ClassVar[str] = "hot"
    version: ClassVar[int] = 1

    fraction: float = parameter(0.41, doc="Part of the maximum that counts as hot.", above=0.0, high=1.0)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, labels and masks."""
        return need_bytes(self, geometry, per_voxel=9)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``hot``, or none: nothing is above 0, or the unit is HU."""
        x, padded = measured(self, volume)
        xp = backend_of(x).xp
        known = without(xp.isfinite(x), padded)
        if volume.unit == "HU" or not bool(known.any()):
            return ()
        hottest = float(x[known].max())
        if hottest <= 0.0:
            return ()
        return found(largest_component(known & (x >= xp.float32(self.fraction * hottest))), name=self.name)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Uptake(VoxelSource):
    """Finds all voxels at or above a fixed uptake (SUV); the image must be one, as after the op ``suv``."""

    name: ClassVar[str] = "uptake"
    version: ClassVar[int] = 1

    above: float = parameter(4.0, doc="Least uptake.", unit="g/mL", above=0.0)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames and masks."""
        return need_bytes(self, geometry, per_voxel=3, beside=0)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``uptake``, or none.

        Raises
        ------
        Rejected
            ``E_UNIT`` if the values are no uptake.
        """
        check_unit(volume, "g/mL", "SUV")
        x, padded = measured(self, volume)
        return found(without(x >= backend_of(x).xp.float32(self.above), padded), name=self.name)
