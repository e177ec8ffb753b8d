"""What region sources that look at voxels have in common: which voxels count, and what is found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from medpipe.contracts.protocols import UsesPadding
from medpipe.errors import Rejected
from medpipe.ops.frames import frame_bytes, mean_bytes, mean_frame
from medpipe.ops.padding import padded_frame, padding_bytes
from medpipe.ops.parameters import parameter
from medpipe.types import Array, Geometry, Region, Volume
from medpipe.xp import backend_of, to_numpy

ML_MM3 = 1e3
LITRE_MM3 = 1e6
LABEL_BYTES = 1 << 22
"""What labelling in slabs takes at least."""

TABLE_BYTES = 1 << 21
"""What finding thresholds takes: tables of pairs of bins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoxelSource:
    """Parameters of every region source that looks at voxels; of a volume with a leading axis the mean over it counts."""

    uses_companions: ClassVar[bool] = False

    padding: Literal["keep", "exclude"] = parameter("keep", doc="Whether voxels that the header calls padding count.")

    @property
    def uses_padding(self) -> bool:
        """Whether padding is left out."""
        return self.padding == "exclude"


def measured(op: UsesPadding, volume: Volume) -> tuple[Array, Array | None]:
    """Return the mean over frames, and where an op leaves out padding, its mask; padding is as low as anything then."""
    x = mean_frame(volume)
    padded = padded_frame(volume) if op.uses_padding else None
    if padded is None or not bool(padded.any()):
        return x, None
    if bool(padded.all()):
        return x, padded
    xp = backend_of(x).xp
    least = xp.where(padded, xp.float32(math.inf), x).min()
    return xp.where(padded, least, x), padded


def without(mask: Array, padded: Array | None) -> Array:
    """Return a mask without padding."""
    return mask if padded is None else mask & ~padded


def need_bytes(op: UsesPadding, geometry: Geometry, *, per_voxel: int, beside: int = LABEL_BYTES) -> int:
    """Return what a source takes: its mean over frames, padding, so many bytes a voxel of a frame, and some beside."""
    padding = padding_bytes(geometry) if op.uses_padding else 0
    return mean_bytes(geometry) + frame_bytes(geometry, per_voxel=per_voxel) + beside + padding


def found(mask: Array, *, name: str, label: int = 1) -> tuple[Region, ...]:
    """Return the region of a mask, or none if it is empty."""
    return (Region(mask=to_numpy(mask), name=name, source=name, label=label),) if bool(mask.any()) else ()


def check_unit(volume: Volume, *units: str) -> None:
    """Refuse an image of another unit.

    Raises
    ------
    Rejected
        ``E_UNIT``.
    """
    if volume.unit not in units:
        raise Rejected("E_UNIT")


def closed_bytes(geometry: Geometry, *, radius_mm: float) -> int:
    """Return what closing takes: masks that reach over the borders as far as its radius, which may be far."""
    if geometry.spacing_mm is None:
        return 0
    sides = zip(geometry.spatial_shape, geometry.spacing_mm, strict=True)
    z, y, x = (size + 2 * int(radius_mm / step + 1e-9) for size, step in sides)
    return 7 * z * y * x
