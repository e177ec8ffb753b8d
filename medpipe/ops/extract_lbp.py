"""Local binary patterns of a region."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from medpipe.kernels.lbp import BINS, uniform_lbp
from medpipe.ops import roi
from medpipe.ops.register import register
from medpipe.types import Column, Geometry, Region, Volume
from medpipe.xp import to_numpy


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Lbp:
    """Share of each uniform local binary pattern (8 neighbours, radius 1) among a region's pixels.

    Patterns are found slice by slice; a pixel's neighbours count whether they are in the region
    or not. A volume on a GPU is measured on the host: the region's box is copied.

    Notes
    -----
    Equal to a histogram over the region of
    ``skimage.feature.local_binary_pattern(slice, 8, 1, method="uniform")``.
    doi:10.1109/TPAMI.2002.1017623.
    """

    name: ClassVar[str] = "lbp"
    version: ClassVar[int] = 1

    @property
    def columns(self) -> tuple[Column, ...]:
        """``lbp_0`` to ``lbp_8``: that many neighbours not lower, in one run; ``lbp_9``: all others."""
        return tuple(Column(name=name, family="lbp", aggregation="2D", low=0.0, high=1.0) for name in _NAMES)

    @property
    def discretisation(self) -> str:
        """Empty: patterns compare intensities as they are."""
        return ""

    @property
    def compliance(self) -> str:
        """``none``: not a family of IBSI."""
        return "none"

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume: its mask, twice while it is unpacked; some planes."""
        z, y, x = geometry.spatial_shape
        return 2 * z * y * x + 24 * (y + 2) * (x + 2) + 2**19

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN for an empty region.

        Raises
        ------
        Rejected
            ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of
            another shape.
        """
        roi.check_grid(volume, region)
        box = region.bits.box
        if box is None:
            return dict.fromkeys(_NAMES, math.nan)
        outer = roi.widened(box, (0, 1, 1), volume.geometry.spatial_shape)
        counts = uniform_lbp(
            to_numpy(volume.data[outer]),
            region.bits.within(outer),
            origin=(outer[1].start, outer[2].start),
        )
        total = int(counts.sum())
        return {name: int(count) / total for name, count in zip(_NAMES, counts, strict=True)}


_NAMES = tuple(f"lbp_{pattern}" for pattern in range(BINS))
