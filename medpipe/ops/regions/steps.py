"""Steps on regions: morphology in mm, holes, and which components stay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from medpipe.contracts.protocols import Halo
from medpipe.kernels import components
from medpipe.kernels.labels import LABELLED_VOXELS, Neighbours, chosen_components
from medpipe.ops.frames import frame_bytes, known_spacing
from medpipe.ops.parameters import parameter
from medpipe.ops.regions.voxels import ML_MM3, closed_bytes
from medpipe.ops.register import register
from medpipe.types import Array, Geometry

_SORTED_BYTES_PER_VOXEL = 16
"""Of a slab whose labels are counted on a device: labels, and a copy of them that is sorted."""

_LABELLED_BYTES_PER_VOXEL = 10

_TABLE_BYTES_PER_VOXEL = {6: 5, 18: 1, 26: 0}
"""What is noted of components where a mask is noise: the more neighbours there are, the fewer components."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Near:
    """A step that leads no further than the region: what lies around it matters for a voxel."""

    def reach(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # the same on every grid
        """Return a voxel: where the region ends must not look like where the image does."""
        return 1, 1, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ellipsoid(_Near):
    """A step with an ellipsoid of a radius in mm."""

    radius_mm: float

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of masks beside it."""
        return frame_bytes(geometry, per_voxel=4)


@register("steps")
@dataclass(frozen=True, slots=True, kw_only=True)
class Erode(_Ellipsoid):
    """Shrinks a region by a radius in mm; where the image ends the region counts as going on."""

    name: ClassVar[str] = "erode"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 0.0

    radius_mm: float = parameter(doc="By how much.", unit="mm", above=0.0, high=200.0)

    def __call__(self, mask: Array, geometry: Geometry) -> Array:
        """Return the shrunk mask; raises ``Rejected`` (``E_SPACING``) without a spacing."""
        return components.erosion(mask, radius_mm=self.radius_mm, spacing_mm=known_spacing(geometry))


@register("steps")
@dataclass(frozen=True, slots=True, kw_only=True)
class Dilate(_Ellipsoid):
    """Grows a region by a radius in mm."""

    name: ClassVar[str] = "dilate"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 0.0

    radius_mm: float = parameter(doc="By how much.", unit="mm", above=0.0, high=200.0)

    def reach(self, geometry: Geometry) -> Halo | None:
        """Return the radius in voxels, as far as the grid goes."""
        if geometry.spacing_mm is None:
            return None
        sides = zip(geometry.spatial_shape, geometry.spacing_mm, strict=True)
        z, y, x = (min(int(self.radius_mm / step + 1e-9), size) for size, step in sides)
        return z, y, x

    def __call__(self, mask: Array, geometry: Geometry) -> Array:
        """Return the grown mask; raises ``Rejected`` (``E_SPACING``) without a spacing."""
        return components.dilation(mask, radius_mm=self.radius_mm, spacing_mm=known_spacing(geometry))


@register("steps")
@dataclass(frozen=True, slots=True, kw_only=True)
class Open(_Ellipsoid):
    """Removes what an ellipsoid of a radius in mm does not fit into; where the image ends the region goes on."""

    name: ClassVar[str] = "open"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 0.0

    radius_mm: float = parameter(doc="Radius of what is too thin.", unit="mm", above=0.0, high=200.0)

    def __call__(self, mask: Array, geometry: Geometry) -> Array:
        """Return the opened mask; raises ``Rejected`` (``E_SPACING``) without a spacing."""
        return components.opening(mask, radius_mm=self.radius_mm, spacing_mm=known_spacing(geometry))


@register("steps")
@dataclass(frozen=True, slots=True, kw_only=True)
class Close(_Ellipsoid):
    """Fills gaps that an ellipsoid of a radius in mm does not fit into."""

    name: ClassVar[str] = "close"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 0.0

    radius_mm: float = parameter(doc="Radius of what is too narrow a gap.", unit="mm", above=0.0, high=200.0)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of masks that reach over the borders."""
        return closed_bytes(geometry, radius_mm=self.radius_mm)

    def __call__(self, mask: Array, geometry: Geometry) -> Array:
        """Return the closed mask; raises ``Rejected`` (``E_SPACING``) without a spacing."""
        return components.closing(mask, radius_mm=self.radius_mm, spacing_mm=known_spacing(geometry))


@register("steps")
@dataclass(frozen=True, slots=True, kw_only=True)
class FillHoles(_Near):
    """Fills holes: of each slice, or of the volume, what no path of background leads out of."""

    name: ClassVar[str] = "fill_holes"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 0.0

    of: Literal["slices", "volume"] = parameter("slices", doc="Where paths run.")  # declares a field

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of labels and masks."""
        return frame_bytes(geometry, per_voxel=2 if self.of == "slices" else 6) + (1 << 21)

    def __call__(self, mask: Array, geometry: Geometry) -> Array:  # noqa: ARG002  # holes have no size
        """Return the filled mask."""
        return components.fill_slice_holes(mask) if self.of == "slices" else components.fill_holes(mask)


@register("steps")
@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLargest(_Near):
    """Keeps the largest components of a region; of equal ones the first."""

    name: ClassVar[str] = "keep_largest"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 0.0

    count: int = parameter(1, doc="How many.", low=1, high=1000)
    neighbours: Neighbours = parameter(26, doc="Voxels that belong together: by a face, an edge, a corner.")  # noqa: RUF009

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the labels of a slab, and of the table of components of a noisy mask."""
        return _labelled_bytes(geometry, self.neighbours)

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of the labels of a slab, which are sorted there."""
        return _sorted_bytes(geometry)

    def __call__(self, mask: Array, geometry: Geometry) -> Array:  # noqa: ARG002  # by voxels
        """Return what is kept."""

        def largest(sizes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
            wanted = np.zeros(len(sizes), dtype=np.bool_)
            wanted[np.argsort(-sizes, kind="stable")[: self.count]] = True
            return wanted

        return chosen_components(mask, largest, neighbours=self.neighbours)


@register("steps")
@dataclass(frozen=True, slots=True, kw_only=True)
class DropBelow(_Near):
    """Drops the components of a region that are below a volume."""

    name: ClassVar[str] = "drop_below"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 0.0

    ml: float = parameter(doc="Least volume that stays.", unit="ml", above=0.0)
    neighbours: Neighbours = parameter(26, doc="Voxels that belong together: by a face, an edge, a corner.")  # noqa: RUF009

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the labels of a slab, and of the table of components of a noisy mask."""
        return _labelled_bytes(geometry, self.neighbours)

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of the labels of a slab, which are sorted there."""
        return _sorted_bytes(geometry)

    def __call__(self, mask: Array, geometry: Geometry) -> Array:
        """Return what stays; raises ``Rejected`` (``E_SPACING``) without a spacing."""
        known_spacing(geometry)
        least_voxels = self.ml * ML_MM3 / geometry.voxel_mm3
        return chosen_components(mask, lambda sizes: sizes >= least_voxels * (1 - 1e-9), neighbours=self.neighbours)


def _labelled_bytes(geometry: Geometry, neighbours: Neighbours) -> int:
    _, y, x = geometry.spatial_shape
    return (
        frame_bytes(geometry, per_voxel=1 + _TABLE_BYTES_PER_VOXEL[neighbours])
        + _LABELLED_BYTES_PER_VOXEL * _slab_voxels(geometry)
        + 16 * y * x
    )


def _sorted_bytes(geometry: Geometry) -> int:
    return frame_bytes(geometry, per_voxel=1) + _SORTED_BYTES_PER_VOXEL * _slab_voxels(geometry)


def _slab_voxels(geometry: Geometry) -> int:
    _, y, x = geometry.spatial_shape
    return min(math.prod(geometry.spatial_shape), max(LABELLED_VOXELS, y * x))
