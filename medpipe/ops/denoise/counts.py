"""Noise of counts, as PET has it: made even, taken off by another op, and the values brought back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from medpipe.contracts.protocols import Halo, ImageOp
from medpipe.errors import ConfigError
from medpipe.kernels.anscombe import anscombe, gain_of, unbiased_inverse
from medpipe.kernels.slabs import slab_bytes
from medpipe.ops.device_bytes import device_bytes_of
from medpipe.ops.frames import by_frame, frame_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume

INNER = ("bilateral", "gaussian", "median", "nlm", "perona_malik", "tv", "wavelet")
"""Ops that may stand within: they keep the grid and take values as they are."""


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Anscombe:
    """Wraps a denoiser for images of counts: what it is given has a noise of 1 everywhere."""

    name: ClassVar[str] = "anscombe"
    version: ClassVar[int] = 1

    denoiser: ImageOp = parameter(  # noqa: RUF009  # declares a field
        doc=f"The op within, as a table: one of {', '.join(INNER)}; what it is given has noise of 1."
    )
    gain: float | None = parameter(
        None,
        doc="Variance over mean: what one count is worth; estimated if absent.",
        unit="unit of the image",
        above=0.0,
    )

    def __post_init__(self) -> None:
        if self.denoiser.name not in INNER:
            raise ConfigError(f"denoiser: {self.denoiser.name} is none of {', '.join(INNER)}")

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return that of the op within, or None where the gain is told of the whole volume."""
        return None if self.gain is None else self.denoiser.halo(geometry)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the even image, and what the op within takes."""
        return self._memory(geometry, self.denoiser.memory(_frame_of(geometry)))

    def device_memory(self, geometry: Geometry) -> int:
        """Return what :meth:`memory` does, with what the op within takes on a device."""
        return self._memory(geometry, device_bytes_of(self.denoiser, _frame_of(geometry)))

    def _memory(self, geometry: Geometry, within: int) -> int:
        even = frame_bytes(geometry, per_voxel=4)
        back = frame_bytes(geometry, per_voxel=8) + slab_bytes(geometry.spatial_shape, per_voxel=48)
        frames = 0 if len(geometry.shape) == 3 else 4 * math.prod(geometry.shape)
        return frames + even + max(within, back)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the denoised volume, without values below 0.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if no noise can be told; what the op within says.
        """
        return volume.with_data(by_frame(volume, lambda x: self._denoised(x, volume, mask)))

    def _denoised(self, x: Array, volume: Volume, mask: Array | None) -> Array:
        gain = gain_of(x) if self.gain is None else self.gain
        geometry = replace(volume.geometry, shape=x.shape, axes="zyx")
        even = volume.with_data(anscombe(x, gain=gain), geometry=geometry, unit="arbitrary")
        return unbiased_inverse(self.denoiser(even, mask).data, gain=gain)


def _frame_of(geometry: Geometry) -> Geometry:
    return replace(geometry, shape=geometry.spatial_shape, axes="zyx")
