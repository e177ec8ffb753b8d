"""Region sources that find regions in voxels: body, lungs, hot spot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from medpipe.contracts.protocols import UsesPadding
from medpipe.kernels.components import closing, enclosed_components, fill_slice_holes, largest_component, opening
from medpipe.kernels.foreground import clipped_otsu
from medpipe.ops.frames import frame_bytes, known_spacing, mean_bytes, mean_frame
from medpipe.ops.padding import padded_frame, padding_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Companions, Geometry, Region, Volume
from medpipe.xp import backend_of, to_numpy

LITRE_MM3 = 1e6


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Finds the body: the largest object above a threshold, thin parts removed, holes filled.

    The threshold is in HU for CT, and Otsu's on the volume clipped to its percentiles 1 and 99
    for all other modalities. Of a volume with a leading axis the mean over it counts.
    """

    name: ClassVar[str] = "body"
    version: ClassVar[int] = 1
    uses_companions: ClassVar[bool] = False

    ct_above_hu: float = parameter(-500.0, doc="Threshold for CT.", unit="HU", low=-1024.0, high=3071.0)
    opening_mm: float = parameter(2.0, doc="Radius of what is removed as thin; 0 for none.", unit="mm", low=0.0)
    padding: Literal["keep", "exclude"] = parameter("keep", doc="Whether voxels that the header calls padding count.")

    @property
    def uses_padding(self) -> bool:
        """Whether padding is left out."""
        return self.padding == "exclude"

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, and of the values sorted in a copy, or labels and masks."""
        return mean_bytes(geometry) + frame_bytes(geometry, per_voxel=9) + 2**22 + _beside(self, geometry)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``body``, or none if nothing is left.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the opening needs a spacing and none is known, ``E_CONSTANT`` if
            Otsu's threshold finds no contrast.
        """
        x, padded = _measured(self, volume)
        mask = _body(
            x,
            ct=volume.modality == "CT",
            above_hu=self.ct_above_hu,
            opening_mm=self.opening_mm,
            geometry=volume.geometry,
        )
        return _found(_without(mask, padded), name=self.name)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Lungs:
    """Finds the lungs in CT: the one or two largest bodies of air inside the body.

    Air that reaches the border of a slice, and bodies of air below a volume (bowel, a trachea
    apart from the lungs), do not count. A trachea that opens into the lungs stays with them.
    """

    name: ClassVar[str] = "lungs"
    version: ClassVar[int] = 1
    uses_companions: ClassVar[bool] = False

    below_hu: float = parameter(-400.0, doc="Air is below.", unit="HU", low=-1024.0, high=0.0)
    least_litre: float = parameter(0.3, doc="Least volume of a lung.", unit="l", above=0.0)
    closing_mm: float = parameter(5.0, doc="Radius of the gaps (vessels) that are filled.", unit="mm", low=0.0)
    padding: Literal["keep", "exclude"] = parameter("keep", doc="Whether voxels that the header calls padding count.")

    @property
    def uses_padding(self) -> bool:
        """Whether padding is left out."""
        return self.padding == "exclude"

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, labels and masks."""
        return mean_bytes(geometry) + frame_bytes(geometry, per_voxel=9) + 2**22 + _beside(self, geometry)

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
        x, padded = _measured(self, volume)
        hull = _body(x, ct=True, above_hu=-500.0, opening_mm=2.0, geometry=volume.geometry)
        least_voxels = self.least_litre * LITRE_MM3 / volume.geometry.voxel_mm3
        air = enclosed_components(hull & (x < self.below_hu), least_voxels=least_voxels, at_most=2)
        if not bool(air.any()):
            return ()
        lungs = closing(air, radius_mm=self.closing_mm, spacing_mm=spacing_mm) & hull
        return _found(_without(lungs, padded), name=self.name)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hot:
    """Finds the hottest object: the largest one at or above a fraction of the maximum.

    Meant for activity and uptake (PET), where the fraction means the same in Bq/ml and SUV.
    """

    name: ClassVar[str] = "hot"
    version: ClassVar[int] = 1
    uses_companions: ClassVar[bool] = False

    fraction: float = parameter(0.41, doc="Part of the maximum that counts as hot.", above=0.0, high=1.0)
    padding: Literal["keep", "exclude"] = parameter("keep", doc="Whether voxels that the header calls padding count.")

    @property
    def uses_padding(self) -> bool:
        """Whether padding is left out."""
        return self.padding == "exclude"

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, labels and masks."""
        return mean_bytes(geometry) + frame_bytes(geometry, per_voxel=9) + 2**22 + _beside(self, geometry)

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``hot``, or none: nothing is above 0, or the unit is HU."""
        x, padded = _measured(self, volume)
        xp = backend_of(x).xp
        known = _without(xp.isfinite(x), padded)
        if volume.unit == "HU" or not bool(known.any()):
            return ()
        hottest = float(x[known].max())
        if hottest <= 0.0:
            return ()
        return _found(largest_component(known & (x >= xp.float32(self.fraction * hottest))), name=self.name)


def _measured(op: UsesPadding, volume: Volume) -> tuple[Array, Array | None]:
    """Return the mean over frames, and where an op leaves out padding, its mask; padding is as low as anything then."""
    x = mean_frame(volume)
    padded = padded_frame(volume) if op.uses_padding else None
    if padded is None or not bool(padded.any()):
        return x, None
    if bool(padded.all()):
        return x, padded
    xp = backend_of(x).xp
    least = xp.where(padded, xp.float32(math.inf), x).min()
    return xp.where(padded, least, x), padded


def _without(mask: Array, padded: Array | None) -> Array:
    return mask if padded is None else mask & ~padded


def _beside(op: UsesPadding, geometry: Geometry) -> int:
    return padding_bytes(geometry) if op.uses_padding else 0


def _body(x: Array, *, ct: bool, above_hu: float, opening_mm: float, geometry: Geometry) -> Array:
    if ct:
        mask = x > above_hu
    else:
        clipped, threshold = clipped_otsu(x, low=1.0, high=99.0)
        mask = clipped > threshold
        del clipped
    if opening_mm > 0.0:
        mask = opening(mask, radius_mm=opening_mm, spacing_mm=known_spacing(geometry))
    return fill_slice_holes(largest_component(mask))


def _found(mask: Array, *, name: str) -> tuple[Region, ...]:
    return (Region(mask=to_numpy(mask), name=name, source=name),) if bool(mask.any()) else ()
