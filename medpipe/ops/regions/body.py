"""The body, and the lungs within it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medpipe.kernels.components import closing, enclosed_components, fill_slice_holes, largest_component, opening
from medpipe.kernels.foreground import clipped_otsu
from medpipe.ops.frames import known_spacing
from medpipe.ops.parameters import parameter
from medpipe.ops.regions.voxels import LITRE_MM3, VoxelSource, closed_bytes, found, measured, need_bytes, without
from medpipe.ops.register import register
from medpipe.types import Array, Companions, Geometry, Region, Volume


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Body(VoxelSource):
    """Finds the body: the largest object above a threshold, thin parts removed, holes filled.

    The threshold is in HU for CT, and Otsu's on the volume clipped to its percentiles 1 and 99
    for all other modalities. Of a volume with a leading axis the mean over it counts.
    """

    name: ClassVar[str] = "body"
    version: ClassVar[int] = 1

    ct_above_hu: float = parameter(-500.0, doc="Threshold for CT.", unit="HU", low=-1024.0, high=3071.0)
    opening_mm: float = parameter(
        2.0, doc="Radius of what is removed as thin; 0 for none.", unit="mm", low=0.0, high=100.0
    )

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, and of the values sorted in a copy, or labels and masks."""
        return need_bytes(self, geometry, per_voxel=9)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``body``, or none if nothing is left.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the opening needs a spacing and none is known, ``E_CONSTANT`` if
            Otsu's threshold finds no contrast.
        """
        x, padded = measured(self, volume)
        mask = hull(
            x,
            ct=volume.modality == "CT",
            above_hu=self.ct_above_hu,
            opening_mm=self.opening_mm,
            geometry=volume.geometry,
        )
        return found(without(mask, padded), name=self.name)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Lungs(VoxelSource):
    """Finds the lungs in CT: the one or two largest bodies of air inside the body.

    Air that reaches the border of a slice, and bodies of air below a volume (bowel, a trachea
    apart from the lungs), do not count. A trachea that opens into the lungs stays with them.
    """

    name: ClassVar[str] = "lungs"
    version: ClassVar[int] = 1

    below_hu: float = parameter(-400.0, doc="Air is below.", unit="HU", low=-1024.0, high=0.0)
    least_litre: float = parameter(0.3, doc="Least volume of a lung.", unit="l", above=0.0)
    closing_mm: float = parameter(
        5.0, doc="Radius of the gaps (vessels) that are filled.", unit="mm", low=0.0, high=100.0
    )

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, labels and masks, and of masks that reach over the borders."""
        closed = closed_bytes(geometry, radius_mm=self.closing_mm)
        return max(need_bytes(self, geometry, per_voxel=9), need_bytes(self, geometry, per_voxel=1) + closed)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``lungs``, or none: no lungs were found, or the volume is no CT.

        Raises
        ------
        Rejected
            ``E_SPACING`` if no spacing is known.
        """
        if volume.modality != "CT":
            return ()
        spacing_mm = known_spacing(volume.geometry)
        x, padded = measured(self, volume)
        body = ct_hull(x, volume.geometry)
        least_voxels = self.least_litre * LITRE_MM3 / volume.geometry.voxel_mm3
        air = enclosed_components(body & (x < self.below_hu), least_voxels=least_voxels, at_most=2)
        if not bool(air.any()):
            return ()
        lungs = closing(air, radius_mm=self.closing_mm, spacing_mm=spacing_mm) & body
        return found(without(lungs, padded), name=self.name)


def ct_hull(x: Array, geometry: Geometry) -> Array:
    """Return the body in a CT, as the source ``body`` finds it by default."""
    return hull(x, ct=True, above_hu=-500.0, opening_mm=2.0, geometry=geometry)


def hull(x: Array, *, ct: bool, above_hu: float, opening_mm: float, geometry: Geometry) -> Array:
    """Return the largest object above a threshold in HU (CT) or Otsu's, opened, with its holes filled."""
    if ct:
        mask = x > above_hu
    else:
        clipped, threshold = clipped_otsu(x, low=1.0, high=99.0)
        mask = clipped > threshold
        del clipped
    if opening_mm > 0.0:
        mask = opening(mask, radius_mm=opening_mm, spacing_mm=known_spacing(geometry))
    return fill_slice_holes(largest_component(mask))
