"""Frames of a multi-frame PET: unit and times that its functional groups give (PS3.3 A.56, C.7.6.16)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from medpipe.archive.elements import items, number, text
from medpipe.archive.frames import MAX_FRAMES
from medpipe.archive.instants import Instant, moment_of

_UNITS: Final = {
    "Bq/ml": ("BQML", ""),
    "g/ml{SUVbw}": ("GML", "BW"),
    "g/ml{SUVlbm}": ("GML", "LBM"),
    "g/ml{SUVlbm(James128)}": ("GML", "LBMJAMES128"),
    "g/ml{SUVlbm(Janma)}": ("GML", "LBMJANMA"),
    "g/ml{SUVibw}": ("GML", "IBW"),
    "cm2/ml{SUVbsa}": ("CM2ML", "BSA"),
}
"""UCUM codes (PS3.16 CID 84 and 85) as Units (0054,1001) and SUV Type (0054,1006) would say it."""


class PetFrame(NamedTuple):
    """What a frame says.

    Attributes
    ----------
    units, suv_type : str
        As a single-frame image would say it; empty where the real-world map is not one slope.
    per_value : float
        Real-world value of a modality value of 1.
    acquired, mean_at : Instant or None
        Frame Acquisition and Frame Reference DateTime.
    frame_s : float or None
    """

    units: str
    suv_type: str
    per_value: float
    acquired: Instant | None
    mean_at: Instant | None
    frame_s: float | None


def pet_frames(dataset: Any) -> tuple[PetFrame, ...]:
    """Return one record for each per-frame functional group; nothing where there are none."""
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    shared = items(dataset, "SharedFunctionalGroupsSequence")[:1]
    return tuple(_frame((group, *shared), dataset) for group in groups) if len(groups) <= MAX_FRAMES else ()


def _frame(levels: tuple[Any, ...], top: Any) -> PetFrame:
    content: Any = next(iter(_group(levels, "FrameContentSequence")), {})
    duration_ms = number(content, "FrameAcquisitionDuration")
    return PetFrame(
        *_meaning(levels),
        acquired=moment_of(content, "FrameAcquisitionDateTime", top=top),
        mean_at=moment_of(content, "FrameReferenceDateTime", top=top),
        frame_s=None if duration_ms is None else duration_ms / 1000.0,
    )


def _meaning(levels: tuple[Any, ...]) -> tuple[str, str, float]:
    """Return unit and type of uptake of the first map that names a known one, and its slope over the rescale's."""
    rescale: Any = next(iter(_group(levels, "PixelValueTransformationSequence")), {})
    rescaled = number(rescale, "RescaleSlope")
    for one in _group(levels, "RealWorldValueMappingSequence"):
        codes = items(one, "MeasurementUnitsCodeSequence")
        known = _UNITS.get(text(codes[0], "CodeValue")) if codes else None
        slope, intercept = number(one, "RealWorldValueSlope"), number(one, "RealWorldValueIntercept")
        if known is not None and slope is not None and slope > 0 and intercept == 0 and rescaled and rescaled > 0:
            return *known, slope / rescaled
    return "", "", 1.0


def _group(levels: tuple[Any, ...], keyword: str) -> tuple[Any, ...]:
    return next((found for found in (items(level, keyword) for level in levels) if found), ())
