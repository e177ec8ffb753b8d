"""What a segmentation or structure set says of itself, and of what it was made on."""

from __future__ import annotations

from typing import Any, Final

from medpipe.archive.closed import RTSTRUCT_CLASS, SEG_CLASSES
from medpipe.archive.drawn import made_at, segments_of, structures_of
from medpipe.archive.elements import items, text

_CLASSES: Final = SEG_CLASSES | {RTSTRUCT_CLASS}


def references(dataset: Any) -> dict[str, Any]:
    """Return those fields of a header that only such objects have; of others, none."""
    if text(dataset, "SOPClassUID") not in _CLASSES:
        return {}
    series: set[str] = set()
    frames: set[str] = set()
    instances: set[str] = set()
    for item in items(dataset, "ReferencedSeriesSequence"):
        series.add(text(item, "SeriesInstanceUID"))
        instances.update(text(one, "ReferencedSOPInstanceUID") for one in items(item, "ReferencedInstanceSequence"))
    for frame in items(dataset, "ReferencedFrameOfReferenceSequence"):
        frames.add(text(frame, "FrameOfReferenceUID"))
        for study in items(frame, "RTReferencedStudySequence"):
            for item in items(study, "RTReferencedSeriesSequence"):
                series.add(text(item, "SeriesInstanceUID"))
                instances.update(text(one, "ReferencedSOPInstanceUID") for one in items(item, "ContourImageSequence"))
    frames.add(text(dataset, "FrameOfReferenceUID"))
    is_set = text(dataset, "SOPClassUID") == RTSTRUCT_CLASS
    return {
        "structures": tuple(structures_of(dataset) if is_set else segments_of(dataset)),
        "made_at": made_at(dataset),
        "referenced_series": tuple(sorted(series - {""})),
        "referenced_frames_of_reference": tuple(sorted(frames - {""})),
        "referenced_instances": tuple(sorted(instances - {""})),
    }
