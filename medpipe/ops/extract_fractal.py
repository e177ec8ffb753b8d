"""Fractal dimensions of a region, of its border and of its intensities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from medpipe.kernels.fractal import border, box_dimension, surface_dimension
from medpipe.ops import roi
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.ops.unstandardized import Unstandardized
from medpipe.types import Column, Geometry, Region, Volume
from medpipe.xp import backend_of

_COLUMNS = (("region", 0.0, 3.0, "3D"), ("border", 0.0, 3.0, "3D"), ("image", math.nan, math.nan, "2D"))


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fractal(Unstandardized):
    """Fractal dimensions by counting boxes: of a region, of its border, and of its intensities as surfaces over slices.

    Boxes are cubes of voxels of sides 1, 2, 4, ..., so voxels should be: ``resample_mm`` makes them.
    A region of few voxels has few sizes of boxes, and a dimension that says little.

    Notes
    -----
    ``fractal_region`` of a solid is 3, ``fractal_border`` of a smooth one 2; ``fractal_image`` (differential
    box counting, doi:10.1109/21.259692) of an even image is 2, towards 3 the rougher it is; very rough
    ones come out too low, since what happens between pixels is not seen.
    """

    name: ClassVar[str] = "fractal"
    version: ClassVar[int] = 1

    resample_mm: tuple[float, float, float] | None = parameter(
        None, doc="spacing z, y, x to resample to, 0 to keep an axis; none if absent", unit="mm", low=0.0
    )
    range: tuple[float, float] | None = parameter(None, doc="intensities kept", unit="unit of the image")

    def __post_init__(self) -> None:
        """Refuse a grid without a spacing and a range without a width."""
        roi.check_settings("fractal", resample_mm=self.resample_mm, limits=self.range)

    @property
    def columns(self) -> tuple[Column, ...]:
        """``fractal_region``, ``fractal_border``, ``fractal_image``."""
        return tuple(
            Column(name=f"fractal_{name}", family="fractal", aggregation=way, low=low, high=high)
            for name, low, high, way in _COLUMNS
        )

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume: image and masks, least and greatest of cells."""
        return 30 * roi.voxels_after(geometry, self.resample_mm) + 2**20

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN if nothing of the region is left.

        Raises
        ------
        Rejected
            ``E_AXES``, ``E_GRID`` or ``NO_SPACING`` (see :func:`medpipe.ops.roi.prepare`).
        """
        chain = roi.Chain(resample_mm=self.resample_mm, order=1, rounded=False, limits=self.range, outlier_sigma=None)
        measured = roi.prepare(volume, region, chain)
        if measured is None:
            return {f"fractal_{name}": math.nan for name, *_ in _COLUMNS}
        xp = backend_of(measured.image).xp
        image = xp.where(measured.intensity, measured.image, 0.0)
        return {
            "fractal_region": box_dimension(measured.morphological),
            "fractal_border": box_dimension(border(measured.morphological)),
            "fractal_image": surface_dimension(image, measured.intensity),
        }
