"""What the features of the standard take on a GPU, where they are counted by array operations."""

from __future__ import annotations

import math
from typing import ClassVar, Protocol

from medpipe.kernels import local_intensity
from medpipe.kernels.device.autocorrelation import CELLS_AT_ONCE as SPECTRUM_CELLS
from medpipe.kernels.device.places import AT_ONCE, CELLS_AT_ONCE
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D
from medpipe.ops import roi
from medpipe.ops.ibsi_columns import TEXTURE, Family
from medpipe.types import Geometry

_BESIDE_BYTES = 2**22
"""What does not grow with the image."""

_HELD = 6
"""Bytes a voxel from the first family to the last: intensities and both masks."""


class Measures(Protocol):
    """The parameters of :class:`medpipe.ops.extract_ibsi.Ibsi` that memory depends on."""

    @property
    def families(self) -> tuple[Family, ...]:
        """Families that are measured."""

    @property
    def resample_mm(self) -> tuple[float, float, float] | None:
        """Spacing that region and image are brought to."""

    @property
    def autocorrelation_voxels(self) -> int:
        """Voxels of the box above which Moran's I and Geary's C are left out."""

    def _most_levels(self, voxels: int) -> int: ...


class OnDevice:
    """An extractor of the standard's families that may be given a volume on a GPU.

    There a number may differ by ``device_tolerance``, a share of it, from the host's.
    """

    __slots__ = ()

    device_tolerance: ClassVar[float] = 1e-6

    def device_memory(self: Measures, geometry: Geometry) -> int:
        """Return the peak bytes on the volume's GPU, beside the volume and what filters take."""
        shape = roi.shape_after(geometry, self.resample_mm)
        voxels = math.prod(shape)
        steps = [intensity_bytes(voxels)]
        if self.resample_mm is not None:
            # planes in float64, and coefficients of splines
            steps.append(13 * voxels + 24 * math.prod(size + 32 for size in geometry.spatial_shape))
        if "local_intensity" in self.families and geometry.spacing_mm is not None:
            spacing_mm = roi.geometry_after(geometry, self.resample_mm).spacing_mm
            assert spacing_mm is not None
            steps.append(peak_bytes(shape, local_intensity.reach(spacing_mm)))
        if "morphology" in self.families:
            most = min(voxels, self.autocorrelation_voxels)
            steps.append(_HELD * voxels + autocorrelation_bytes(most, min(shape[0] * shape[1], most)))
        if not TEXTURE.isdisjoint(self.families):
            steps.append(texture_bytes(shape, self._most_levels(voxels)))
        return max(steps) + _BESIDE_BYTES


def intensity_bytes(voxels: int, /) -> int:
    """Return the peak bytes of levels, statistics and histograms: values, sorted ones, and some in float64."""
    return (_HELD + 20) * voxels + 40 * min(voxels, 2 * AT_ONCE)


def texture_bytes(shape: tuple[int, int, int], levels: int, /) -> int:
    """Return the peak bytes of the texture families of a region that fills a box.

    Parameters
    ----------
    shape : (int, int, int)
        Of the box (z, y, x).
    levels : int
        Distinct grey levels.

    Notes
    -----
    Ranks, places, zones with their distances, and what runs are sorted by take 30 bytes a voxel; then
    the neighbours of some voxels at a time, and the matrices of all directions, or of some slices.
    """
    z, y, x = shape
    voxels = z * y * x
    side = levels + 1
    # by another level, by the length of a run, by the size of a zone
    widest = max(len(DIRECTIONS_3D) * side, len(DIRECTIONS_3D) * (max(shape) + 2), math.isqrt(2 * voxels) + max(shape))
    a_slice = side * max(len(DIRECTIONS_2D) * side, len(DIRECTIONS_2D) * (max(y, x) + 2))
    cells = max(side * widest, min(z * a_slice, max(CELLS_AT_ONCE, a_slice)))
    return (_HELD + 30) * voxels + 80 * min(voxels, AT_ONCE) + 12 * cells


def peak_bytes(shape: tuple[int, int, int], reach: tuple[int, int, int], /) -> int:
    """Return the peak bytes of local intensities around a region that fills a box: slabs in float64, with sums."""
    z, y, x = shape
    planes = min(max(AT_ONCE // (y * x), 2 * reach[0] + 1), z) + 2 * reach[0]
    return _HELD * z * y * x + 44 * planes * (y + 2 * reach[1]) * (x + 2 * reach[2])


def autocorrelation_bytes(voxels: int, lines: int, /) -> int:
    """Return the peak bytes of Moran's I and Geary's C: values, distances, and some frequencies of the padded box."""
    return 44 * voxels + 130 * max(SPECTRUM_CELLS, 4 * lines)
