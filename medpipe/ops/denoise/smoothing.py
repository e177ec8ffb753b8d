"""Smoothing over a window: gaussian, median."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.gaussian import device_bytes, gaussian, gaussian_radius
from medpipe.kernels.median import median
from medpipe.ops.frames import by_frame, known_spacing, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian:
    """Smooths with a Gaussian window of a width in mm; refuses a volume without spacing."""

    name: ClassVar[str] = "gaussian"
    version: ClassVar[int] = 2

    sigma_mm: float = parameter(doc="Standard deviation of the window.", unit="mm", above=0.0, high=100.0)

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return the half-width of the window, or None where the spacing is not known."""
        if geometry.spacing_mm is None:
            return None
        return gaussian_radius(sigma_mm=self.sigma_mm, spacing_mm=geometry.spacing_mm)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result and of one plane."""
        return result_bytes(geometry, beside=0) + 4 * prod(geometry.shape[-2:])

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result and of some planes."""
        return result_bytes(geometry, beside=0) + device_bytes(geometry.spatial_shape)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is smoothed
        """Return the smoothed volume.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known.
        """
        spacing_mm = known_spacing(volume.geometry)
        return volume.with_data(by_frame(volume, lambda x: gaussian(x, sigma_mm=self.sigma_mm, spacing_mm=spacing_mm)))

    def planes(self, volume: Volume, first: int, last: int) -> Array:
        """Return some planes of the smoothed volume.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known.
        """
        spacing_mm = known_spacing(volume.geometry)
        return gaussian(volume.data, sigma_mm=self.sigma_mm, spacing_mm=spacing_mm, planes=(first, last))


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """Replaces each voxel by the median of a cube of voxels around it."""

    name: ClassVar[str] = "median"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 0.0

    size: int = parameter(3, doc="Edge of the cube, odd.", unit="voxel", low=3, high=15)

    def __post_init__(self) -> None:
        if self.size % 2 == 0:
            raise ConfigError(f"size: {self.size} is even, a cube around a voxel is odd")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # counts in voxels
        """Return half the cube."""
        half = self.size // 2
        return half, half, half

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result and of the marks of missing voxels."""
        return result_bytes(geometry, beside=4)

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result, and of a larger cube's image without missing voxels and their marks."""
        return result_bytes(geometry, beside=0 if self.size == 3 else 7)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is filtered
        """Return the filtered volume."""
        return volume.with_data(by_frame(volume, lambda x: median(x, size=self.size)))

    def planes(self, volume: Volume, first: int, last: int) -> Array:
        """Return some planes of the filtered volume."""
        return median(volume.data, size=self.size, planes=(first, last))
