"""Someone else drew the outline: larger or smaller, or along other borders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medpipe.errors import Rejected
from medpipe.kernels.outlines import redrawn, resized
from medpipe.ops import roi
from medpipe.ops.frames import frame_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.perturb.drawing import check_ends, stream_of, with_part
from medpipe.ops.register import register
from medpipe.types import Geometry, Region, Volume
from medpipe.xp import to_numpy

_UNIT_MM = (1.0, 1.0, 1.0)


@register("perturb")
@dataclass(frozen=True, slots=True, kw_only=True)
class Grow:
    """Makes each region larger or smaller by a share of its voxels drawn evenly from a range.

    The voxels nearest to it come, or those nearest to its border go; at one distance chance decides.
    """

    name: ClassVar[str] = "grow"
    version: ClassVar[int] = 1

    share: tuple[float, float] = parameter((-0.1, 0.1), doc="least and greatest change of volume", low=-0.9, high=4.0)

    def __post_init__(self) -> None:
        """Refuse a range upside down."""
        check_ends("grow", "share", self.share)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of distances, and of the order of the voxels."""
        return frame_bytes(geometry, per_voxel=70) + 2**18

    def __call__(self, volume: Volume, regions: tuple[Region, ...], *, seed: str) -> tuple[Volume, tuple[Region, ...]]:
        """Return the image as it is, and the regions resized."""
        spacing_mm = volume.geometry.spacing_mm or _UNIT_MM
        return volume, tuple(self._resized(region, spacing_mm, seed) for region in regions)

    def _resized(self, region: Region, spacing_mm: tuple[float, float, float], seed: str) -> Region:
        box, shape = region.bits.box, region.bits.shape
        if box is None:
            return region
        voxels = round(region.bits.n_voxels * (1.0 + stream_of(seed, region).uniform(*self.share)))
        margin_mm = max(spacing_mm)
        while True:
            z, y, x = (math.ceil(margin_mm / step) for step in spacing_mm)
            outer = roi.widened(box, (z, y, x), shape)
            mask = region.bits.within(outer)
            found, reach_mm = resized(mask, voxels=voxels, spacing_mm=spacing_mm, rng=stream_of(seed + "ties", region))
            # a margin narrower than what came is from the region may have left something nearer out
            if mask.shape == shape or (reach_mm <= margin_mm and voxels <= mask.size):
                return with_part(region, found, outer)
            margin_mm *= 2.0


@register("perturb")
@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """Draws each region anew along the borders of supervoxels: those nearly all in it, and of the others some by chance.

    A supervoxel of which at least 0.9 is in the region is taken, one with less than 0.2 is not, and
    between the two the share is the probability.

    Notes
    -----
    Zwanenburg et al., doi:10.1038/s41598-018-36938-4; supervoxels by SLIC (scikit-image), on
    intensities between percentiles 1 and 99 of the region and as far again beyond both.
    """

    name: ClassVar[str] = "contour"
    version: ClassVar[int] = 1

    size_mm: float = parameter(
        5.0,
        doc="side of a cube as large as a supervoxel; at most a tenth of the region",
        unit="mm",
        low=0.5,
        high=100.0,
    )

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of supervoxels of the surroundings of a region as large as the image."""
        return frame_bytes(geometry, per_voxel=70) + 2**20

    def __call__(self, volume: Volume, regions: tuple[Region, ...], *, seed: str) -> tuple[Volume, tuple[Region, ...]]:
        """Return the image as it is, and the regions redrawn."""
        if len(volume.data.shape) != 3:
            raise Rejected("E_AXES")
        return volume, tuple(self._redrawn(volume, region, seed) for region in regions)

    def _redrawn(self, volume: Volume, region: Region, seed: str) -> Region:
        box = region.bits.box
        if box is None:
            return region
        spacing_mm = volume.geometry.spacing_mm or _UNIT_MM
        z, y, x = (math.ceil(self.size_mm / step) + 1 for step in spacing_mm)
        outer = roi.widened(box, (z, y, x), region.bits.shape)
        found = redrawn(
            to_numpy(volume.data[outer]).astype(np.float32),
            region.bits.within(outer),
            spacing_mm=spacing_mm,
            size_mm3=self.size_mm**3,
            rng=stream_of(seed, region),
        )
        return with_part(region, found, outer)
