"""Sound series to plant faults in: what their files hold, and what must come of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

KINDS = ("ct", "mr", "pet", "timed", "enhanced")
"""CT with one rescale, MR without, PET with a slope for each slice, MR over time, enhanced CT or MR."""

_CLASSES = {
    "ct": "1.2.840.10008.5.1.4.1.1.2",
    "mr": "1.2.840.10008.5.1.4.1.1.4",
    "pet": "1.2.840.10008.5.1.4.1.1.128",
    "timed": "1.2.840.10008.5.1.4.1.1.4",
    "enhanced": "1.2.840.10008.5.1.4.1.1.2.1",
}
_MODALITIES = {"ct": "CT", "mr": "MR", "pet": "PT", "timed": "MR", "enhanced": "CT"}
_ANGLES = ((0, 0, 0), (90, 0, 0), (0, 90, 0), (-90, 0, 90))


@dataclass(frozen=True, kw_only=True)
class Series:
    """Files as data sets, and the volume they were cut from.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    seed : int
    files : list of Dataset
        One for each slice, first along the normal first and times outermost; one for all frames
        of an enhanced object.
    stored : array of int, (slices or times x slices, y, x)
    scales : array of float64, (slices, 2)
        Slope and intercept of each.
    turn : array of float64, (3, 3)
        Directions of row, column and normal.
    places : array of float64, (z, 3)
    spacing_mm : (float, float, float)
        Along z, y, x.
    n_times : int
    """

    kind: str
    seed: int
    files: list[Dataset]
    stored: np.ndarray
    scales: np.ndarray
    turn: np.ndarray
    places: np.ndarray
    spacing_mm: tuple[float, float, float]
    n_times: int = 1

    def __len__(self) -> int:
        """Return the number of slices of one volume."""
        return len(self.places)

    @property
    def along_mm(self) -> np.ndarray:
        """Positions of the slices along the normal."""
        return self.places @ self.turn[2]

    def values(self) -> np.ndarray:
        """Return what the array must hold: stored x slope + intercept in float64, then float32."""
        slope, intercept = self.scales[:, 0, None, None], self.scales[:, 1, None, None]
        values = (self.stored * slope + intercept).astype(np.float32)
        return values.reshape(self.n_times, len(self), *values.shape[1:]) if self.n_times > 1 else values

    def affine(self) -> np.ndarray:
        """Return the matrix that takes (x, y, z, 1) to LPS mm."""
        affine = np.eye(4)
        affine[:3, 0] = self.turn[0] * self.spacing_mm[2]
        affine[:3, 1] = self.turn[1] * self.spacing_mm[1]
        affine[:3, 2] = (self.places[-1] - self.places[0]) / (len(self) - 1)
        affine[:3, 3] = self.places[0]
        return affine

    def changed(self, **fields: Any) -> Series:
        """Return the series with other fields, its files copied."""
        return replace(self, files=copy.deepcopy(self.files), **fields)


def uid(*names: object) -> str:
    """Return a UID made of names."""
    return generate_uid(entropy_srcs=[str(name) for name in names])


def to_bytes(dataset: Dataset) -> bytes:
    """Return a data set as a file."""
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def make_series(kind: str, seed: int) -> Series:
    """Return a series of noise; shape, spacing, direction, type and rescale are drawn."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    n, rows = int(rng.integers(7, 13)), int(rng.integers(6, 12)) + 28 * int(rng.integers(4) == 0)
    columns = rows + int(rng.integers(1, 5))
    n_times = int(rng.integers(2, 5)) if kind == "timed" else 1
    step, row_mm = round(float(rng.uniform(0.8, 6.0)), 2), round(float(rng.uniform(0.3, 1.6)), 3)
    column_mm = round(row_mm * float(rng.uniform(1.1, 1.6)), 3)
    turn = _turn(rng)
    first = np.round(rng.uniform(-200, 200, 3), 3)
    places = first + np.arange(n)[:, None] * step * turn[2]
    signed = kind == "pet" or (kind == "ct" and bool(rng.integers(2)))
    low = -1000 if signed and kind == "ct" else 0
    stored = rng.integers(low, low + 4000, (n * n_times, rows, columns)).astype(np.int16 if signed else np.uint16)
    series = Series(
        kind=kind,
        seed=seed,
        files=[],
        stored=stored,
        scales=_scales(kind, rng, len(stored)),
        turn=turn,
        places=places,
        spacing_mm=(step, row_mm, column_mm),
        n_times=n_times,
    )
    series.files.extend([_enhanced(series)] if kind == "enhanced" else _slices(series))
    return series


