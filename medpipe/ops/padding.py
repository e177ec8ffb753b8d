"""Padding: voxels that a header says were never measured, and the op that fills them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medpipe.contracts.protocols import Halo
from medpipe.ops.frames import frame_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of


def padding_mask(volume: Volume) -> Array | None:
    """Return which voxels of an image, as it was read, are padding; None where no header names any.

    Returns
    -------
    array of bool, of the volume's shape, or None
    """
    if volume.padding is None:
        return None
    xp = backend_of(volume.data).xp
    pairs = np.array([np.nan if value is None else value for value in volume.padding], np.float32).reshape(-1, 2)
    # one pair for all, or one for each member, which are equal parts in the order of the array
    parts = volume.data.reshape(len(pairs), -1)
    low, high = (xp.asarray(pairs[:, end, None]) for end in (0, 1))
    return ((parts >= low) & (parts <= high)).reshape(volume.data.shape)


def padded_frame(volume: Volume) -> Array | None:
    """Return which voxels (z, y, x) are padding in all frames of an image; None where no header names any."""
    mask = padding_mask(volume)
    return mask if mask is None or mask.ndim == 3 else mask.all(axis=0)


def padding_bytes(geometry: Geometry) -> int:
    """Return what the masks take, and a frame without its padding."""
    return 3 * math.prod(geometry.shape) + frame_bytes(geometry, per_voxel=5)


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class FillPadding:
    """Gives voxels that the header calls padding another value. Must be the first op: it knows them by their values."""

    name: ClassVar[str] = "fill_padding"
    version: ClassVar[int] = 1
    uses_padding: ClassVar[bool] = True
    must_be_first: ClassVar[bool] = True

    value: float | None = parameter(
        None, doc="What they become; the least value that was measured if absent.", unit="unit of the image"
    )

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # what is padding may differ from slice to slice
        """Return None: the op needs to know which slices it is given."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of two masks."""
        return 6 * math.prod(geometry.shape)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # voxel by voxel
        """Return the volume without its padding."""
        xp = backend_of(volume.data).xp
        data = xp.asarray(volume.data, dtype=xp.float32)
        padded = padding_mask(volume)
        if padded is None or not bool(padded.any()):
            return volume.with_data(data, padding=None)
        fill = self.value
        if fill is None:
            least = float(xp.where(padded, xp.float32(np.inf), data).min())
            fill = least if math.isfinite(least) else 0.0
        return volume.with_data(xp.where(padded, xp.float32(fill), data), padding=None)
