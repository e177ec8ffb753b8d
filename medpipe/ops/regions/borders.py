"""Regions by their borders: watershed, zero crossings of the Laplacian, Canny, Chan-Vese."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.canny import canny, enclosed, steepness
from medpipe.kernels.chan_vese import chan_vese
from medpipe.kernels.classes import otsu_threshold
from medpipe.kernels.components import fill_slice_holes
from medpipe.kernels.flooding import flooded
from medpipe.kernels.intensity import varying
from medpipe.kernels.slabs import slab_bytes
from medpipe.kernels.slopes import connected_to_strong, curvature, slope, without_gaps
from medpipe.ops.frames import known_spacing
from medpipe.ops.parameters import parameter
from medpipe.ops.regions.thresholds import class_limits
from medpipe.ops.regions.voxels import TABLE_BYTES, VoxelSource, found, measured, need_bytes, without
from medpipe.ops.register import register
from medpipe.types import Array, Companions, Geometry, Region, Volume
from medpipe.xp import backend_of, to_numpy


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Watershed(VoxelSource):
    """Finds what is bright up to where the image is steepest: watershed of the slope from two markers.

    What is surely inside, and surely outside, are the markers; what lies between goes to the one
    it is not cut off from by an edge.
    """

    name: ClassVar[str] = "watershed"
    version: ClassVar[int] = 1

    sigma_mm: float = parameter(1.0, doc="Window of the slope.", unit="mm", above=0.0, high=100.0)
    inside: float | None = parameter(
        None, doc="From here on surely inside; the upper of Otsu's three classes if absent.", unit="unit of the image"
    )
    outside: float | None = parameter(
        None, doc="Up to here surely outside; the lower of Otsu's three classes if absent.", unit="unit of the image"
    )

    def __post_init__(self) -> None:
        if (self.inside is None) != (self.outside is None):
            raise ConfigError("inside: goes with outside, and outside with it")
        if self.inside is not None and self.outside is not None and not self.outside < self.inside:
            raise ConfigError("inside: must be above outside")

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of slope, markers, what is flooded, and its queue."""
        return need_bytes(self, geometry, per_voxel=60, beside=0)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``watershed``, or none if nothing is surely inside.

        Raises
        ------
        Rejected
            ``E_SPACING`` if no spacing is known, ``E_CONSTANT`` if the values are too few for
            three classes, ``EMPTY_ROI`` if none is finite.
        """
        spacing_mm = known_spacing(volume.geometry)
        x, padded = measured(self, volume)
        outside, inside = self._limits(x, padded)
        xp = backend_of(x).xp
        filled = without_gaps(x)
        markers = xp.zeros(x.shape, dtype=xp.int8)
        markers[filled > inside] = 1
        markers[filled <= outside] = 2
        steep = slope(filled, sigma_mm=self.sigma_mm, spacing_mm=spacing_mm)
        del filled
        mask = xp.asarray(flooded(to_numpy(steep), to_numpy(markers)) == 1)
        return found(without(mask & xp.isfinite(x), padded), name=self.name)

    def _limits(self, x: Array, padded: Array | None) -> tuple[float, float]:
        if self.inside is not None and self.outside is not None:
            return self.outside, float(np.nextafter(np.float32(self.inside), np.float32(-np.inf)))
        lower, upper = class_limits(x, padded, classes=3)
        return lower, upper


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Edges(VoxelSource):
    """Finds what edges enclose: the bright side of steep zero crossings of the Laplacian, holes filled.

    A border is an edge where the slope is steep, and as far as it is half as steep from there on.
    """

    name: ClassVar[str] = "edges"
    version: ClassVar[int] = 1

    sigma_mm: float = parameter(2.0, doc="Window of slope and Laplacian.", unit="mm", above=0.0, high=100.0)
    least_slope: float | None = parameter(
        None,
        doc="Slope from which a border is steep; Otsu's threshold of the slope if absent.",
        unit="unit of the image/mm",
        above=0.0,
    )
    weak: float = parameter(0.5, doc="Part of that slope as far as an edge goes on.", above=0.0, high=1.0)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of slope, Laplacian, one difference, labels and masks."""
        return need_bytes(self, geometry, per_voxel=22)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``edges``, or none.

        Raises
        ------
        Rejected
            ``E_SPACING`` if no spacing is known, ``E_CONSTANT`` if the volume does not vary,
            ``EMPTY_ROI`` if nothing is finite.
        """
        spacing_mm = known_spacing(volume.geometry)
        x, padded = measured(self, volume)
        xp = backend_of(x).xp
        known = xp.isfinite(x)
        if not bool(known.any()):
            raise Rejected("EMPTY_ROI")
        filled = without_gaps(x)
        inner = curvature(filled, sigma_mm=self.sigma_mm, spacing_mm=spacing_mm) < 0.0
        steep = slope(filled, sigma_mm=self.sigma_mm, spacing_mm=spacing_mm)
        del filled
        least = _parting(steep) if self.least_slope is None else self.least_slope
        weak = inner & (steep >= xp.float32(self.weak * least))
        strong = weak & (steep >= xp.float32(least))
        del steep, inner
        mask = fill_slice_holes(connected_to_strong(weak, strong))
        return found(without(mask & known, padded), name=self.name)


def _parting(steep: Array) -> float:
    """Return Otsu's threshold of a slope."""
    return otsu_threshold(varying(steep, backend_of(steep).xp.ones(steep.shape, dtype=bool)))


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Canny(VoxelSource):
    """Finds Canny's edges slice by slice, or what they enclose with them; lines that enclose nothing are left out then.

    An edge is as steep as ``least_slope`` somewhere, and as its part ``weak`` all along.
    """

    name: ClassVar[str] = "canny"
    version: ClassVar[int] = 1

    sigma_mm: float = parameter(1.0, doc="Window that smooths each slice first.", unit="mm", above=0.0, high=100.0)
    least_slope: float | None = parameter(
        None,
        doc="Slope within the slice that an edge has somewhere; Otsu's threshold of the slope if absent.",
        unit="unit of the image/mm",
        above=0.0,
    )
    weak: float = parameter(0.5, doc="Part of that slope that an edge has all along.", above=0.0, high=1.0)
    shown: Literal["enclosed", "lines"] = parameter(  # declares a field
        "enclosed", doc="What edges enclose, with them, or the edges alone: lines of one voxel."
    )

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the image without gaps, the slope and its values, masks, and some slices at work."""
        at_work = slab_bytes(geometry.spatial_shape, per_voxel=64)
        return need_bytes(self, geometry, per_voxel=14, beside=0) + at_work

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``canny``, or none.

        Raises
        ------
        Rejected
            ``E_SPACING`` if no spacing is known, ``E_CONSTANT`` if no slice varies,
            ``EMPTY_ROI`` if nothing is finite.
        """
        spacing_mm = known_spacing(volume.geometry)
        x, padded = measured(self, volume)
        backend = backend_of(x)
        known = backend.xp.isfinite(x)
        if not bool(known.any()):
            raise Rejected("EMPTY_ROI")
        filled = without_gaps(x)
        high = self.least_slope
        if high is None:
            high = _parting(steepness(filled, sigma_mm=self.sigma_mm, spacing_mm=spacing_mm))
        mask = canny(filled, sigma_mm=self.sigma_mm, spacing_mm=spacing_mm, low=self.weak * high, high=high)
        del filled
        if self.shown == "enclosed":
            mask = enclosed(mask)
        return found(without(mask & known, padded), name=self.name)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class ChanVese(VoxelSource):
    """Finds what is bright and even: from Otsu's threshold a smooth border moves until both sides are even."""

    name: ClassVar[str] = "chan_vese"
    version: ClassVar[int] = 1

    iterations: int = parameter(20, doc="Most steps of the border, a voxel each.", low=1, high=1000)
    smoothing: int = parameter(1, doc="How often the border is smoothed in each step.", low=0, high=10)
    inside: float = parameter(1.0, doc="Weight of what is uneven inside.", above=0.0)
    outside: float = parameter(1.0, doc="Weight of what is uneven outside.", above=0.0)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, and of the values sorted in a copy, or masks and a plane at work."""
        plane = 32 * prod(geometry.spatial_shape[1:])
        limits = need_bytes(self, geometry, per_voxel=9, beside=TABLE_BYTES)
        return max(limits, need_bytes(self, geometry, per_voxel=6, beside=plane))

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``chan_vese``, or none if nothing is left.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the volume does not vary, ``EMPTY_ROI`` if nothing is finite.
        """
        x, padded = measured(self, volume)
        (threshold,) = class_limits(x, padded, classes=2)
        filled = without_gaps(x)
        mask = chan_vese(
            filled,
            filled > threshold,
            iterations=self.iterations,
            smoothing=self.smoothing,
            inside=self.inside,
            outside=self.outside,
        )
        return found(without(mask & backend_of(x).xp.isfinite(x), padded), name=self.name)
