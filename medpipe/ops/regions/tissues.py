"""Tissues of a CT by their HU: bone, fat, muscle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medpipe.errors import ConfigError
from medpipe.kernels.labels import chosen_components
from medpipe.ops.frames import known_spacing
from medpipe.ops.parameters import parameter
from medpipe.ops.regions.body import ct_hull
from medpipe.ops.regions.voxels import ML_MM3, VoxelSource, check_unit, found, measured, need_bytes, without
from medpipe.ops.register import register
from medpipe.types import Companions, Geometry, Region, Volume


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Bone(VoxelSource):
    """Finds bone in CT: what is dense within the body, without parts below a volume."""

    name: ClassVar[str] = "bone"
    version: ClassVar[int] = 1

    above_hu: float = parameter(250.0, doc="Bone is above.", unit="HU", low=-1024.0, high=3071.0)
    least_ml: float = parameter(1.0, doc="Least volume of a part (26 neighbours).", unit="ml", low=0.0)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, labels and masks."""
        return need_bytes(self, geometry, per_voxel=9)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``bone``, or none.

        Raises
        ------
        Rejected
            ``E_UNIT`` if the values are no HU, ``E_SPACING`` if no spacing is known.
        """
        check_unit(volume, "HU")
        known_spacing(volume.geometry)
        x, padded = measured(self, volume)
        dense = ct_hull(x, volume.geometry) & (x > self.above_hu)
        least_voxels = self.least_ml * ML_MM3 / volume.geometry.voxel_mm3
        kept = chosen_components(dense, lambda sizes: sizes >= least_voxels, neighbours=26)
        return found(without(kept, padded), name=self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Between(VoxelSource):
    """A tissue between two values of HU within the body."""

    name: ClassVar[str]

    low_hu: float
    high_hu: float

    def __post_init__(self) -> None:
        if not self.low_hu < self.high_hu:
            raise ConfigError("high_hu: must be above low_hu")

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, labels and masks."""
        return need_bytes(self, geometry, per_voxel=9)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region of the tissue's name, or none.

        Raises
        ------
        Rejected
            ``E_UNIT`` if the values are no HU, ``E_SPACING`` if no spacing is known.
        """
        check_unit(volume, "HU")
        x, padded = measured(self, volume)
        mask = ct_hull(x, volume.geometry) & (x >= self.low_hu) & (x <= self.high_hu)
        return found(without(mask, padded), name=self.name)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fat(_Between):
    """Finds fat in CT: voxels within the body between two values."""

    name: ClassVar[str] = "fat"
    version: ClassVar[int] = 1

    low_hu: float = parameter(-190.0, doc="Least value.", unit="HU", low=-1024.0, high=3071.0)
    high_hu: float = parameter(-30.0, doc="Greatest value.", unit="HU", low=-1024.0, high=3071.0)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Muscle(_Between):
    """Finds muscle in CT, and organs of its density: voxels within the body between two values."""

    name: ClassVar[str] = "muscle"
    version: ClassVar[int] = 1

    low_hu: float = parameter(-29.0, doc="Least value.", unit="HU", low=-1024.0, high=3071.0)
    high_hu: float = parameter(150.0, doc="Greatest value.", unit="HU", low=-1024.0, high=3071.0)
