"""Haralick's features at several distances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from medpipe.errors import ConfigError
from medpipe.kernels.glcm import distant_features
from medpipe.kernels.ranks import MAX_LEVELS, ranks_of
from medpipe.ops import roi
from medpipe.ops.ibsi_columns import FAMILIES, column_name, columns_of
from medpipe.ops.ibsi_device import texture_bytes
from medpipe.ops.ibsi_levels import Levels
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Column, Geometry, Region, Volume
from medpipe.xp import backend_of

Ways = Literal["2D_avg", "2D_comb", "3D_avg", "3D_comb"]
"""How matrices of directions, and of slices, become one value."""

_PREFIX = FAMILIES["glcm"][0]


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Haralick:
    """The features of co-occurrence matrices at several distances: pairs that far apart along 4 or 13 directions.

    As the family ``glcm`` of ``ibsi``, which is at distance 1; a column carries its distance
    (``cm_contrast_d3_3D_avg``). At a distance the partner of a voxel is that many steps along a direction,
    diagonal steps included; what lies between does not matter.

    Notes
    -----
    Haralick, Shanmugam and Dinstein, doi:10.1109/TSMC.1973.4309314; names and codes as IBSI has them.
    In a slice the counts of ``skimage.feature.graycomatrix`` at steps of whole pixels.
    """

    name: ClassVar[str] = "haralick"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 1e-6

    distances: tuple[int, ...] = parameter((1, 2, 3), doc="steps between the voxels of a pair", low=1, high=64)
    aggregations: tuple[Ways, ...] = parameter(("3D_avg",), doc="how matrices are joined")
    resample_mm: tuple[float, float, float] | None = parameter(
        None, doc="spacing z, y, x to resample to, 0 to keep an axis; none if absent", unit="mm", low=0.0
    )
    range: tuple[float, float] | None = parameter(None, doc="intensities kept", unit="unit of the image")
    bin_width: float | None = parameter(None, doc="width of a grey-level bin", unit="unit of the image", above=0.0)
    bins: int | None = parameter(None, doc="number of grey-level bins", low=2, high=MAX_LEVELS)

    def __post_init__(self) -> None:
        """Refuse parameters that do not fit each other."""
        for field, given in (("distances", self.distances), ("aggregations", self.aggregations)):
            if not given or len(set(given)) < len(given):
                raise ConfigError(f"haralick.{field}: names at least one, and none twice")
        if (self.bin_width is None) == (self.bins is None):
            raise ConfigError("haralick: either bin_width or bins, and not both")
        roi.check_settings("haralick", resample_mm=self.resample_mm, limits=self.range)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Distance by distance, the columns of the family ``glcm``."""
        plain = columns_of("glcm", self.aggregations)
        keys = [feature.key for _ in self.aggregations for feature in FAMILIES["glcm"][1]]
        return tuple(
            replace(column, name=_name(key, distance, column.aggregation))
            for distance in self.distances
            for key, column in zip(keys, plain, strict=True)
        )

    @property
    def _levels(self) -> Levels:
        return Levels(width=self.bin_width, bins=self.bins, limits=self.range)

    @property
    def discretisation(self) -> str:
        """How grey levels are made."""
        return self._levels.told

    @property
    def compliance(self) -> str:
        """``ibsi`` at distance 1 alone and with levels that mean the same in each region, else ``deviates``."""
        return "ibsi" if self.distances == (1,) and not self._levels.floats else "deviates"

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume."""
        after = roi.voxels_after(geometry, self.resample_mm)
        shape = roi.shape_after(geometry, self.resample_mm)
        padded = math.prod(size + 2 * max(self.distances) for size in shape)
        levels = self.bins or min(MAX_LEVELS, after)
        if self.range is not None and self.bin_width is not None:
            levels = min(levels, int((self.range[1] - self.range[0]) / self.bin_width) + 1)
        matrices = 13 * levels**2
        cells = min(matrices, max(2**18, levels**2), 26 * 13 * after)
        return max(22 * after, 8 * after + 2 * padded + 5 * matrices + 100 * cells) + 2**21

    def device_memory(self, geometry: Geometry) -> int:
        """Return the peak bytes on the volume's GPU, beside the volume."""
        z, y, x = roi.shape_after(geometry, self.resample_mm)
        edge = 2 * max(self.distances)
        padded = (z + edge, y + edge, x + edge)
        return texture_bytes(padded, self.bins or min(MAX_LEVELS, z * y * x)) + 16 * math.prod(padded)

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN if nothing of the region is left.

        Raises
        ------
        Rejected
            ``E_AXES``, ``E_GRID`` or ``NO_SPACING`` (see :func:`medpipe.ops.roi.prepare`), or
            ``E_LEVELS`` for more grey levels than a matrix can hold.
        """
        values = {column.name: math.nan for column in self.columns}
        chain = roi.Chain(resample_mm=self.resample_mm, order=1, rounded=False, limits=self.range, outlier_sigma=None)
        measured = roi.prepare(volume, region, chain)
        if measured is None:
            return values
        xp = backend_of(measured.image).xp
        levels = xp.zeros(measured.image.shape, dtype=xp.int64)
        levels[measured.intensity] = self._levels.of(measured.values)
        ranks = ranks_of(levels)
        del levels, measured
        for distance in self.distances:
            found = distant_features(ranks, distance=distance, aggregations=self.aggregations)
            values |= {_name(key, distance, way): value for way, some in found.items() for key, value in some.items()}
        return values


def _name(key: str, distance: int, way: str) -> str:
    return column_name(_PREFIX, f"{key}_d{distance}", way)
