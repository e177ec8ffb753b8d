"""What keeps edges by their slopes: total variation, anisotropic diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from medpipe.contracts.protocols import Halo
from medpipe.kernels.diffusion import adaptive_diffusion, perona_malik
from medpipe.kernels.slabs import slab_bytes
from medpipe.kernels.total_variation import ON_DEVICE_BYTES, scratch_bytes, total_variation
from medpipe.ops.frames import by_frame, known_spacing, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class TotalVariation:
    """Flattens noise and keeps edges: total variation by Chambolle's projection."""

    name: ClassVar[str] = "tv"
    version: ClassVar[int] = 1

    weight: float = parameter(doc="Strength; steps well below it are flattened.", unit="unit of the image", above=0.0)
    iterations: int = parameter(20, doc="Number of steps, and the halo of a block.", low=2, high=500)

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # counts in voxels
        """Return the number of steps: news travels one voxel in each."""
        return self.iterations, self.iterations, self.iterations

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the dual field and of what is in the cache."""
        return result_bytes(geometry, beside=12) + scratch_bytes(geometry.spatial_shape)

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of the dual field before a step and after it."""
        return result_bytes(geometry, beside=ON_DEVICE_BYTES)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is flattened
        """Return the denoised volume."""
        return volume.with_data(
            by_frame(volume, lambda x: total_variation(x, weight=self.weight, iterations=self.iterations))
        )


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class PeronaMalik:
    """Lets differences of neighbours flow off unless they are edges; refuses a volume without spacing."""

    name: ClassVar[str] = "perona_malik"
    version: ClassVar[int] = 1

    edge: float = parameter(
        doc="Difference of neighbours, over the smallest spacing, from which it is an edge.",
        unit="unit of the image",
        above=0.0,
    )
    iterations: int = parameter(10, doc="Number of steps, and the halo of a block.", low=1, high=500)
    step: float = parameter(0.125, doc="Length of a step; above 1/6 it would not settle.", above=0.0, high=1.0 / 6.0)
    conductance: Literal["exponential", "rational"] = parameter(  # declares a field
        "exponential", doc="exp(-(d/edge)^2), which favours strong edges, or 1/(1+(d/edge)^2), wide regions."
    )

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return the number of steps, or None where the spacing is not known."""
        return None if geometry.spacing_mm is None else (self.iterations, self.iterations, self.iterations)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the image a step before, and of some planes."""
        shape = geometry.spatial_shape
        planes = slab_bytes(shape, per_voxel=24) + slab_bytes(shape, per_voxel=6, border=1)
        return result_bytes(geometry, beside=4) + planes

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is smoothed
        """Return the smoothed volume.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known.
        """
        spacing_mm = known_spacing(volume.geometry)
        return volume.with_data(
            by_frame(
                volume,
                lambda x: perona_malik(
                    x,
                    edge=self.edge,
                    iterations=self.iterations,
                    step=self.step,
                    conductance=self.conductance,
                    spacing_mm=spacing_mm,
                ),
            )
        )


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class CurvatureDiffusion:
    """Smooths along level lines, with an idea of an edge that follows the image's own slopes.

    The scheme of ITK's curvature (or gradient) anisotropic diffusion. Refuses a volume without
    spacing.
    """

    name: ClassVar[str] = "curvature_diffusion"
    version: ClassVar[int] = 1

    conductance: float = parameter(
        3.0, doc="What is an edge, in root mean square gradients of the volume.", above=0.0, high=100.0
    )
    iterations: int = parameter(5, doc="Number of steps.", low=1, high=500)
    step: float = parameter(
        0.0625, doc="Length of a step in time, for a smallest spacing of 1 mm; it goes with it.", above=0.0, high=0.125
    )
    equation: Literal["curvature", "gradient"] = parameter(  # declares a field
        "curvature", doc="Whether level lines move by their curvature, or differences flow."
    )

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # slopes are told of the whole
        """Return None: what is an edge depends on the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the image a step before, and of some planes."""
        shape = geometry.spatial_shape
        planes = slab_bytes(shape, per_voxel=64) + slab_bytes(shape, per_voxel=8, border=1)
        return result_bytes(geometry, beside=4) + planes

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is smoothed
        """Return the smoothed volume.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known.
        """
        spacing_mm = known_spacing(volume.geometry)
        return volume.with_data(
            by_frame(
                volume,
                lambda x: adaptive_diffusion(
                    x,
                    conductance=self.conductance,
                    iterations=self.iterations,
                    step=self.step * min(spacing_mm),
                    equation=self.equation,
                    spacing_mm=spacing_mm,
                ),
            )
        )
