"""The brain in a magnitude MR image, roughly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from medpipe.kernels.components import closing, dilation, erosion, fill_slice_holes, largest_component
from medpipe.kernels.foreground import clipped_otsu
from medpipe.ops.frames import known_spacing
from medpipe.ops.parameters import parameter
from medpipe.ops.regions.voxels import VoxelSource, closed_bytes, found, measured, need_bytes, without
from medpipe.ops.register import register
from medpipe.types import Companions, Geometry, Region, Volume


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Brain(VoxelSource):
    """Finds the brain in MR, roughly: the largest bright body once what is thin is worn away.

    Meant as foreground for statistics; what it measures is flagged. Where the skull is not dark
    (fat-saturated images, strong bias), scalp may stay with it.
    """

    name: ClassVar[str] = "brain"
    version: ClassVar[int] = 1

    wear_mm: float = parameter(
        5.0, doc="Radius of what is worn away: half the width of scalp and bridges.", unit="mm", above=0.0, high=100.0
    )
    closing_mm: float = parameter(
        6.0, doc="Radius of the gaps (folds, vessels) that are filled.", unit="mm", low=0.0, high=100.0
    )

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, and of values sorted, of labels, or of masks over the borders."""
        closed = closed_bytes(geometry, radius_mm=self.closing_mm)
        return max(need_bytes(self, geometry, per_voxel=9), need_bytes(self, geometry, per_voxel=1) + closed)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``brain``, or none: nothing is left, or the volume is no MR.

        Raises
        ------
        Rejected
            ``E_SPACING`` if no spacing is known, ``E_CONSTANT`` if the volume does not vary.
        """
        if volume.modality != "MR":
            return ()
        spacing_mm = known_spacing(volume.geometry)
        x, padded = measured(self, volume)
        clipped, threshold = clipped_otsu(x, low=1.0, high=99.0)
        bright = clipped > threshold
        del clipped
        core = largest_component(erosion(bright, radius_mm=self.wear_mm, spacing_mm=spacing_mm))
        mask = dilation(core, radius_mm=self.wear_mm, spacing_mm=spacing_mm) & bright
        mask = fill_slice_holes(closing(mask, radius_mm=self.closing_mm, spacing_mm=spacing_mm))
        return tuple(replace(one, flag="W_APPROXIMATE") for one in found(without(mask, padded), name=self.name))
