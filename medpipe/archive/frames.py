"""Functional groups of multi-frame objects: what each frame says of itself.

Lookup order: per-frame group, shared group, top level (DICOM PS3.3 C.7.6.16).
"""

from __future__ import annotations

from math import hypot
from typing import Any, Final

import msgspec
import numpy as np

from medpipe.archive.elements import integer, items, number, numbers, text, texts

MAX_FRAMES: Final = 1_000_000
TEMPORAL: Final = ("TemporalPositionIdentifier", "FrameReferenceTime", "TriggerTime")
"""Elements at the top that tell the phases of a series, the preferred first."""

_COMPONENTS: Final = {"PHASE": "P", "REAL": "R", "IMAGINARY": "I"}
"""What the values of a complex image are, as the standard says it and as image types do."""

_GE_CREATOR: Final = (0x0043, 0x0010)
_GE_COMPONENT: Final = (0x0043, 0x102F)
_COMPONENTS_OF_GE: Final = {1.0: "P", 2.0: "R", 3.0: "I"}

_UNIT_TOLERANCE: Final = 1e-3

Vector = np.ndarray[Any, np.dtype[np.float64]]


class Plane(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Where a frame lies, how its values are scaled, and what tells it from its neighbours.

    Attributes
    ----------
    position : tuple of 3 float or empty
        Centre of the first pixel, LPS mm.
    orientation : tuple of 6 float or empty
        Direction of a row, then of a column.
    spacing_mm : tuple of 2 float or empty
        Between rows, then between columns.
    thickness_mm, between_mm : float or None
        Nominal slice thickness and spacing between slices.
    slope, intercept : float or None
        Modality rescale.
    image_type : tuple of str
        With ``P``, ``R`` or ``I`` at its end where only another element says that it is a phase or a part.
    echo_time_ms, repetition_time_ms, inversion_time_ms, flip_angle_deg : float or None
    stack_id : str
    temporal : tuple of (str, float)
        Temporal elements that are there, in the order they are preferred.
    """

    position: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    thickness_mm: float | None = None
    between_mm: float | None = None
    slope: float | None = None
    intercept: float | None = None
    image_type: tuple[str, ...] = ()
    echo_time_ms: float | None = None
    repetition_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    stack_id: str = ""
    temporal: tuple[tuple[str, float], ...] = ()

    @property
    def placed(self) -> bool:
        """Whether position, orientation and in-plane spacing are all there."""
        return len(self.position) == 3 and len(self.orientation) == 6 and len(self.spacing_mm) == 2

    @property
    def scale(self) -> tuple[float, float]:
        """Slope and intercept; 1 and 0 where the header gives none."""
        return 1.0 if self.slope is None else self.slope, 0.0 if self.intercept is None else self.intercept


def check_plane(plane: Plane) -> str:
    """Return the reason a plane's geometry cannot be used, or an empty string."""
    if len(plane.orientation) != 6 or len(plane.spacing_mm) != 2:
        return "E_MISSING_TAG"
    # written out: a million slices are looked at, and arrays of three numbers take ten times as long
    a, b, c, d, e, f = plane.orientation
    off = abs(hypot(a, b, c) - 1), abs(hypot(d, e, f) - 1), abs(a * d + b * e + c * f)
    if not max(off) <= _UNIT_TOLERANCE:
        return "E_ORIENTATION"
    return "E_SPACING" if min(plane.spacing_mm) <= 0 else ""


def normal_of(plane: Plane) -> Vector:
    """Return the unit normal of a checked plane: row direction x column direction."""
    (a, b, c), (d, e, f) = plane.orientation[:3], plane.orientation[3:]
    # written out: np.cross takes a hundred times longer for three numbers, and there is one for each slice
    normal = np.array((b * f - c * e, c * d - a * f, a * e - b * d))
    return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)


