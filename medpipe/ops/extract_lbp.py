"""Local binary patterns of a region."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from medpipe.errors import ConfigError
from medpipe.kernels.lbp import TABLED, Patterns, binary_patterns, bins_of, reach_of
from medpipe.ops import roi
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.ops.unstandardized import Unstandardized, word
from medpipe.types import Column, Geometry, Region, Volume
from medpipe.xp import to_numpy


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Lbp(Unstandardized):
    """Share of each local binary pattern among a region's pixels: uniform (8 neighbours, radius 1) if not said.

    Patterns are found slice by slice; a pixel's neighbours count whether they are in the region
    or not. A missing pixel does not count, nor one that is compared with it. A volume on a GPU is
    measured on the host: the region's box is copied.

    Notes
    -----
    Equal to a histogram over the region of
    ``skimage.feature.local_binary_pattern(slice, neighbours, radius, method)`` with the method
    ``"uniform"``, ``"ror"`` (``rotation_invariant``) or ``"nri_uniform"`` (``oriented``).
    doi:10.1109/TPAMI.2002.1017623.
    """

    name: ClassVar[str] = "lbp"
    version: ClassVar[int] = 1

    patterns: Patterns = parameter("uniform", doc="what counts as one pattern: alike when turned, or as they lie")  # noqa: RUF009  # declares a field
    neighbours: Literal[8, 16, 24] = parameter(8, doc="points on the circle; 8 for all but uniform patterns")
    radius: float = parameter(1.0, doc="radius of the circle", unit="pixel", above=0.0, high=32.0)

    def __post_init__(self) -> None:
        """Refuse patterns of more points than are told apart."""
        if self.patterns != "uniform" and self.neighbours != TABLED:
            raise ConfigError(f"lbp.neighbours: {self.patterns} patterns are those of {TABLED} points")

    @property
    def columns(self) -> tuple[Column, ...]:
        """``lbp_0`` to ``lbp_8``: that many neighbours not lower, in one run; ``lbp_9``: all others."""
        return tuple(Column(name=name, family="lbp", aggregation="2D", low=0.0, high=1.0) for name in self._names)

    @property
    def _names(self) -> tuple[str, ...]:
        """Names of the columns; they carry what is not at its default."""
        radius = "" if self.radius == 1.0 else f"_r{word(self.radius)}"
        points = "" if self.neighbours == TABLED else f"_p{self.neighbours}"
        kind = {"uniform": "", "rotation_invariant": "_ri", "oriented": "_or"}[self.patterns]
        count = bins_of(self.patterns, self.neighbours)
        return tuple(f"lbp{radius}{points}{kind}_{pattern}" for pattern in range(count))

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume: its mask, twice while it is unpacked; some planes."""
        z, y, x = geometry.spatial_shape
        around = 2 * reach_of(self.radius)
        return 2 * z * y * x + 24 * (y + around) * (x + around) + 2**19

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN where no pixel of the region counts.

        Raises
        ------
        Rejected
            ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of
            another shape.
        """
        roi.check_grid(volume, region)
        box = region.bits.box
        if box is None:
            return dict.fromkeys(self._names, math.nan)
        reach = reach_of(self.radius)
        outer = roi.widened(box, (0, reach, reach), volume.geometry.spatial_shape)
        counts = binary_patterns(
            to_numpy(volume.data[outer]),
            region.bits.within(outer),
            origin=(outer[1].start, outer[2].start),
            patterns=self.patterns,
            neighbours=self.neighbours,
            radius=self.radius,
        )
        total = int(counts.sum())
        shares = counts / total if total else np.full(counts.size, math.nan)
        return dict(zip(self._names, shares.tolist(), strict=True))
