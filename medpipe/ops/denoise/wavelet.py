"""Shrinking the details of a wavelet transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medpipe.contracts.protocols import Halo
from medpipe.kernels.noise import detail_noise
from medpipe.kernels.wavelet import bayes_shrink, usual_levels
from medpipe.ops.frames import by_frame, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Wavelet:
    """Shrinks wavelet details as far as noise explains them (BayesShrink); missing voxels stay missing."""

    name: ClassVar[str] = "wavelet"
    version: ClassVar[int] = 1

    sigma: float | None = parameter(
        None, doc="Standard deviation of the noise; estimated if absent.", unit="unit of the image", above=0.0
    )
    levels: int | None = parameter(
        None, doc="Levels of detail; three less than the shortest axis allows if absent.", low=1, high=8
    )

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # bands are of the whole
        """Return None: thresholds, and which voxels go in pairs, depend on the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of bands, which lie beside one another."""
        _, y, x = geometry.spatial_shape
        return result_bytes(geometry, beside=12) + 40 * y * x

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is denoised
        """Return the denoised volume.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if no noise can be told.
        """
        return volume.with_data(by_frame(volume, self._denoised))

    def _denoised(self, x: Array) -> Array:
        xp = backend_of(x).xp
        sigma = detail_noise(x) if self.sigma is None else self.sigma
        levels = usual_levels(x.shape) if self.levels is None else self.levels
        missing = xp.isnan(x)
        if not bool(missing.any()):
            return bayes_shrink(x, sigma=sigma, levels=levels)
        known = xp.where(missing, xp.nanmean(x), x).astype(xp.float32)
        result = bayes_shrink(known, sigma=sigma, levels=levels)
        result[missing] = xp.nan
        return result
