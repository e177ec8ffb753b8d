"""The scan was repeated: other noise of the same kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medpipe.errors import Rejected
from medpipe.kernels.noise import detail_noise
from medpipe.ops.frames import frame_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.perturb.drawing import stream
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Region, Volume
from medpipe.xp import backend_of


@register("perturb")
@dataclass(frozen=True, slots=True, kw_only=True)
class AddNoise:
    """Adds normal noise to the image: of a standard deviation, or as much as its finest details say is there."""

    name: ClassVar[str] = "noise"
    version: ClassVar[int] = 1

    sd: float | None = parameter(
        None, doc="standard deviation; that of the image's own noise if absent", unit="unit of the image", above=0.0
    )

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the noise, of the result, and of the search for what is there."""
        return frame_bytes(geometry, per_voxel=14) + 2**18

    def __call__(self, volume: Volume, regions: tuple[Region, ...], *, seed: str) -> tuple[Volume, tuple[Region, ...]]:
        """Return the image with noise, and the regions as they are."""
        if len(volume.data.shape) != 3:
            raise Rejected("E_AXES")
        xp = backend_of(volume.data).xp
        x = xp.asarray(volume.data, dtype=xp.float32)
        drawn = stream(seed).standard_normal(x.shape, dtype=np.float32)
        drawn *= np.float32(_noise_of(x) if self.sd is None else self.sd)
        return volume.with_data(x + xp.asarray(drawn)), regions


def _noise_of(x: Array) -> float:
    try:
        return detail_noise(x)
    except Rejected:
        return 0.0
