"""Slices with as many elements as scanners write: about a hundred, private ones and sequences among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from tests.archive.conftest import make_slice

_ORDINARY: Mapping[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "InstanceCreationDate": "20240102",
    "InstanceCreationTime": "101500.000000",
    "StudyDate": "20240102",
    "SeriesDate": "20240102",
    "AcquisitionDate": "20240102",
    "ContentDate": "20240102",
    "StudyTime": "100000",
    "SeriesTime": "101010.500000",
    "ContentTime": "101500.000000",
    "AccessionNumber": "A-1",
    "Manufacturer": "MAKER",
    "InstitutionName": "Clinic of the Town",
    "ReferringPhysicianName": "A^B",
    "StationName": "CT01",
    "StudyDescription": "Thorax",
    "SeriesDescription": "Thorax 2.5 B30f",
    "ManufacturerModelName": "Model 64",
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "19600101",
    "PatientSex": "F",
    "PatientAge": "064Y",
    "PatientSize": 1.7,
    "PatientWeight": 70.5,
    "BodyPartExamined": "CHEST",
    "KVP": 120,
    "DataCollectionDiameter": 500,
    "DeviceSerialNumber": "12345",
    "SoftwareVersions": "V1.2.3",
    "ProtocolName": "ThoraxRoutine",
    "ReconstructionDiameter": 360,
    "DistanceSourceToDetector": 1040,
    "DistanceSourceToPatient": 570,
    "GantryDetectorTilt": 0,
    "TableHeight": 154.5,
    "RotationDirection": "CW",
    "ExposureTime": 500,
    "XRayTubeCurrent": 200,
    "Exposure": 100,
    "FilterType": "0",
    "GeneratorPower": 24,
    "FocalSpots": 1.2,
    "ConvolutionKernel": "B30f",
    "PatientPosition": "HFS",
    "StudyID": "1",
    "SeriesNumber": 3,
    "AcquisitionNumber": 1,
    "PositionReferenceIndicator": "",
    "ImageComments": "as it was made",
    "PixelPaddingValue": 63536,
    "WindowCenter": [40, -600],
    "WindowWidth": [400, 1200],
    "RescaleType": "HU",
}
MR: Mapping[str, Any] = {
    "SOPClassUID": MRImageStorage,
    "Modality": "MR",
    "ScanningSequence": "SE",
    "SequenceVariant": "SK",
    "MRAcquisitionType": "2D",
    "RepetitionTime": 500.0,
    "EchoTime": 12.0,
    "MagneticFieldStrength": 1.5,
    "FlipAngle": 90,
    "SpacingBetweenSlices": 2.5,
    "EchoTrainLength": 1,
    "PixelBandwidth": 130,
    "KVP": None,
    "RescaleType": None,
}
"""What an MR has otherwise."""


def ordinary_slice(pixels: np.ndarray, k: int, **changes: Any) -> Dataset:
    """Return slice k of a series, 2.5 mm from the one before; elements by keyword override any other."""
    elements = {
        "InstanceNumber": k + 1,
        "AcquisitionTime": f"1015{k // 60:02d}.{k:06d}",
        "SliceLocation": -100 + 2.5 * k,
        **_ORDINARY,
        **changes,
    }
    dataset = make_slice(pixels, position=(-180.5, -170.25, -100 + 2.5 * k), **elements)
    _add_others(dataset, k)
    return dataset


def _add_others(dataset: Dataset, k: int) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, f"1.2.3.{k}"
    dataset.ReferencedImageSequence = [item] * 3
    block = dataset.private_block(0x0029, "MAKER HEADER", create=True)
    for place in range(10):
        block.add_new(place, "LO", f"private {place}")
