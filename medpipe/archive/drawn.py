"""What objects draw: a region as an object holds it, and what the object says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from medpipe.archive.elements import integer, items, text
from medpipe.archive.integers import Integer
from medpipe.bits import Bits
from medpipe.types import Shares

LONGEST_NAME: Final = 256
"""Characters of a name that are looked at; DICOM allows 64."""

_LONGEST_CODE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A region as an object holds it.

    Attributes
    ----------
    name : str
        Free text.
    bits : Bits
        On the image's grid.
    code : str
        Why nothing could be drawn, or an empty string.
    number : int
        Segment number or ROI number.
    codes : tuple of str
        Coded concepts, each as ``SCHEME:VALUE``.
    resampled : bool
        Whether it lies on another grid than the image.
    shares : Shares or None
        Values of a fractional segment.
    """

    name: str
    bits: Bits
    code: str = ""
    number: int = 0
    codes: tuple[str, ...] = ()
    resampled: bool = False
    shares: Shares | None = None


class Named(NamedTuple):
    """A structure or segment as an object names it.

    Attributes
    ----------
    number : int
        ROI number or segment number.
    name : str
        As written, cut to ``LONGEST_NAME``.
    codes : tuple of str
        Coded concepts, each as ``SCHEME:VALUE``.
    frame_uid : str
        Frame of reference of a structure, or an empty string.
    """

    number: Integer
    name: str
    codes: tuple[str, ...] = ()
    frame_uid: str = ""


def structures_of(dataset: Any) -> list[Named]:
    """Return the structures that a structure set names, in stored order."""
    codes = {
        integer(item, "ReferencedROINumber"): _codes_of(item, "RTROIIdentificationCodeSequence")
        for item in items(dataset, "RTROIObservationsSequence")
    }
    found = []
    for item in items(dataset, "StructureSetROISequence"):
        number, frame_uid = integer(item, "ROINumber"), text(item, "ReferencedFrameOfReferenceUID")
        found.append(Named(number or 0, _name_of(item, "ROIName"), codes.get(number, ()), frame_uid))
    return found


def segments_of(dataset: Any) -> list[Named]:
    """Return the segments that a segmentation names, by number; of one number the last counts."""
    found: dict[int, Named] = {}
    for item in items(dataset, "SegmentSequence"):
        number = integer(item, "SegmentNumber")
        # number 0 is the background of a label map
        if number:
            codes = _codes_of(item, "SegmentedPropertyTypeCodeSequence")
            found[number] = Named(number, _name_of(item, "SegmentLabel"), codes)
    return [found[number] for number in sorted(found)]


def made_at(dataset: Any) -> str:
    """Return when an object says it was made, as digits that sort; empty where it does not say."""
    for kind in ("StructureSet", "Content", "InstanceCreation", "Series"):
        date = text(dataset, f"{kind}Date")
        if len(date) == 8 and date.isdecimal():
            time = text(dataset, f"{kind}Time").replace(".", "")
            return date + (time.ljust(12, "0") if time.isdecimal() else "")
    return ""


def _name_of(item: Any, keyword: str) -> str:
    return text(item, keyword)[:LONGEST_NAME]


def _codes_of(item: Any, keyword: str) -> tuple[str, ...]:
    found = ((text(one, "CodingSchemeDesignator"), text(one, "CodeValue")) for one in items(item, keyword))
    return tuple(f"{scheme}:{value}"[:_LONGEST_CODE] for scheme, value in found if value)
