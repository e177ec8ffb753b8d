"""Speckle of ultrasound: noise in proportion to the signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.slabs import slab_bytes
from medpipe.kernels.speckle import lee, refuse_negative, speckle_of, srad
from medpipe.ops.frames import by_frame, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Lee:
    """Takes the mean of a window where speckle explains all that varies there, and the voxel where it does not."""

    name: ClassVar[str] = "lee"
    version: ClassVar[int] = 1

    size: int = parameter(5, doc="Edge of the window, odd.", unit="voxel", low=3, high=15)
    speckle: float | None = parameter(
        None, doc="Coefficient of variation of the speckle; estimated if absent.", above=0.0, high=2.0
    )

    def __post_init__(self) -> None:
        if self.size % 2 == 0:
            raise ConfigError(f"size: {self.size} is even, a window around a voxel is odd")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # counts in voxels
        """Return half the window, or None where the speckle is told of the whole volume."""
        half = self.size // 2
        return None if self.speckle is None else (half, half, half)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of some planes, or of the details the speckle is told from."""
        shape = geometry.spatial_shape
        planes = slab_bytes(shape, per_voxel=64) + slab_bytes(shape, per_voxel=16, border=self.size // 2)
        filtering = result_bytes(geometry, beside=0) + planes
        return filtering if self.speckle is not None else max(filtering, result_bytes(geometry, beside=12))

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is filtered
        """Return the filtered volume.

        Raises
        ------
        Rejected
            ``E_NEGATIVE`` if a value is below 0, ``E_CONSTANT`` if no speckle can be told.
        """
        return volume.with_data(by_frame(volume, self._filtered))

    def _filtered(self, x: Array) -> Array:
        refuse_negative(x)
        return lee(x, size=self.size, speckle=speckle_of(x) if self.speckle is None else self.speckle)


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Srad:
    """Speckle-reducing anisotropic diffusion: what varies more than speckle does is an edge."""

    name: ClassVar[str] = "srad"
    version: ClassVar[int] = 2

    speckle: float | None = parameter(
        None, doc="Coefficient of variation of the speckle; estimated if absent.", above=0.0, high=2.0
    )
    iterations: int = parameter(30, doc="Number of steps; the halo of a block is twice that.", low=1, high=500)
    step: float = parameter(0.2, doc="Length of a step in time.", above=0.0, high=1.0)
    decay: float = parameter(0.1666666667, doc="How fast speckle falls, per unit of time.", low=0.0, high=10.0)

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # counts in voxels
        """Return twice the number of steps, or None where the speckle is told of the whole volume."""
        reach = 2 * self.iterations
        return None if self.speckle is None else (reach, reach, reach)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the image a step before, and of some planes or details."""
        shape = geometry.spatial_shape
        planes = slab_bytes(shape, per_voxel=24) + slab_bytes(shape, per_voxel=22, border=2)
        filtering = result_bytes(geometry, beside=4) + planes
        return filtering if self.speckle is not None else max(filtering, result_bytes(geometry, beside=12))

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is filtered
        """Return the filtered volume.

        Raises
        ------
        Rejected
            ``E_NEGATIVE`` if a value is below 0, ``E_CONSTANT`` if no speckle can be told.
        """
        return volume.with_data(by_frame(volume, self._filtered))

    def _filtered(self, x: Array) -> Array:
        refuse_negative(x)
        speckle = speckle_of(x) if self.speckle is None else self.speckle
        return srad(x, speckle=speckle, decay=self.decay, iterations=self.iterations, step=self.step)
