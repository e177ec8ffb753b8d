"""The MR series: a T1-weighted head, tilted as technologists plan it."""

from __future__ import annotations

import math

import numpy as np
from pydicom.uid import MRImageStorage

from medpipe.synth.layout import StudyFolder
from medpipe.synth.objects import (
    Series,
    Stored,
    Written,
    decimal,
    dicom_date,
    dicom_time,
    frame_of_reference,
    image_plane,
    pixel_format,
    series_dataset,
    values_digest,
    write_stack,
)
from medpipe.synth.shapes import Floats, Grid


def tilted_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], *, tilt_deg: float) -> Grid:
    """Return a grid around the origin whose slices are tilted about the left-right axis."""
    tilt = math.radians(tilt_deg)
    # Nine digits, as the header will say it: truth and file hold the same numbers.
    column = (0.0, round(math.cos(tilt), 9), round(math.sin(tilt), 9))
    about_zero = Grid(shape=shape, spacing_mm=spacing_mm, origin_lps=(0.0, 0.0, 0.0), column_lps=column)
    centre = np.asarray(about_zero.affine_lps).reshape(4, 4)[:3, :3] @ ((np.asarray(shape[::-1]) - 1) / 2)
    x, y, z = (round(-float(value), 4) for value in centre)
    return Grid(shape=shape, spacing_mm=spacing_mm, origin_lps=(x, y, z), column_lps=column)


def stored_signal(magnitude: Floats) -> Stored:
    """Return magnitudes as the 12-bit integers a scanner stores."""
    return np.clip(np.rint(magnitude), 0, 4095).astype(np.uint16)


def write_mr(series: Series, stored: Stored, grid: Grid, folder: StudyFolder) -> Written:
    """Write an MR series."""
    ds = series_dataset(series, MRImageStorage)
    frame_of_reference(ds, series.visit.uid("frame of reference", "head"))
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.BodyPartExamined = "HEAD"
    ds.PatientPosition = "HFS"
    ds.AcquisitionNumber = 1
    ds.AcquisitionDate, ds.AcquisitionTime = dicom_date(series.began), dicom_time(series.began)
    ds.ScanningSequence, ds.SequenceVariant = "GR", ["SP", "MP"]
    ds.ScanOptions, ds.MRAcquisitionType = "", "3D"
    ds.RepetitionTime, ds.EchoTime, ds.InversionTime = "1900", "2.5", "900"
    ds.EchoTrainLength, ds.EchoNumbers, ds.FlipAngle = 1, 1, "9"
    ds.MagneticFieldStrength = "3" if series.visit.patient.number % 2 else "1.5"
    ds.NumberOfAverages = "1"
    ds.SpacingBetweenSlices = decimal(grid.spacing_mm[0])
    ds.WindowCenter, ds.WindowWidth = "450", "900"
    image_plane(ds, grid, thickness_mm=grid.spacing_mm[0])
    pixel_format(ds, stored, bits=12)
    files = write_stack(series, ds, stored, folder, grid=grid)
    return Written(files=files, voxels_digest=values_digest(stored))
