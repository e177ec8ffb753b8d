"""Denoising across the frames of a series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.mppca import mp_pca
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class MpPca:
    """Leaves out the components of a series that are noise by the Marchenko-Pastur law, as diffusion MR asks for.

    Must come before anything that interpolates. An image without frames in time stays as it is.
    """

    name: ClassVar[str] = "mp_pca"
    version: ClassVar[int] = 1
    across_frames: ClassVar[bool] = True

    size: int = parameter(
        5, doc="Edge of the window, odd; its voxels should be more than the frames.", unit="voxel", low=3, high=15
    )

    def __post_init__(self) -> None:
        if self.size % 2 == 0:
            raise ConfigError(f"size: {self.size} is even, a window around a voxel is odd")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # series are not worked on in blocks
        """Return None: a series is worked on whole."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, made twice over, of the weights, and of the windows of a row."""
        result = 4 * math.prod(geometry.shape)
        if geometry.axes != "tzyx":
            return result
        n_frames, row = geometry.shape[0], geometry.shape[-1]
        windows = row * n_frames * (5 * 8 * self.size**3 + 4 * 8 * n_frames)
        return 3 * result + 12 * math.prod(geometry.spatial_shape) + windows

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole series is denoised
        """Return the denoised series."""
        xp = backend_of(volume.data).xp
        data = xp.array(volume.data, dtype=xp.float32)
        return volume.with_data(mp_pca(data, size=self.size) if volume.geometry.axes == "tzyx" else data)
