"""Means over what is alike: non-local means, bilateral smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.alike import device_bytes, tile_bytes
from medpipe.kernels.bilateral import MOST_VOXELS, bilateral, bilateral_radius, window_voxels
from medpipe.kernels.nlm import non_local_means, reaches_of
from medpipe.kernels.noise import detail_noise, magnitude_noise
from medpipe.kernels.speckle import refuse_negative
from medpipe.ops.frames import by_frame, frame_bytes, known_spacing, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume

_WEIGHT_BYTES = 12
"""Of a voxel of a window: its weight, and what it is worked out with."""

_NOISE_BYTES = 10
"""Of a voxel: what noise is told from on a device, beside as much as a result takes."""

_LEAST_NOISE = 1e-15
"""Less noise, squared, is no number in float32 that could be divided by."""


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class NonLocalMeans:
    """Averages voxels whose surroundings look alike; for magnitudes (MR) without the bias of their noise.

    Of a magnitude squares are averaged, whose bias is the same for any signal, also below the noise; what is less than
    noise alone becomes 0. The level of noise is estimated unless it is given: once for the volume, or for each frame of a series.
    """

    name: ClassVar[str] = "nlm"
    version: ClassVar[int] = 1

    sigma: float | None = parameter(
        None,
        doc="Standard deviation of the noise; estimated if absent.",
        unit="unit of the image",
        low=_LEAST_NOISE,
    )
    strength: float = parameter(
        0.8, doc="How different surroundings may be, in standard deviations.", low=0.001, high=20.0
    )
    patch_size: int = parameter(3, doc="Edge of the cubes that are compared, odd.", unit="voxel", low=1, high=9)
    distance: int = parameter(2, doc="How far to look along each axis.", unit="voxel", low=1, high=10)
    noise: Literal["gaussian", "rician"] = parameter(  # declares a field
        "gaussian", doc="rician for magnitudes of MR: estimated from the air, and its bias taken off."
    )

    def __post_init__(self) -> None:
        if self.patch_size % 2 == 0:
            raise ConfigError(f"patch_size: {self.patch_size} is even, a cube around a voxel is odd")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # counts in voxels
        """Return how far is looked, or None where the noise is told of the whole volume."""
        if self.sigma is None:
            return None
        reach = self.distance + self.patch_size // 2
        return reach, reach, reach

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of a tile, or of the details the noise is told from."""
        beside = 8 if self.sigma is None or self.noise == "rician" else 1
        return result_bytes(geometry, beside=beside) + tile_bytes(self.distance + self.patch_size // 2)

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of the image with its surroundings, or of the details the noise is told from."""
        shape = geometry.spatial_shape
        halves, reaches = reaches_of(shape, patch_size=self.patch_size, distance=self.distance)
        beside = max(
            device_bytes(shape, halves=halves, reaches=reaches),
            frame_bytes(geometry, per_voxel=_NOISE_BYTES) if self.sigma is None or self.noise == "rician" else 0,
        )
        return result_bytes(geometry, beside=0) + beside

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is denoised
        """Return the denoised volume.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if no noise can be told, or only such as is nothing in float32 (below 1e-15),
            ``E_NEGATIVE`` if a magnitude is below 0.
        """
        return volume.with_data(by_frame(volume, self._denoised))

    def _denoised(self, x: Array) -> Array:
        is_magnitude = self.noise == "rician"
        if is_magnitude:
            refuse_negative(x)
        sigma = self.sigma
        if sigma is None:
            sigma = magnitude_noise(x) if is_magnitude else detail_noise(x)
            if sigma < _LEAST_NOISE:
                raise Rejected("E_CONSTANT")
        return non_local_means(
            x,
            patch_size=self.patch_size,
            distance=self.distance,
            h=self.strength * sigma,
            sigma=sigma,
            rician=is_magnitude,
        )


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Bilateral:
    """Averages voxels that are near and of near values; refuses a volume without spacing."""

    name: ClassVar[str] = "bilateral"
    version: ClassVar[int] = 1

    sigma_mm: float = parameter(
        doc="Standard deviation of distances; twice that is looked.", unit="mm", above=0.0, high=20.0
    )
    sigma_value: float = parameter(
        doc="Standard deviation of differences; steps well above it stay.",
        unit="unit of the image",
        low=_LEAST_NOISE,
    )

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return half the window, or None where the spacing is not known."""
        if geometry.spacing_mm is None:
            return None
        return bilateral_radius(sigma_mm=self.sigma_mm, spacing_mm=geometry.spacing_mm)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result, of a tile and of the window's weights."""
        if geometry.spacing_mm is None:
            return 0
        radius = bilateral_radius(sigma_mm=self.sigma_mm, spacing_mm=geometry.spacing_mm, shape=geometry.spatial_shape)
        if window_voxels(radius) > MOST_VOXELS:
            return 0
        return result_bytes(geometry, beside=1) + tile_bytes(max(radius)) + _WEIGHT_BYTES * window_voxels(radius)

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result and of the image with its surroundings."""
        if geometry.spacing_mm is None:
            return 0
        shape = geometry.spatial_shape
        radius = bilateral_radius(sigma_mm=self.sigma_mm, spacing_mm=geometry.spacing_mm, shape=shape)
        if window_voxels(radius) > MOST_VOXELS:
            return 0
        return result_bytes(geometry, beside=0) + device_bytes(shape, halves=(0, 0, 0), reaches=radius)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is smoothed
        """Return the smoothed volume.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known, ``E_WINDOW`` if the window would hold more than
            131,072 voxels.
        """
        spacing_mm = known_spacing(volume.geometry)
        return volume.with_data(
            by_frame(
                volume,
                lambda x: bilateral(x, sigma_mm=self.sigma_mm, sigma_value=self.sigma_value, spacing_mm=spacing_mm),
            )
        )
