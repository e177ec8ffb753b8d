"""Histograms of oriented gradients over the slices of a region."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from medpipe.kernels.hog import oriented_gradients
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.ops.unstandardized import Unstandardized, slices_of
from medpipe.types import Column, Geometry, Region, Volume
from medpipe.xp import backend_of


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hog(Unstandardized):
    """Mean and spread, over the blocks of all slices, of the normalised histograms of gradient directions.

    Blocks are laid over the region's box, slice by slice, and those that touch the region count. A
    descriptor of the whole would have as many values as there are blocks: of regions of different
    sizes only its mean and standard deviation can be compared.

    Notes
    -----
    Of ``skimage.feature.hog(box, orientations, (cell, cell), (block, block), block_norm="L2-Hys")``.
    doi:10.1109/CVPR.2005.177.
    """

    name: ClassVar[str] = "hog"
    version: ClassVar[int] = 1

    orientations: int = parameter(9, doc="bins of the direction, over half a turn", low=2, high=36)
    cell: int = parameter(8, doc="side of a cell", unit="pixel", low=2, high=64)
    block: int = parameter(2, doc="cells along a side of a block", low=1, high=8)

    @property
    def columns(self) -> tuple[Column, ...]:
        """``hog_mean_0``, ... and ``hog_sd_0``, ...: by direction, from across (gradient along x) on."""
        return tuple(
            Column(name=f"hog_{statistic}_{place}", family="hog", aggregation="2D", low=0.0, high=1.0)
            for statistic in ("mean", "sd")
            for place in range(self.orientations)
        )

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume: its mask, twice while it is unpacked; planes; blocks."""
        z, y, x = geometry.spatial_shape
        blocks = z * (y // self.cell + 1) * (x // self.cell + 1)
        return 2 * z * y * x + 56 * y * x + 32 * blocks * self.orientations * self.block**2 + 2**19

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN where the region's box is smaller than a block.

        Raises
        ------
        Rejected
            ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of another
            shape.
        """
        found = [
            oriented_gradients(plane, inside, orientations=self.orientations, cell=self.cell, block=self.block)
            for plane, inside in slices_of(volume, region, reach=0)
        ]
        names = [column.name for column in self.columns]
        if not any(len(blocks) for blocks in found):
            return dict.fromkeys(names, math.nan)
        xp = backend_of(found[0]).xp
        every = xp.concatenate(found).reshape(-1, self.orientations)
        values = [float(value) for value in (*every.mean(axis=0), *every.std(axis=0))]
        return dict(zip(names, values, strict=True))
