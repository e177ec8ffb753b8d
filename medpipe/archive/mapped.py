"""Whether a header says what stored numbers mean in the real world, beside modality values."""

from __future__ import annotations

from typing import Any, Final

from medpipe.archive.closed import DOSE_CLASS
from medpipe.archive.elements import levels, text

MAPS: Final = "RealWorldValueMappingSequence"


def has_maps(dataset: Any) -> bool:
    """Tell whether there are real-world value maps, or the scaling of a dose grid."""
    return bool(levels(dataset, MAPS)) or is_scaled_dose(dataset)


def is_scaled_dose(dataset: Any) -> bool:
    """Tell whether stored numbers times a scaling are a dose (PS3.3 C.8.8.3.4)."""
    return text(dataset, "SOPClassUID") == DOSE_CLASS and "DoseGridScaling" in dataset
