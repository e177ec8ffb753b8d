"""The chest X-ray: one planar image, from a digital detector or a storage-phosphor plate."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from medpipe.synth.layout import StudyFolder
from medpipe.synth.objects import (
    Series,
    Written,
    code,
    decimal,
    dicom_date,
    dicom_time,
    pixel_format,
    series_dataset,
    values_digest,
    write_stack,
)
from medpipe.synth.shapes import Floats

MAGNIFICATION = 1.1
"""Distance source to detector over distance source to patient."""


def write_xray(series: Series, image: Floats, folder: StudyFolder, *, spacing_mm: float) -> Written:
    """Write a radiograph, with DX elements or CR elements as the series' modality says.

    Parameters
    ----------
    series : Series
        Of modality ``DX`` or ``CR``.
    image : array of float32, (y, x)
        Grey levels 0 to 4095.
    folder : StudyFolder
    spacing_mm : float
        Pixel spacing in the plane of the patient; DX states that of the detector.
    """
    stored = np.rint(image)[None].astype(np.uint16)
    digital = series.modality == "DX"
    ds = series_dataset(series, DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage)
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = "AP"
    ds.PatientOrientation = ["L", "F"]
    ds.AcquisitionNumber = 1
    ds.AcquisitionDate, ds.AcquisitionTime = dicom_date(series.began), dicom_time(series.began)
    ds.KVP = "110"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    ds.BurnedInAnnotation = "NO"
    pixel_format(ds, stored, bits=12)
    if digital:
        _digital(ds, spacing_mm)
    else:
        ds.PixelSpacing = [decimal(spacing_mm)] * 2
        ds.PlateID = "1"
    files = write_stack(series, ds, stored, folder, grid=None)
    return Written(files=files, voxels_digest=values_digest(stored))


def _digital(ds: Dataset, spacing_mm: float) -> None:
    ds.ImagerPixelSpacing = [decimal(spacing_mm * MAGNIFICATION)] * 2
    ds.EstimatedRadiographicMagnificationFactor = decimal(MAGNIFICATION)
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.LossyImageCompression = "00"
    ds.ImageLaterality = "U"
    ds.DetectorType = "DIRECT"
    ds.PositionerType = "NONE"
    ds.AnatomicRegionSequence = Sequence([code("43799004", "SCT", "Chest")])
    ds.ViewCodeSequence = Sequence([code("399348003", "SCT", "antero-posterior")])
    ds.AcquisitionContextSequence = Sequence([])
