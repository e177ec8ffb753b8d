"""Numbers of a header that cannot be used: taken as something else they would change voxels or their place silently."""

from __future__ import annotations

from typing import Any, Final

from medpipe.archive.closed import SECTIONAL, SEG_CLASSES
from medpipe.archive.elements import integer, is_beyond_integers, is_unreadable_number, levels, numbers, text
from medpipe.archive.gate import Layout

_PLACE: Final = (
    ("ImagePositionPatient", 3, "E_MISSING_TAG"),
    ("ImageOrientationPatient", 6, "E_ORIENTATION"),
    ("PixelSpacing", 2, "E_SPACING"),
)
_STORED: Final = (
    "Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "BitsStored", "HighBit", "PixelRepresentation"
)  # fmt: skip
_SCALE: Final = ("RescaleSlope", "RescaleIntercept")
_STORED_AT_LEAST: Final = {"SamplesPerPixel": 1, "BitsStored": 1, "PixelRepresentation": 0}
"""What must be there, and what it is at least; the sides and the bits allocated are judged with the pixels."""

LEAST_SLOPE: Final = 1e-30
"""A smaller one has been lost."""


def unreadable_code(dataset: Any, layout: Layout) -> str:
    """Refuse numbers that cannot be used and would change voxels or their place silently."""
    frames = "E_FRAME_COUNT" if is_beyond_integers(dataset, "NumberOfFrames") else ""
    code = _rescale_code(dataset) or frames or _place_code(dataset)
    # of a file that was cut, that says more
    is_judged = layout.pixel_keyword == "PixelData" and not layout.cut
    return code or ("E_DIMENSIONS" if is_judged and not _says_how_it_is_stored(dataset) else "")


def _says_how_it_is_stored(dataset: Any) -> bool:
    """Tell whether it is said of whole pixels, in one number each, how they are stored (PS3.3 C.7.6.3)."""
    for keyword in _STORED:
        found = numbers(dataset, keyword)
        least = _STORED_AT_LEAST.get(keyword)
        if len(found) > 1 or (least is not None and not found):
            return False
        if found and not (found[0] == int(found[0]) and found[0] >= (least or 0)):
            return False
    return integer(dataset, "PixelRepresentation") in {0, 1}


def _rescale_code(dataset: Any) -> str:
    """Refuse rescale values that cannot be read: taken as 1 and 0 they would give wrong numbers silently."""
    said = (dataset, *levels(dataset, "PixelValueTransformationSequence"))
    values = [numbers(level, keyword) for level in said for keyword in _SCALE]
    if any(len(each) > 1 for each in values):
        return "E_RESCALE"
    if any(is_unreadable_number(level, keyword) for level in said for keyword in _SCALE):
        return "E_NONFINITE"
    slopes = [each[0] if each else None for each in values[::2]]
    # colours and label maps are not rescaled, whatever their headers say
    is_rescaled = (integer(dataset, "SamplesPerPixel") or 1) == 1 and text(dataset, "SOPClassUID") not in SEG_CLASSES
    lost = is_rescaled and any(slope is not None and abs(slope) < LEAST_SLOPE for slope in slopes)
    return "E_RESCALE" if lost else ""


def _place_code(dataset: Any) -> str:
    """Refuse places that cannot be read: without them a slice would pass for a picture that has none."""
    if text(dataset, "Modality") not in SECTIONAL:
        return ""
    for said, count, code in _PLACE:
        if is_unreadable_number(dataset, said, count=count):
            return code
    return ""
