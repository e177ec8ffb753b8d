"""What the features of the standard take on the host, where they are counted by compiled kernels."""

from __future__ import annotations

import math
from typing import Protocol

from medpipe.contracts.protocols import ImageOp
from medpipe.kernels import local_intensity
from medpipe.kernels.autocorrelation import moran_geary_bytes
from medpipe.kernels.resample import SPLINE_PAD
from medpipe.ops import response_maps, roi
from medpipe.ops.ibsi_columns import TEXTURE
from medpipe.ops.ibsi_device import Measures
from medpipe.types import Geometry

_COUNTED_BYTES = 10 * 2**20
"""What the levels that are counted at a time take."""

_BESIDE_BYTES = 2**21
"""What does not grow with the image."""


class _Measures(Measures, Protocol):
    """The parameters that memory on the host depends on."""

    @property
    def order(self) -> int: ...

    @property
    def outlier_sigma(self) -> float | None: ...

    @property
    def filters(self) -> tuple[ImageOp, ...]: ...

    @property
    def on_maps(self) -> _Measures: ...

    def memory(self, geometry: Geometry) -> int: ...


class OnHost:
    """An extractor of the standard's families whose memory on the host is known before a run."""

    __slots__ = ()

    def memory(self: _Measures, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume, with a surface that is not all noise."""
        z, y, x = geometry.spatial_shape
        after = roi.voxels_after(geometry, self.resample_mm)
        uses_splines = self.resample_mm is not None and self.order == 3
        splines = 3 * 8 * (z + 2 * SPLINE_PAD) * y * x if uses_splines else 0
        # The image in float32 and both masks; re-segmentation by outliers takes the region's intensities.
        held = 6 * after
        steps = [splines + 13 * after, held + (8 * after if self.outlier_sigma is not None else 4 * after)]
        if "statistics" in self.families:
            # Intensities, sorted or, where zeros are among the percentiles, in float64.
            steps.append(held + 12 * after)
        if "local_intensity" in self.families:
            steps.append(held + 6 * after + 24 * roi.voxels_in_reach(geometry, self.resample_mm, local_intensity.reach))
        if "intensity_histogram" in self.families:
            steps.append(held + 12 * after + _COUNTED_BYTES)
        if "intensity_volume_histogram" in self.families:
            steps.append(held + 16 * after)
        if not {"morphology", "enclosing"}.isdisjoint(self.families):
            # What lies farthest out follows the surface.
            steps.append(held + 2 * after + 600 * int(after ** (2 / 3)))
        if "morphology" in self.families:
            shape = roi.shape_after(geometry, self.resample_mm)
            of_pairs = moran_geary_bytes(shape, most_voxels=self.autocorrelation_voxels)
            steps.append(held + max(4 * after, of_pairs))
        if not TEXTURE.isdisjoint(self.families):
            steps.append(held + 10 * after)
        if not TEXTURE.isdisjoint(set(self.families) - {"glcm"}):
            # Ranks, zones and distances, and what the matrices take: of these the lengths of runs
            # go back a slice, in 13 directions.
            _, y, x = shape = roi.shape_after(geometry, self.resample_mm)
            a_level = 60 * (max(shape) + 2) + 4 * math.isqrt(2 * after) + 300
            steps.append(held + 20 * after + 52 * (y + 3) * (x + 3) + a_level * self._most_levels(after))
        if "glcm" in self.families:
            steps.append(held + 4 * after + _matrix_bytes(self._most_levels(after)))
        if self.filters and (self.resample_mm is None or geometry.spacing_mm is not None):
            whole = roi.geometry_after(geometry, self.resample_mm)
            # An image in float64 is made narrow for a filter; a map is held with a mask of its own.
            steps += [held + 4 * after + one.memory(whole) for one in self.filters]
            steps.append(held + 5 * after + self.on_maps.memory(whole) - _BESIDE_BYTES)
            return max(steps) + response_maps.kept_bytes(self.filters, whole) + _BESIDE_BYTES
        return max(steps) + _BESIDE_BYTES


def _matrix_bytes(levels: int) -> int:
    """Return the bytes of the matrices of 13 directions, one that is turned over, and sums by two levels."""
    return 100 * levels**2 + 2**22
