"""Hu's moments of a region and of its intensities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.moments import HU, hu_moments
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.ops.unstandardized import Unstandardized, slices_of
from medpipe.types import Array, Column, Geometry, Region, Volume
from medpipe.xp import backend_of


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class HuMoments(Unstandardized):
    """Hu's seven moments, which shifts, turns and sizes leave alone, of a region's outline and of its intensities.

    In the slice where the region is largest (the first of equal ones), or their mean over all its
    slices. Pixels count with their size in mm; intensities from the region's least one.

    Notes
    -----
    Where pixels are square, ``skimage.measure.moments_hu`` of the slice. doi:10.1109/TIT.1962.1057692.
    """

    name: ClassVar[str] = "hu_moments"
    version: ClassVar[int] = 1

    slices: Literal["largest", "mean"] = parameter("largest", doc="the slice where the region is largest, or all")

    @property
    def columns(self) -> tuple[Column, ...]:
        """``hu_mask_1`` to ``hu_mask_7``, ``hu_image_1`` to ``hu_image_7``."""
        ends = [0.0, 0.0, 0.0, 0.0, math.nan, math.nan, math.nan]
        return tuple(
            Column(name=f"hu_{of}_{place + 1}", family="hu", aggregation="2D", low=ends[place])
            for of in ("mask", "image")
            for place in range(HU)
        )

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume: its mask, twice while it is unpacked; some planes."""
        z, y, x = geometry.spatial_shape
        return 2 * z * y * x + 48 * y * x + 2**19

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; of intensities NaN where none is finite or all are equal.

        Raises
        ------
        Rejected
            ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of another
            shape.
        """
        spacing = (1.0, 1.0) if volume.geometry.spacing_mm is None else volume.geometry.spacing_mm[1:]
        slices = list(slices_of(volume, region, reach=0))
        if self.slices == "largest" and slices:
            slices = [max(slices, key=lambda one: int(one[1].sum()))]
        least = min((_least(plane, inside) for plane, inside in slices), default=math.inf)
        found = [_both(plane, inside, least, spacing) for plane, inside in slices]
        names = [column.name for column in self.columns]
        values = _mean_of_defined(np.array(found)) if found else np.full(len(names), math.nan)
        return dict(zip(names, values.tolist(), strict=True))


def _least(plane: Array, inside: Array) -> float:
    values = plane[inside]
    values = values[backend_of(plane).xp.isfinite(values)]
    return float(values.min()) if values.size else math.inf


def _both(plane: Array, inside: Array, least: float, spacing: tuple[float, float]) -> NDArray[np.float64]:
    xp = backend_of(plane).xp
    known = inside & xp.isfinite(plane)
    weights = xp.where(known, plane.astype(xp.float64) - (least if math.isfinite(least) else 0.0), 0.0)
    return np.concatenate([hu_moments(inside, spacing=spacing), hu_moments(weights, spacing=spacing)])


def _mean_of_defined(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(rows)
    sums = np.where(defined, rows, 0.0).sum(axis=0)
    counts = defined.sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)
