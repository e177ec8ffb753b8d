"""Region sources: body, lungs, hot spot, and the objects that come with an image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.components import closing, enclosed_components, fill_slice_holes, largest_component, opening
from medpipe.kernels.foreground import clipped_otsu
from medpipe.ops.frames import frame_bytes, known_spacing, mean_bytes, mean_frame
from medpipe.ops.parameters import Pairs, parameter
from medpipe.ops.register import register
from medpipe.types import Array, Companions, Geometry, Region, Volume
from medpipe.xp import backend_of, to_device

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

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, and of the values sorted in a copy, or labels and masks."""
        return mean_bytes(geometry) + frame_bytes(geometry, per_voxel=9) + 2**22

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``body``, or none if nothing is left.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the opening needs a spacing and none is known, ``E_CONSTANT`` if
            Otsu's threshold finds no contrast.
        """
        mask = _body(
            mean_frame(volume),
            ct=volume.modality == "CT",
            above_hu=self.ct_above_hu,
            opening_mm=self.opening_mm,
            geometry=volume.geometry,
        )
        return _found(mask, name=self.name)


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

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, labels and masks."""
        return mean_bytes(geometry) + frame_bytes(geometry, per_voxel=9) + 2**22

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
        x = mean_frame(volume)
        hull = _body(x, ct=True, above_hu=-500.0, opening_mm=2.0, geometry=volume.geometry)
        least_voxels = self.least_litre * LITRE_MM3 / volume.geometry.voxel_mm3
        air = enclosed_components(hull & (x < self.below_hu), least_voxels=least_voxels, at_most=2)
        if not bool(air.any()):
            return ()
        return _found(closing(air, radius_mm=self.closing_mm, spacing_mm=spacing_mm) & hull, name=self.name)


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

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, labels and masks."""
        return mean_bytes(geometry) + frame_bytes(geometry, per_voxel=9) + 2**22

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:  # noqa: ARG002  # from voxels alone
        """Return one region ``hot``, or none: nothing is above 0, or the unit is HU."""
        x = mean_frame(volume)
        xp = backend_of(x).xp
        known = xp.isfinite(x)
        if volume.unit == "HU" or not bool(known.any()):
            return ()
        hottest = float(x[known].max())
        if hottest <= 0.0:
            return ()
        return _found(largest_component(known & (x >= xp.float32(self.fraction * hottest))), name=self.name)


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationObjects:
    """Takes the regions drawn in DICOM SEG and RTSTRUCT objects and in mask files, renamed by rule.

    A region of a mask file bears the file's name without its ending, a blank and its label value.
    """

    name: ClassVar[str] = "segmentation_objects"
    version: ClassVar[int] = 1
    uses_companions: ClassVar[bool] = True

    map: Pairs = parameter(  # noqa: RUF009  # declares a field
        (), doc="Labels, each with a regular expression; the first found in an object's name renames it."
    )

    def __post_init__(self) -> None:
        for label, pattern in self.map:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", label):
                raise ConfigError(f"map: {label!r} is no label (lower-case letters, digits and _)")
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"map.{label}: no regular expression ({error})") from None

    def memory(self, geometry: Geometry) -> int:  # noqa: ARG002  # the masks are there
        """Return 0: the masks come with the case."""
        return 0

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:
        """Return the companions' regions under mapped names; those no rule fits keep ``roi_N``.

        Raises
        ------
        Rejected
            ``E_GRID`` if a region does not lie on the volume's grid.
        """
        device = backend_of(volume.data).device
        return tuple(
            replace(
                region,
                name=self._label(region.name, companions.original_names),
                mask=to_device(_on_grid(region.mask, volume.geometry), device=device),
            )
            for region in companions.regions
        )

    def _label(self, name: str, original_names: Mapping[str, str]) -> str:
        original = original_names.get(name)
        if original is None:
            return name
        return next((label for label, pattern in self.map if re.search(pattern, original)), name)


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
    return (Region(mask=mask, name=name, source=name),) if bool(mask.any()) else ()


def _on_grid(mask: Array, geometry: Geometry) -> Array:
    if tuple(mask.shape) != geometry.spatial_shape:
        raise Rejected("E_GRID")
    return mask.astype(bool, copy=False)
