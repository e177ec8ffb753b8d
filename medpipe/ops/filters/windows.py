"""Filters over a few voxels: the mean, and Laws' kernels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.laws import KERNELS, laws, laws_names, laws_terms
from medpipe.kernels.separable import convolved, device_bytes, mean_term, reach_of
from medpipe.ops.filters.response import BOUNDARY_DOC, BY_SLICE_DOC, INVARIANT_DOC, as_map, of_planes, tag_of
from medpipe.ops.frames import by_frame, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """Replaces each voxel by the mean of a cube of voxels around it (IBSI 2, S60F)."""

    name: ClassVar[str] = "mean_filter"
    version: ClassVar[int] = 1
    ibsi: ClassVar[str] = "S60F"

    size: int = parameter(doc="Edge of the cube, odd.", unit="voxel", low=1, high=99)
    by_slice: bool = parameter(default=False, doc=BY_SLICE_DOC)
    boundary: Literal["constant", "nearest", "wrap", "reflect"] = parameter("reflect", doc=BOUNDARY_DOC)

    def __post_init__(self) -> None:
        """Refuse a cube that has no voxel in its middle."""
        if self.size % 2 == 0:
            raise ConfigError(f"size: {self.size} is even, a cube around a voxel is odd")

    @property
    def tag(self) -> str:
        """What the names of its columns begin with."""
        return tag_of("mean", self.size, by_slice=self.by_slice, boundary=self.boundary)

    def context(self, geometry: Geometry) -> Halo | None:
        """Return half the cube."""
        return self.halo(geometry)

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return half the cube; whole axes, or None, where the image starts anew at its ends."""
        half = self.size // 2
        reach = (0 if self.by_slice else half, half, half)
        return of_planes(reach, geometry, by_slice=self.by_slice, boundary=self.boundary)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result and of some planes."""
        return result_bytes(geometry, beside=0) + plane_bytes(geometry, reach=self.size // 2)

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result and of some planes in float64."""
        reach = reach_of([mean_term(self.size, by_slice=self.by_slice)])
        return result_bytes(geometry, beside=0) + device_bytes(geometry.spatial_shape, reach=reach, terms=1)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is filtered
        """Return the response map; what a window with a missing voxel gives is missing."""
        terms = [mean_term(self.size, by_slice=self.by_slice)]
        return volume.with_data(by_frame(volume, lambda x: convolved(x, terms, joined="sum", boundary=self.boundary)))


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Laws:
    """Responds to levels, edges, spots, waves and ripples by Laws' kernels (IBSI 2, JTXT), or gives their energy."""

    name: ClassVar[str] = "laws"
    version: ClassVar[int] = 1
    ibsi: ClassVar[str] = "JTXT"

    kernels: str = parameter(
        doc=f"Kernels along x and y (within slices) or along x, y and z, such as L5E5E5, of {', '.join(KERNELS)}."
    )
    rotation_invariant: bool = parameter(default=True, doc=INVARIANT_DOC)
    pooling: Literal["max", "mean"] = parameter("max", doc="How responses to rotations are pooled.")
    delta: int | None = parameter(
        None,
        doc="Half the edge of the window over which the energy is averaged; the response itself if absent.",
        unit="voxel",
        low=0,
        high=50,
    )
    boundary: Literal["constant", "nearest", "wrap", "reflect"] = parameter("reflect", doc=BOUNDARY_DOC)

    def __post_init__(self) -> None:
        """Refuse kernels that do not exist."""
        if len(laws_names(self.kernels)) not in (2, 3):
            raise ConfigError(f"kernels: {self.kernels!r} is not two or three of {', '.join(KERNELS)}")

    @property
    def by_slice(self) -> bool:
        """Whether there are kernels along x and y alone."""
        return len(self.kernels) == 4

    @property
    def tag(self) -> str:
        """What the names of its columns begin with."""
        pooled = ("inv", self.pooling) if self.rotation_invariant else ()
        energy = () if self.delta is None else ("energy", self.delta)
        return tag_of("laws", self.kernels, *pooled, *energy, by_slice=self.by_slice, boundary=self.boundary)

    def context(self, geometry: Geometry) -> Halo | None:
        """Return half the kernels and the window."""
        return self.halo(geometry)

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return half the kernels and the window; whole axes, or None, where the image starts anew at its ends."""
        reach = (0 if self.by_slice else self._reach, self._reach, self._reach)
        return of_planes(reach, geometry, by_slice=self.by_slice, boundary=self.boundary)

    @property
    def _reach(self) -> int:
        widest = max(len(KERNELS[name]) // 2 for name in laws_names(self.kernels))
        return widest + (self.delta or 0)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the response where its energy is asked for, and of some planes."""
        beside = 0 if self.delta is None else 4
        return result_bytes(geometry, beside=beside) + plane_bytes(geometry, reach=self._reach)

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the response where its energy is asked for, and of planes in float64."""
        shape, names = geometry.spatial_shape, laws_names(self.kernels)
        terms, _ = laws_terms(names, rotation_invariant=self.rotation_invariant, pooling=self.pooling)
        steps = [device_bytes(shape, reach=reach_of(terms), terms=len(terms))]
        if self.delta is not None:
            window = mean_term(2 * self.delta + 1, by_slice=self.by_slice)
            steps.append(4 * prod(shape) + device_bytes(shape, reach=reach_of([window]), terms=1))
        return result_bytes(geometry, beside=0) + max(steps)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is filtered
        """Return the response map; what a kernel with a missing voxel gives is missing."""
        names = laws_names(self.kernels)
        return as_map(
            volume,
            by_frame(
                volume,
                lambda x: laws(
                    x,
                    names,
                    rotation_invariant=self.rotation_invariant,
                    pooling=self.pooling,
                    delta=self.delta,
                    boundary=self.boundary,
                ),
            ),
        )


def plane_bytes(geometry: Geometry, *, reach: int) -> int:
    """Return the bytes of the two planes that a separable convolution works on, and of places beyond the border."""
    z, y, x = geometry.spatial_shape
    return 16 * y * x + 40 * (z + y + x + 6 * reach)
