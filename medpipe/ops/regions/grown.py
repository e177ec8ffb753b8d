"""Region growing: from a seed to all that is connected with it and like it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from medpipe.bits import Bits
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.growing import Place, grown, grown_by_confidence
from medpipe.ops.parameters import parameter
from medpipe.ops.regions.voxels import VoxelSource, found, measured, need_bytes, without
from medpipe.ops.register import register
from medpipe.ops.slices import among_slices
from medpipe.types import Array, Companions, Geometry, Region, Volume
from medpipe.xp import backend_of


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Grown(VoxelSource):
    """Grows a region from a seed by face neighbours: within limits, or within deviations of its own mean.

    With ``low`` or ``high`` voxels within these limits count. Without, the limits are learnt:
    ``mean ± multiplier sd``, at first of the cube around the seed, then of what grew.
    """

    name: ClassVar[str] = "grown"
    version: ClassVar[int] = 2

    seed: Literal["maximum", "minimum", "centre", "point"] = parameter(
        "maximum", doc="Where it starts: the greatest or least value (the first of equal ones), the centre, or at_mm."
    )
    at_mm: tuple[float, float, float] | None = parameter(
        None, doc="Where it starts, patient coordinates (x, y, z), LPS; for seed = point.", unit="mm"
    )
    low: float | None = parameter(None, doc="Least value; without one there is none.", unit="unit of the image")
    high: float | None = parameter(None, doc="Greatest value; without one there is none.", unit="unit of the image")
    multiplier: float = parameter(2.5, doc="Deviations around the mean, without low and high.", above=0.0)
    radius: int = parameter(
        1, doc="Half edge of the cube around the seed, without low and high.", unit="voxel", low=1, high=10
    )
    iterations: int = parameter(4, doc="How often the limits are learnt again.", low=0, high=100)

    def __post_init__(self) -> None:
        if (self.seed == "point") != (self.at_mm is not None):
            raise ConfigError("at_mm: goes with seed = 'point', and only with it")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError("high: must not be below low")

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, labels and masks."""
        return need_bytes(self, geometry, per_voxel=13)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``grown``, or none; one without voxels (``W_OUTSIDE``) if the seed lies outside.

        Raises
        ------
        Rejected
            ``W_UNPLACED`` if a point is named and the image says not where it lies, ``EMPTY_ROI`` if
            nothing is finite.
        """
        x, padded = measured(self, volume)
        xp = backend_of(x).xp
        if padded is not None:
            x = xp.where(padded, xp.float32(math.nan), x)
        seed = self._seed(x, volume.geometry)
        if seed is None:
            nothing = Bits.of(np.zeros(volume.geometry.spatial_shape, dtype=bool))
            return (Region(bits=nothing, name=self.name, source=self.name, code="W_OUTSIDE"),)
        if self.low is not None or self.high is not None:
            low = -math.inf if self.low is None else self.low
            high = math.inf if self.high is None else self.high
            mask = grown(x, [seed], low=float(np.float32(low)), high=float(np.float32(high)))
        elif math.isfinite(float(x[seed])):
            mask = grown_by_confidence(
                x, [seed], radius=self.radius, multiplier=self.multiplier, iterations=self.iterations
            )
        else:
            return ()
        return found(without(mask & xp.isfinite(x), padded), name=self.name)

    def _seed(self, x: Array, geometry: Geometry) -> Place | None:
        if self.seed == "centre":
            z, y, x_size = geometry.spatial_shape
            return z // 2, y // 2, x_size // 2
        if self.at_mm is not None:
            return _place(self.at_mm, geometry)
        xp = backend_of(x).xp
        known = xp.isfinite(x)
        if not bool(known.any()):
            raise Rejected("EMPTY_ROI")
        if self.seed == "maximum":
            at = xp.where(known, x, xp.float32(-math.inf)).argmax()
        else:
            at = xp.where(known, x, xp.float32(math.inf)).argmin()
        found_z, found_y, found_x = (int(n) for n in np.unravel_index(int(at), x.shape))
        return found_z, found_y, found_x


def _place(at_mm: tuple[float, float, float], geometry: Geometry) -> Place | None:
    """Return the voxel a point lies in, or None if it lies in none."""
    matrix = geometry.matrix
    if matrix is None:
        raise Rejected("W_UNPLACED")
    along = np.linalg.solve(matrix, [*at_mm, 1.0])[2::-1]
    along[:1] = among_slices(along[:1], geometry)
    z, y, x = (math.floor(part + 0.5) for part in along)
    place = (z, y, x)
    if any(not 0 <= n < size for n, size in zip(place, geometry.spatial_shape, strict=True)):
        return None
    return place