def top_plane(dataset: Any) -> Plane:
    """Return what the top level of a data set says of its image."""
    return Plane(
        position=_exactly(numbers(dataset, "ImagePositionPatient"), 3),
        orientation=_exactly(numbers(dataset, "ImageOrientationPatient"), 6),
        spacing_mm=_exactly(numbers(dataset, "PixelSpacing"), 2),
        thickness_mm=number(dataset, "SliceThickness"),
        between_mm=number(dataset, "SpacingBetweenSlices"),
        slope=number(dataset, "RescaleSlope"),
        intercept=number(dataset, "RescaleIntercept"),
        image_type=_image_type(texts(dataset, "ImageType"), _component(dataset) or _component_of_ge(dataset)),
        echo_time_ms=number(dataset, "EchoTime"),
        repetition_time_ms=number(dataset, "RepetitionTime"),
        inversion_time_ms=number(dataset, "InversionTime"),
        flip_angle_deg=number(dataset, "FlipAngle"),
        temporal=_temporal(dataset, TEMPORAL),
    )


def frame_planes(dataset: Any, n_frames: int) -> tuple[Plane, ...]:
    """Return one plane per frame, or nothing where no frame says where it lies.

    Parameters
    ----------
    dataset : pydicom.Dataset
    n_frames : int
        Frames the pixel data holds; fewer per-frame groups make the answer empty.
    """
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    if len(groups) != n_frames or n_frames > MAX_FRAMES:
        return ()
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    levels = shared[:1]
    top = top_plane(dataset)
    planes = tuple(_frame_plane((group, *levels), top) for group in groups)
    return planes if any(plane.position for plane in planes) else ()


def _frame_plane(levels: tuple[Any, ...], top: Plane) -> Plane:
    content = _group(levels, "FrameContentSequence")
    measures = _group(levels, "PixelMeasuresSequence")
    scaling = _group(levels, "PixelValueTransformationSequence")
    timing = _group(levels, "MRTimingAndRelatedParametersSequence")
    frame_type = _group(levels, "MRImageFrameTypeSequence") or _group(levels, "CTImageFrameTypeSequence")
    return Plane(
        position=_exactly(numbers(_group(levels, "PlanePositionSequence"), "ImagePositionPatient"), 3),
        orientation=_exactly(numbers(_group(levels, "PlaneOrientationSequence"), "ImageOrientationPatient"), 6)
        or top.orientation,
        spacing_mm=_exactly(numbers(measures, "PixelSpacing"), 2) or top.spacing_mm,
        thickness_mm=_first(number(measures, "SliceThickness"), top.thickness_mm),
        between_mm=_first(number(measures, "SpacingBetweenSlices"), top.between_mm),
        slope=_first(number(scaling, "RescaleSlope"), top.slope),
        intercept=_first(number(scaling, "RescaleIntercept"), top.intercept),
        image_type=_image_type(texts(frame_type, "FrameType") or top.image_type, _component(frame_type)),
        echo_time_ms=_first(number(_group(levels, "MREchoSequence"), "EffectiveEchoTime"), top.echo_time_ms),
        repetition_time_ms=_first(number(timing, "RepetitionTime"), top.repetition_time_ms),
        flip_angle_deg=_first(number(timing, "FlipAngle"), top.flip_angle_deg),
        stack_id=text(content, "StackID"),
        temporal=_temporal(content, ("TemporalPositionIndex",)),
    )


def _image_type(said: tuple[str, ...], component: str) -> tuple[str, ...]:
    """Return an image type that tells phases, and real and imaginary parts, as most vendors do: by P, R and I."""
    return (*said, component) if component and component not in said and len(said) > 1 else said


def _component(dataset: Any) -> str:
    return _COMPONENTS.get(text(dataset, "ComplexImageComponent"), "")


def _component_of_ge(dataset: Any) -> str:
    if text(dataset, _GE_CREATOR) != "GEMS_PARM_01" or text(dataset, "Modality") != "MR":
        return ""
    return _COMPONENTS_OF_GE.get(number(dataset, _GE_COMPONENT) or 0.0, "")


def _group(levels: tuple[Any, ...], keyword: str) -> Any:
    for level in levels:
        found = items(level, keyword)
        if found:
            return found[0]
    return {}


def _temporal(dataset: Any, keywords: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    found = [(keyword, number(dataset, keyword)) for keyword in keywords]
    return tuple([(keyword, when) for keyword, when in found if when is not None])


def _exactly(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    return values if len(values) == count else ()


def _first(found: float | None, other: float | None) -> float | None:
    return other if found is None else found


def segment_of(level: Any) -> int | None:
    """Return the segment a frame of a segmentation shows, or None."""
    found = items(level, "SegmentIdentificationSequence")
    return integer(found[0], "ReferencedSegmentNumber") if found else None
