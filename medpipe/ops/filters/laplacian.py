"""The Laplacian of a Gaussian, and its Riesz transform."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from medpipe.contracts.protocols import Halo
from medpipe.kernels.laplacian import laplacian_reach, laplacian_terms
from medpipe.kernels.separable import convolved, device_bytes
from medpipe.kernels.spectral import riesz_margin, riesz_of
from medpipe.ops.filters.response import BOUNDARY_DOC, BY_SLICE_DOC, as_map, check_orders, of_planes, tag_of
from medpipe.ops.filters.windows import plane_bytes
from medpipe.ops.frames import by_frame, known_spacing, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class LaplacianOfGaussian:
    """Responds to blobs and edges of a width in mm (IBSI 2, L6PA), or gives the Riesz transform of that (AYRS).

    Differences are counted per voxel (of the smallest step where steps differ). Refuses a volume without spacing.
    """

    name: ClassVar[str] = "laplacian_of_gaussian"
    version: ClassVar[int] = 1

    sigma_mm: float = parameter(doc="Standard deviation of the Gaussian.", unit="mm", low=0.001, high=100.0)
    truncate: float = parameter(4.0, doc="Standard deviations after which the kernel ends.", low=1.0, high=10.0)
    by_slice: bool = parameter(default=False, doc=BY_SLICE_DOC)
    boundary: Literal["constant", "nearest", "wrap", "reflect"] = parameter("reflect", doc=BOUNDARY_DOC)
    riesz: tuple[int, int, int] | None = parameter(
        None, doc="Orders of a Riesz transform along x, y and z; none if absent.", low=0, high=8
    )

    def __post_init__(self) -> None:
        """Refuse orders of a Riesz transform that are none."""
        check_orders(self.riesz, by_slice=self.by_slice)

    @property
    def ibsi(self) -> str:
        """IBSI code, with that of the Riesz transform."""
        return "L6PA" if self.riesz is None else "L6PA/AYRS"

    @property
    def tag(self) -> str:
        """What the names of its columns begin with."""
        cut = () if self.truncate == 4.0 else (f"t{self.truncate:g}",)
        riesz = () if self.riesz is None else ("riesz", *self.riesz)
        return tag_of("log", f"s{self.sigma_mm:.10g}", *cut, *riesz, by_slice=self.by_slice, boundary=self.boundary)

    def context(self, geometry: Geometry) -> Halo | None:
        """Return half the kernel, or the whole slices or image, as for a block."""
        return self.halo(geometry)

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return half the kernel; whole axes, or None, for a Riesz transform and where the image starts anew."""
        if geometry.spacing_mm is None:
            return None
        boundary = self.boundary if self.riesz is None else "wrap"
        return of_planes(self._reach(geometry.spacing_mm), geometry, by_slice=self.by_slice, boundary=boundary)

    def _reach(self, spacing_mm: tuple[float, float, float]) -> Halo:
        z, y, x = (laplacian_reach(self.sigma_mm, step, self.truncate) for step in spacing_mm)
        return (0 if self.by_slice else z), y, x

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and some planes, and of the image and spectrum of a Riesz transform."""
        if geometry.spacing_mm is None:
            return 0
        reach = self._reach(geometry.spacing_mm)
        # the kernels along the axes are made as Python's numbers
        taken = result_bytes(geometry, beside=0) + plane_bytes(geometry, reach=max(reach)) + 160 * sum(reach)
        if self.riesz is None:
            return taken
        by = riesz_margin(reach, boundary=self.boundary, by_slice=self.by_slice)
        wide = math.prod(n + 2 * more for n, more in zip(geometry.spatial_shape, by, strict=True))
        plane = wide // (geometry.spatial_shape[0] + 2 * by[0])
        return taken + 20 * wide + 200 * plane

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of planes in float64, and of the image and spectrum of a Riesz transform."""
        if geometry.spacing_mm is None:
            return 0
        reach, result = self._reach(geometry.spacing_mm), result_bytes(geometry, beside=0)
        terms = 3 if self.by_slice else 4
        if self.riesz is None:
            return result + device_bytes(geometry.spatial_shape, reach=reach, terms=terms)
        by = riesz_margin(reach, boundary=self.boundary, by_slice=self.by_slice)
        z, y, x = (n + 2 * more for n, more in zip(geometry.spatial_shape, by, strict=True))
        part = (1 if self.by_slice else z, y, x)
        wide = 4 * math.prod(part)
        return result + 2 * wide + max(device_bytes(part, reach=reach, terms=terms), 5 * wide + 64 * y * x)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is filtered
        """Return the response map; what a kernel with a missing voxel gives is missing.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known.
        """
        spacing_mm = known_spacing(volume.geometry)
        terms = laplacian_terms(
            sigma_mm=self.sigma_mm, truncate=self.truncate, spacing_mm=spacing_mm, by_slice=self.by_slice
        )

        def response(x: Array) -> Array:
            return convolved(x, terms, joined="sum", boundary=self.boundary)

        def transformed(x: Array) -> Array:
            if self.riesz is None:
                return response(x)
            return riesz_of(
                x,
                response,
                orders=self.riesz,
                reach=self._reach(spacing_mm),
                boundary=self.boundary,
                by_slice=self.by_slice,
            )

        return as_map(volume, by_frame(volume, transformed))
