"""DICOM objects: what all of a phantom's have in common, and how a stack becomes files.

Modules named in comments are those of DICOM PS3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from medpipe.keys import array_digest
from medpipe.synth.cohort import Visit, uid
from medpipe.synth.layout import StudyFolder
from medpipe.synth.shapes import Floats, Grid
from medpipe.synth.truth import Role

EXPLICIT = str(ExplicitVRLittleEndian)
IMPLICIT = str(ImplicitVRLittleEndian)
RLE = str(RLELossless)

Stored = npt.NDArray[np.uint16] | npt.NDArray[np.int16]

_IMPLEMENTATION_UID = uid("medpipe", "synth")
_MAKER = "medpipe synth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series to be written.

    Attributes
    ----------
    visit : Visit
    role : str
        What the series is in the truth.
    modality : str
        DICOM modality.
    number : int
        SeriesNumber.
    description : str
    at : time
        Time of day at which the series began.
    transfer_syntax : str
        UID: explicit or implicit VR little endian, or RLE.
    random_instance_numbers : bool
        Number the instances without regard to their place, as some scanners do.
    """

    visit: Visit
    role: Role
    modality: str
    number: int
    description: str
    at: time
    transfer_syntax: str = EXPLICIT
    random_instance_numbers: bool = False

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.visit.uid("series", self.role)

    @property
    def began(self) -> datetime:
        """Day and time at which the series began."""
        return datetime.combine(self.visit.day, self.at)

    def instance_uid(self, index: int) -> str:
        """Return the SOPInstanceUID of slice ``index``."""
        return self.visit.uid("instance", self.role, index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a series.

    Attributes
    ----------
    files : tuple of str
        Paths relative to the archive folder, in slice order.
    voxels_digest : str
        Digest of the modality values; empty for objects without an image.
    """

    files: tuple[str, ...]
    voxels_digest: str = ""


def dicom_date(moment: datetime) -> str:
    """Return a DA value."""
    return moment.strftime("%Y%m%d")


def dicom_time(moment: datetime) -> str:
    """Return a TM value, whole seconds."""
    return moment.strftime("%H%M%S")


def decimal(value: float) -> str:
    """Return a DS value: nine digits, never more than its 16 characters."""
    return f"{value:.9g}"


def decimals(values: tuple[float, ...]) -> list[str]:
    """Return several DS values."""
    return [decimal(value) for value in values]


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def series_dataset(series: Series, sop_class: str) -> Dataset:
    """Return a data set with the patient, study, series and equipment modules filled in."""
    visit, patient = series.visit, series.visit.patient
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.TransferSyntaxUID = series.transfer_syntax
    ds.file_meta.ImplementationClassUID = _IMPLEMENTATION_UID
    ds.file_meta.ImplementationVersionName = "MEDPIPE_SYNTH"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    ds.PatientName = f"PHANTOM^A{patient.number:04d}"
    ds.PatientID = patient.patient_id
    ds.PatientBirthDate = f"{visit.day.year - patient.age}0101"
    ds.PatientSex = patient.sex
    ds.PatientAge = f"{patient.age:03d}Y"
    ds.PatientSize = decimal(patient.height_m)
    ds.PatientWeight = decimal(patient.weight_kg)
    ds.PatientComments = "computed phantom, no person"
    ds.StudyInstanceUID = visit.uid("study")
    ds.StudyID = f"{visit.index + 1}"
    ds.StudyDate = visit.day.strftime("%Y%m%d")
    ds.StudyTime = "080000"
    ds.AccessionNumber = f"SYN{visit.index + 1:06d}"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "computed phantom"
    ds.SeriesInstanceUID = series.uid
    ds.SeriesNumber = series.number
    ds.SeriesDescription = series.description
    ds.SeriesDate, ds.SeriesTime = dicom_date(series.began), dicom_time(series.began)
    ds.ContentDate, ds.ContentTime = ds.SeriesDate, ds.SeriesTime
    ds.Modality = series.modality
    ds.Manufacturer = _MAKER
    ds.ManufacturerModelName = "phantom"
    ds.DeviceSerialNumber = f"{series.modality}{visit.patient.number % 2 + 1}"
    ds.StationName = f"SYN_{series.modality}{visit.patient.number % 2 + 1}"
    ds.SoftwareVersions = "1"
    ds.InstitutionName = "PHANTOM HOSPITAL"
    return ds


def frame_of_reference(ds: Dataset, uid_text: str) -> None:
    """Fill in the frame of reference module."""
    ds.FrameOfReferenceUID = uid_text
    ds.PositionReferenceIndicator = ""


def image_plane(ds: Dataset, grid: Grid, *, thickness_mm: float) -> None:
    """Fill in what the image plane module says of every slice alike."""
    ds.PixelSpacing = decimals(grid.spacing_mm[1:])
    ds.ImageOrientationPatient = decimals(grid.row_lps + grid.column_lps)
    ds.SliceThickness = decimal(thickness_mm)


def pixel_format(ds: Dataset, stored: Stored, *, bits: int) -> None:
    """Fill in the image pixel module for monochrome voxels of ``bits`` bits."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = int(stored.dtype == np.int16)


def write_stack(
    series: Series,
    template: Dataset,
    stored: Stored,
    folder: StudyFolder,
    *,
    grid: Grid | None,
    per_slice: Callable[[Dataset, int], None] | None = None,
) -> tuple[str, ...]:
    """Write one file per slice, in an order that is not that of the slices.

    Parameters
    ----------
    series : Series
    template : Dataset
        Elements all slices share; changed in place, slice by slice.
    stored : array of int16 or uint16, (z, y, x)
    folder : StudyFolder
    grid : Grid or None
        Where the slices are; None for images without a place in space.
    per_slice : callable, optional
        Sets further elements of slice ``index``.

    Returns
    -------
    tuple of str
        Paths relative to the archive folder, in slice order.
    """
    rng = series.visit.rng(f"order {series.role}")
    n = len(stored)
    numbers = rng.permutation(n) if series.random_instance_numbers else np.arange(n)
    files = [""] * n
    for index in rng.permutation(n).tolist():
        template.SOPInstanceUID = series.instance_uid(index)
        template.InstanceNumber = int(numbers[index]) + 1
        if grid is not None:
            position = grid.position_lps(index)
            template.ImagePositionPatient = decimals(position)
            template.SliceLocation = decimal(position[2])
        if per_slice is not None:
            per_slice(template, index)
        _set_pixels(template, stored[index], series.transfer_syntax)
        files[index] = write_object(template, folder.next_path(series.number), folder.archive)
    return tuple(files)


def write_object(ds: Dataset, path: Path, archive: Path) -> str:
    """Write a DICOM file; return its path relative to the archive folder."""
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    dcmwrite(path, ds, enforce_file_format=True)
    return path.relative_to(archive).as_posix()


def modality_values(stored: Stored, *, slopes: npt.NDArray[np.float64], intercept: float) -> Floats:
    """Return stored * slope + intercept, slice by slice in float64, as float32."""
    values: Floats = (stored * slopes[:, None, None] + intercept).astype(np.float32)
    return values


def values_digest(stored: Stored, *, slope: float = 1.0, intercept: float = 0.0) -> str:
    """Return the digest of the modality values of a stack with one slope."""
    slopes = np.full(len(stored), slope)
    return array_digest(modality_values(stored, slopes=slopes, intercept=intercept))


def _set_pixels(ds: Dataset, plane: Stored, transfer_syntax: str) -> None:
    data: Any = np.ascontiguousarray(plane).astype(plane.dtype.newbyteorder("<"), copy=False).tobytes()
    if transfer_syntax != RLE:
        ds.PixelData = data
        ds["PixelData"].VR = "OW"
        return
    ds.PixelData = data
    # The plugin is named because others write other, equally valid bytes.
    frame = RLELosslessEncoder.encode(ds, encoding_plugin="pydicom")
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