def add_patient(dataset: Dataset, series: Series) -> None:
    """Name patient, study and series."""
    dataset.PatientID = f"P{series.seed}"
    dataset.StudyInstanceUID = uid("study", series.kind, series.seed)
    dataset.SeriesInstanceUID = uid("series", series.kind, series.seed)
    dataset.FrameOfReferenceUID = uid("frame of reference", series.seed)


def decimals(values: Any) -> list[str]:
    """Return numbers as decimal strings of at most 16 characters."""
    return [f"{float(value):.9g}" for value in values]


def _turn(rng: np.random.Generator) -> np.ndarray:
    straight = int(rng.integers(len(_ANGLES) + 3))
    angles = _ANGLES[straight] if straight < len(_ANGLES) else rng.uniform(-60, 60, 3)
    return np.round(Rotation.from_euler("xyz", angles, degrees=True).as_matrix().T, 9)


def _scales(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    if kind == "pet":
        slopes = [float(f"{slope:.9g}") for slope in rng.uniform(0.3, 9.0, n)]
        return np.column_stack([slopes, np.zeros(n)])
    slope, intercept = {"ct": (1, -1024), "enhanced": (2, -100)}.get(kind, (1, 0))
    return np.tile([float(slope), float(intercept)], (n, 1))


def _base(series: Series) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = _CLASSES[series.kind]
    add_patient(dataset, series)
    dataset.Modality = _MODALITIES[series.kind]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M" if dataset.Modality == "MR" else "AXIAL"]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = series.stored.shape[1:]
    signed = series.stored.dtype == np.int16
    bits = 16 if signed else 12
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    return dataset


def _slices(series: Series) -> list[Dataset]:
    return [_slice(series, index) for index in range(len(series.stored))]


def _slice(series: Series, index: int) -> Dataset:
    dataset = _base(series)
    time, place = divmod(index, len(series))
    dataset.SOPInstanceUID = uid("instance", series.kind, series.seed, index)
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = decimals(series.places[place])
    dataset.ImageOrientationPatient = decimals(series.turn[:2].ravel())
    dataset.PixelSpacing = decimals(series.spacing_mm[1:])
    dataset.SliceThickness = decimals(series.spacing_mm[:1])[0]
    if series.kind == "ct":
        dataset.KVP, dataset.ConvolutionKernel = "120", "B30f"
    if series.kind in {"mr", "timed"}:
        dataset.EchoTime, dataset.RepetitionTime = "12.5", "900"
    if series.kind == "timed":
        dataset.TemporalPositionIdentifier = time + 1
    if series.kind == "pet":
        dataset.Units, dataset.NumberOfSlices = "BQML", len(series)
    if series.kind in {"ct", "pet"}:
        dataset.RescaleSlope, dataset.RescaleIntercept = decimals(series.scales[index])
    dataset.PixelData = series.stored[index].tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _enhanced(series: Series) -> Dataset:
    dataset = _base(series)
    dataset.SOPInstanceUID = uid("instance", series.kind, series.seed)
    dataset.InstanceNumber, dataset.NumberOfFrames = 1, len(series)
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([Dataset()])
    shared.PixelMeasuresSequence[0].PixelSpacing = decimals(series.spacing_mm[1:])
    shared.PixelMeasuresSequence[0].SliceThickness = decimals(series.spacing_mm[:1])[0]
    shared.PlaneOrientationSequence = Sequence([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = decimals(series.turn[:2].ravel())
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([_group(series, index) for index in range(len(series))])
    dataset.PixelData = series.stored.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _group(series: Series, index: int) -> Dataset:
    group = Dataset()
    group.PlanePositionSequence = Sequence([Dataset()])
    group.PlanePositionSequence[0].ImagePositionPatient = decimals(series.places[index])
    group.PixelValueTransformationSequence = Sequence([Dataset()])
    scaling = group.PixelValueTransformationSequence[0]
    scaling.RescaleSlope, scaling.RescaleIntercept = decimals(series.scales[index])
    scaling.RescaleType = "HU"
    return group
