"""Equipment, patient and protocol values out of a data set, raw, for the series table."""

from __future__ import annotations

from typing import Any, Final

from medpipe.archive.elements import number, text

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
    "field_t": "MagneticFieldStrength",
    "weight_kg": "PatientWeight",
    "height_m": "PatientSize",
    "concatenation_part": "InConcatenationNumber",
    "concatenation_parts": "InConcatenationTotalNumber",
}


def read_facts(dataset: Any) -> dict[str, Any]:
    """Return what is there of the known values: texts and finite numbers."""
    found: dict[str, Any] = {}
    for name, keyword in TEXTS.items():
        said = text(dataset, keyword)
        if said:
            found[name] = said
    for name, keyword in NUMBERS.items():
        measured = number(dataset, keyword)
        if measured is not None:
            found[name] = measured
    # present but empty means: no agent was given
    if "ContrastBolusAgent" in dataset:
        found["contrast_said"] = True
    return found
