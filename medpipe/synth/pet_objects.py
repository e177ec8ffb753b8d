"""The PET series: Bq/ml with a slope per slice, and all that SUV needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import PositronEmissionTomographyImageStorage

from medpipe.keys import array_digest
from medpipe.synth.layout import StudyFolder
from medpipe.synth.objects import (
    Series,
    Written,
    code,
    decimal,
    dicom_date,
    dicom_time,
    frame_of_reference,
    image_plane,
    modality_values,
    pixel_format,
    series_dataset,
    write_stack,
)
from medpipe.synth.shapes import Floats, Grid

HALF_LIFE_S = 6586.2
"""Physical half-life of F-18."""

_DECAY_PER_S = math.log(2) / HALF_LIFE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """Activity given, and what the voxels are corrected to.

    Attributes
    ----------
    dose_bq : float
        Activity at the time of injection.
    given : datetime
    began : datetime
        Start of the series, the reference time of ``START``.
    frame_s : int
        Duration of a bed position.
    weight_kg : float
    decay_correction : {"START", "ADMIN"}
        DICOM (0054,1102).
    """

    dose_bq: float
    given: datetime
    began: datetime
    frame_s: int
    weight_kg: float
    decay_correction: str

    @property
    def suv_per_bqml(self) -> float:
        """Body-weight SUV of 1 Bq/ml: weight in g over the activity left at the reference time.

        SUV = a W 1000 / D_eff, D_eff = D exp(-lambda (t_ref - t_given)) for ``START`` and D for
        ``ADMIN`` (DICOM PS3.3 C.8.9.1; QIBA FDG-PET profile).
        """
        waited_s = (self.began - self.given).total_seconds() if self.decay_correction == "START" else 0.0
        return self.weight_kg * 1000.0 / (self.dose_bq * math.exp(-_DECAY_PER_S * waited_s))


def draw_injection(series: Series) -> Injection:
    """Draw dose and waiting time; one patient in four has voxels corrected to the injection."""
    rng = series.visit.rng("injection")
    return Injection(
        dose_bq=float(rng.integers(220, 380)) * 1e6,
        given=series.began - timedelta(seconds=int(rng.integers(3000, 4200))),
        began=series.began,
        frame_s=120,
        weight_kg=series.visit.patient.weight_kg,
        decay_correction="ADMIN" if series.visit.patient.number % 4 == 0 else "START",
    )


def write_pet(series: Series, suv: Floats, grid: Grid, folder: StudyFolder, injection: Injection) -> Written:
    """Write a PET series of an image in SUV, stored as Bq/ml with a rescale slope per slice."""
    stored, slope_texts = _quantised(suv / injection.suv_per_bqml)
    ds = series_dataset(series, PositronEmissionTomographyImageStorage)
    frame_of_reference(ds, series.visit.uid("frame of reference", "chest"))
    _pet_series(ds, injection, n_slices=len(stored))
    _radiopharmaceutical(ds, injection)
    image_plane(ds, grid, thickness_mm=grid.spacing_mm[0])
    pixel_format(ds, stored, bits=16)
    n_first = len(stored) // 2

    def per_slice(slice_ds: Dataset, index: int) -> None:
        slice_ds.RescaleSlope, slice_ds.RescaleIntercept = slope_texts[index], "0"
        slice_ds.ImageIndex = index + 1
        # Two bed positions, feet first: the upper half was acquired one frame later.
        _frame_times(slice_ds, injection, bed=int(index >= n_first))

    files = write_stack(series, ds, stored, folder, grid=grid, per_slice=per_slice)
    slopes = np.array([float(text) for text in slope_texts])
    values = modality_values(stored, slopes=slopes, intercept=0.0)
    return Written(files=files, voxels_digest=array_digest(values))


def _quantised(bqml: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int16], list[str]]:
    peaks = bqml.reshape(len(bqml), -1).max(axis=1)
    texts = [decimal(float(peak) / 32767) for peak in peaks]
    slopes = np.array([float(text) for text in texts])
    stored = np.clip(np.rint(bqml / slopes[:, None, None]), 0, 32767).astype(np.int16)
    return stored, texts


def _pet_series(ds: Dataset, injection: Injection, *, n_slices: int) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.BodyPartExamined = "CHEST"
    ds.PatientPosition = "HFS"
    ds.SeriesType = ["WHOLE BODY", "IMAGE"]
    ds.NumberOfSlices = n_slices
    ds.Units = "BQML"
    ds.CountsSource = "EMISSION"
    ds.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"]
    ds.DecayCorrection = injection.decay_correction
    ds.AttenuationCorrectionMethod = "measured,CT"
    ds.ScatterCorrectionMethod = "model-based"
    ds.RandomsCorrectionMethod = "DLYD"
    ds.ReconstructionMethod = "phantom"
    ds.CollimatorType = "NONE"
    ds.AcquisitionNumber = 1
    ds.RescaleType = "BQML"
    ds.PatientOrientationCodeSequence = Sequence([code("102538003", "SCT", "recumbent")])
    ds.PatientGantryRelationshipCodeSequence = Sequence([code("102540008", "SCT", "headfirst")])


def _radiopharmaceutical(ds: Dataset, injection: Injection) -> None:
    item = Dataset()
    item.Radiopharmaceutical = "Fluorodeoxyglucose"
    item.RadiopharmaceuticalStartTime = dicom_time(injection.given)
    item.RadiopharmaceuticalStartDateTime = dicom_date(injection.given) + dicom_time(injection.given)
    item.RadionuclideTotalDose = decimal(injection.dose_bq)
    item.RadionuclideHalfLife = decimal(HALF_LIFE_S)
    item.RadionuclidePositronFraction = "0.967"
    item.RadionuclideCodeSequence = Sequence([code("77004003", "SCT", "^18^Fluorine")])
    item.RadiopharmaceuticalCodeSequence = Sequence([code("35321007", "SCT", "Fluorodeoxyglucose F^18^")])
    ds.RadiopharmaceuticalInformationSequence = Sequence([item])


def _frame_times(ds: Dataset, injection: Injection, *, bed: int) -> None:
    began = injection.began + timedelta(seconds=bed * injection.frame_s)
    decayed = _DECAY_PER_S * injection.frame_s
    # Time within the frame at which the activity equals its mean over the frame.
    mean_s = math.log(decayed / (1 - math.exp(-decayed))) / _DECAY_PER_S
    ds.AcquisitionDate, ds.AcquisitionTime = dicom_date(began), dicom_time(began)
    ds.ActualFrameDuration = str(injection.frame_s * 1000)
    since_s = (began - injection.began).total_seconds() + mean_s
    ds.FrameReferenceTime = decimal(1000 * since_s)
    reference = injection.began if injection.decay_correction == "START" else injection.given
    ds.DecayFactor = decimal(math.exp(_DECAY_PER_S * ((began - reference).total_seconds() + mean_s)))
