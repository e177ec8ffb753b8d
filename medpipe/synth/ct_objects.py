"""CT series: the chest in two reconstructions, and the localizer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from medpipe.synth.layout import StudyFolder
from medpipe.synth.noise import correlated
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
from medpipe.synth.thorax import blurred

INTERCEPT_HU = -1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """How a CT image is made of the same projections.

    Attributes
    ----------
    kernel : str
        ConvolutionKernel.
    blur_voxels : (float, float, float)
        Standard deviation of the point spread along (z, y, x).
    noise_correlation_voxels : (float, float, float)
        Standard deviation of the smoothing of the noise along (z, y, x).
    """

    kernel: str
    blur_voxels: tuple[float, float, float]
    noise_correlation_voxels: tuple[float, float, float]


SOFT = Reconstruction(kernel="SOFT40", blur_voxels=(0.35, 0.6, 0.6), noise_correlation_voxels=(0.3, 0.75, 0.75))
SHARP = Reconstruction(kernel="SHARP70", blur_voxels=(0.2, 0.35, 0.35), noise_correlation_voxels=(0.3, 0.4, 0.4))


def paired_slices(image: Floats, grid: Grid) -> tuple[Floats, Grid]:
    """Return the image in slices twice as thick, and their grid."""
    n = len(image) // 2
    thick: Floats = image[: 2 * n].reshape(n, 2, *image.shape[1:]).mean(axis=1, dtype=np.float32)
    z, y, x = grid.spacing_mm
    left, back, up = grid.origin_lps
    placed = Grid(shape=(n, *grid.shape[1:]), spacing_mm=(2 * z, y, x), origin_lps=(left, back, round(up + z / 2, 3)))
    return thick, placed


def scanned(ideal: Floats, how: Reconstruction, *, sigma_hu: float, rng: np.random.Generator) -> Stored:
    """Return stored values (uint16, HU + 1024) of a blurred and noisy image."""
    noise = correlated(rng, ideal.shape, sigma=sigma_hu, correlation_voxels=how.noise_correlation_voxels)
    hu = blurred(ideal, sigma_voxels=how.blur_voxels) + noise
    stored: Stored = np.clip(np.rint(hu) - INTERCEPT_HU, 0, 4095).astype(np.uint16)
    return stored


def write_ct(series: Series, stored: Stored, grid: Grid, folder: StudyFolder, how: Reconstruction) -> Written:
    """Write an axial CT series."""
    ds = _ct_dataset(series, stored)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ConvolutionKernel = how.kernel
    ds.SpacingBetweenSlices = decimal(grid.spacing_mm[0])
    image_plane(ds, grid, thickness_mm=grid.spacing_mm[0])
    files = write_stack(series, ds, stored, folder, grid=grid)
    return Written(files=files, voxels_digest=values_digest(stored, intercept=INTERCEPT_HU))


def write_localizer(series: Series, ideal: Floats, grid: Grid, folder: StudyFolder) -> tuple[Written, Grid]:
    """Write one frontal projection of the chest as CT scanners make it; return its grid too."""
    mean_hu = ideal.mean(axis=1)[::-1]
    plane = np.repeat(mean_hu, 2, axis=0)[None]
    stored = np.clip(np.rint(plane) - INTERCEPT_HU, 0, 4095).astype(np.uint16)
    z, _, x = grid.spacing_mm
    left, _, low = grid.origin_lps
    top = low + z * (grid.shape[0] - 1) + z / 4
    frontal = Grid(
        shape=(1, *plane.shape[1:]),
        spacing_mm=(1.0, z / 2, x),
        origin_lps=(left, 0.0, round(top, 3)),
        column_lps=(0.0, 0.0, -1.0),
    )
    ds = _ct_dataset(series, stored)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    image_plane(ds, frontal, thickness_mm=1.0)
    files = write_stack(series, ds, stored, folder, grid=frontal)
    return Written(files=files, voxels_digest=values_digest(stored, intercept=INTERCEPT_HU)), frontal


def _ct_dataset(series: Series, stored: Stored) -> Dataset:
    ds = series_dataset(series, CTImageStorage)
    frame_of_reference(ds, series.visit.uid("frame of reference", "chest"))
    ds.BodyPartExamined = "CHEST"
    ds.PatientPosition = "HFS"
    ds.AcquisitionNumber = 1
    ds.AcquisitionDate, ds.AcquisitionTime = dicom_date(series.began), dicom_time(series.began)
    ds.KVP = "120"
    ds.XRayTubeCurrent = 40 if series.visit.noisy.ct else 260
    ds.ExposureTime = 500
    ds.ContrastBolusAgent = ""
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(INTERCEPT_HU), "1", "HU"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    pixel_format(ds, stored, bits=12)
    return ds
