"""How much of a region is edges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medpipe.kernels.canny import TRUNCATE, canny, steepness
from medpipe.kernels.classes import otsu_threshold
from medpipe.kernels.edges import gradient_size
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.ops.unstandardized import Unstandardized, slices_of, without_missing
from medpipe.types import Array, Column, Geometry, Region, Volume

_COLUMNS = (
    ("gradient", "image", math.nan),
    ("threshold", "image", math.nan),
    ("sobel", "1", 1.0),
    ("canny", "1", 1.0),
)


_PIXELS = (1.0, 1.0, 1.0)
"""Of slices as they are: steps are pixels."""

_WEAK = 0.4
"""An edge goes on where there is at least so much of what it begins with."""


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeDensity(Unstandardized):
    """Shares of a region's pixels that are edges, slice by slice: where the gradient is steep, and Canny's thin lines.

    From which gradient on is said by ``threshold``, or found for each region by Otsu's method: for
    Sobel's among its gradients, for Canny's among those of the smoothed slice. A volume on a GPU is
    measured on the host.

    Notes
    -----
    ``edge_gradient`` is the mean of Sobel's gradient per pixel, ``edge_threshold`` what Sobel's share
    was counted from. A missing voxel, and for Sobel's its neighbours, do not count.
    """

    name: ClassVar[str] = "edge_density"
    version: ClassVar[int] = 1

    sigma: float = parameter(1.0, doc="smoothing before Canny's edges", unit="pixel", low=0.1, high=10.0)
    threshold: float | None = parameter(
        None,
        doc="gradient of an edge; by Otsu within the region if absent",
        unit="unit of the image per pixel",
        above=0.0,
    )

    @property
    def columns(self) -> tuple[Column, ...]:
        """``edge_gradient``, ``edge_threshold``, ``edge_sobel``, ``edge_canny``."""
        return tuple(
            Column(name=f"edge_{name}", family="edges", unit=unit, aggregation="2D", low=0.0, high=high)
            for name, unit, high in _COLUMNS
        )

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume: its mask, gradients, and what is sorted of them."""
        z, y, x = geometry.spatial_shape
        return 13 * z * y * x + 120 * y * x + 2**20

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN where no voxel of the region is finite.

        Raises
        ------
        Rejected
            ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of another
            shape.
        """
        reach = math.ceil(TRUNCATE * self.sigma) + 2
        slices = list(slices_of(volume, region, reach=reach, on_host=True))
        sizes = [gradient_size(plane)[inside].astype(np.float32) for plane, inside in slices]
        steep = np.concatenate(sizes) if sizes else np.zeros(0, np.float32)
        del sizes
        steep = steep[np.isfinite(steep)]
        values = {f"edge_{name}": math.nan for name, *_ in _COLUMNS}
        if not steep.size:
            return values
        threshold = self._from(steep)
        values["edge_gradient"] = float(steep.mean(dtype=np.float64))
        values["edge_threshold"] = threshold
        values["edge_sobel"] = float((steep > threshold).mean())
        del steep
        values["edge_canny"] = self._canny([(*without_missing(plane), inside) for plane, inside in slices])
        return values

    def _from(self, gradients: Array) -> float:
        if self.threshold is not None:
            return self.threshold
        # an even region has no edges
        least, most = float(gradients.min()), float(gradients.max())
        return otsu_threshold(gradients) if least < most else most

    def _canny(self, slices: Sequence[tuple[Array, Array, Array]]) -> float:
        """Return the share of the region's known pixels that are thin edges."""
        smooth = [
            steepness(plane[None].astype(np.float64), sigma_mm=self.sigma, spacing_mm=_PIXELS)[0][inside]
            for plane, _, inside in slices
        ]
        threshold = self._from(np.concatenate(smooth))
        del smooth
        edges = known = 0
        for plane, finite, inside in slices:
            counted = inside & finite
            known += int(counted.sum())
            if threshold > 0.0:
                lines = canny(
                    plane[None].astype(np.float64),
                    sigma_mm=self.sigma,
                    spacing_mm=_PIXELS,
                    low=_WEAK * threshold,
                    high=threshold,
                )
                edges += int(lines[0][counted].sum())
        return edges / known if known else math.nan
