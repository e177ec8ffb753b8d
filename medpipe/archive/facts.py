"""Equipment, patient and protocol values out of a data set, raw, for the series table."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from medpipe.archive.elements import levels, may_be_there, number, text

TEXTS: Final = {
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "station": "StationName",
    "serial": "DeviceSerialNumber",
    "software": "SoftwareVersions",
    "institution": "InstitutionName",
    "kernel": "ConvolutionKernel",
    "contrast_agent": "ContrastBolusAgent",
    "body_part": "BodyPartExamined",
    "sex": "PatientSex",
    "age": "PatientAge",
    "birth_date": "PatientBirthDate",
    "study_date": "StudyDate",
    "series_description": "SeriesDescription",
    "study_description": "StudyDescription",
    "protocol": "ProtocolName",
    "series_date": "SeriesDate",
    "series_time": "SeriesTime",
    "acquisition_date": "AcquisitionDate",
    "acquisition_time": "AcquisitionTime",
    "corrected_image": "CorrectedImage",
    "decay_correction": "DecayCorrection",
    "concatenation": "ConcatenationUID",
}
NUMBERS: Final = {
    "slice_thickness_mm": "SliceThickness",
    "kvp": "KVP",
    "reconstruction_mm": "ReconstructionDiameter",
    "field_t": "MagneticFieldStrength",
    "weight_kg": "PatientWeight",
    "height_m": "PatientSize",
    "concatenation_part": "InConcatenationNumber",
    "concatenation_parts": "InConcatenationTotalNumber",
}

KINDS: Final[dict[str, type]] = {
    **dict.fromkeys(TEXTS, str),
    **dict.fromkeys(NUMBERS, float),
    "kernels": int,
    "contrast_said": bool,
}
"""Of what kind each value is, those found otherwise among them."""

_OF_FRAMES: Final = frozenset({"kernel", "reconstruction_mm"})
"""What frames say of themselves where the top level does not."""


def read_facts(dataset: Any) -> dict[str, Any]:
    """Return what is there of the known values: texts and finite numbers."""
    found: dict[str, Any] = {}
    for name, keyword in may_be_there(dataset, TEXTS):
        said = text(dataset, keyword)
        if said:
            found[name] = said
    for name, keyword in may_be_there(dataset, NUMBERS):
        measured = number(dataset, keyword)
        if measured is not None:
            found[name] = measured
    found |= _of_frames(dataset) if found.keys().isdisjoint(_OF_FRAMES) else {}
    # present but empty means: no agent was given
    if "ContrastBolusAgent" in dataset:
        found["contrast_said"] = True
    return found


def _of_frames(dataset: Any) -> dict[str, Any]:
    """Return how most frames of a multi-frame CT were reconstructed, and in how many ways (PS3.3 C.8.15.3.6)."""
    groups = levels(dataset, "CTReconstructionSequence")
    if not groups:
        return {}
    counted = Counter((text(group, "ConvolutionKernel"), number(group, "ReconstructionDiameter")) for group in groups)
    kernel, diameter_mm = min(counted, key=lambda one: (-counted[one], repr(one)))
    kernels = {kernel for kernel, _ in counted}
    return {
        **({"kernel": kernel} if kernel else {}),
        **({"kernels": len(kernels)} if len(kernels) > 1 else {}),
        **({"reconstruction_mm": diameter_mm} if diameter_mm is not None else {}),
    }
