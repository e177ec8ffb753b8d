"""Percentiles of an image: what a standard is fitted of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.landmarks import landmarks
from medpipe.ops import roi
from medpipe.ops.normalize.foreground import foreground_of, quantitative, refuse_map
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.ops.unstandardized import Unstandardized
from medpipe.types import Column, Geometry, Region, Volume
from medpipe.xp import backend_of


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Landmarks(Unstandardized):
    """Percentiles of the foreground of ``zscore`` within a region: with the region ``whole``, what ``nyul`` looks at.

    ``medpipe fit`` makes a standard of them.
    """

    name: ClassVar[str] = "landmarks"
    version: ClassVar[int] = 1
    uses_quantity: ClassVar[bool] = True

    percentiles: tuple[float, ...] = parameter(
        (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0),
        doc="Percentiles to take, rising.",
        unit="%",
        low=0.0,
        high=100.0,
    )
    quantitative: bool = quantitative()

    def __post_init__(self) -> None:
        if len(self.percentiles) < 2 or any(after <= before for before, after in pairwise(self.percentiles)):
            raise ConfigError("percentiles: at least two are needed, each greater than the one before")

    @property
    def columns(self) -> tuple[Column, ...]:
        """``landmark_1``, ``landmark_10``, ...: one for each percentile, in their order."""
        return tuple(Column(name=name, family="landmarks", unit="image") for name in self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in the order of the percentiles."""
        return tuple(f"landmark_{repr(share).removesuffix('.0').replace('.', '_')}" for share in self.percentiles)

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of the foreground's search, of a mask as large as the volume, and of the values."""
        z, y, x = geometry.spatial_shape
        return 14 * z * y * x + 2**19

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN where the foreground within the region is empty or constant.

        Raises
        ------
        Rejected
            ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of another
            shape, ``E_CONSTANT`` if an MR does not vary, ``E_QUANTITATIVE`` for a map of a quantity.
        """
        roi.check_grid(volume, region)
        refuse_map(volume, allowed=self.quantitative)
        xp = backend_of(volume.data).xp
        x = xp.asarray(volume.data, dtype=xp.float32)
        inside = foreground_of(volume, x, None)
        inside &= xp.asarray(region.mask)
        try:
            found = landmarks(x, inside, percentiles=self.percentiles)
        except Rejected:
            return dict.fromkeys(self.names, math.nan)
        return dict(zip(self.names, map(float, found), strict=True))
