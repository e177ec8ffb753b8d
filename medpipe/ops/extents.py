"""Region sources for what is measured without looking for an object: the whole image, its foreground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medpipe.kernels.foreground import foreground
from medpipe.ops.frames import frame_bytes, mean_bytes, mean_frame
from medpipe.ops.register import register
from medpipe.types import Companions, Geometry, Region, Volume
from medpipe.xp import to_numpy


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Takes the whole image as one region."""

    name: ClassVar[str] = "whole"
    version: ClassVar[int] = 1
    uses_companions: ClassVar[bool] = False

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of a mask."""
        return frame_bytes(geometry, per_voxel=2) + 2**16

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # of the grid alone
        """Return one region ``whole``."""
        return (Region(mask=np.ones(volume.geometry.spatial_shape, dtype=bool), name=self.name, source=self.name),)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Foreground:
    """Finds what stands out from a dark background, as in magnitude MR: Otsu, the largest object, holes filled.

    The threshold is Otsu's on the volume clipped to its percentiles 1 and 99 and smoothed. Of a
    volume with a leading axis the mean over it counts.
    """

    name: ClassVar[str] = "foreground"
    version: ClassVar[int] = 1
    uses_companions: ClassVar[bool] = False

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, and of the search."""
        return mean_bytes(geometry) + frame_bytes(geometry, per_voxel=10) + 2**20

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``foreground``, or none if nothing stands out.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the image does not vary, ``EMPTY_ROI`` if no voxel is finite.
        """
        mask = to_numpy(foreground(mean_frame(volume)))
        return (Region(mask=mask, name=self.name, source=self.name),) if mask.any() else ()
