"""Small DICOM files made on the spot, and shortcuts from bytes to stacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medpipe.archive.assemble import Assembly, assemble
from medpipe.archive.duplicates import Looks
from medpipe.archive.header import Header, read_header
from medpipe.archive.pixels import pixel_digest
from medpipe.archive.voxels import load_volume
from medpipe.keys import bytes_digest

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def to_bytes(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def uid(*names: object) -> str:
    return generate_uid(entropy_srcs=[str(name) for name in names])


def make_slice(pixels: np.ndarray, *, position: Any = (0, 0, 0), orientation: Any = AXIAL, **elements: Any) -> Dataset:
    """Return a CT slice of 16-bit pixels; elements by keyword override any other."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    defaults: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": uid(position, elements.get("InstanceNumber"), pixels.tobytes()[:64]),
        "StudyInstanceUID": uid("study"),
        "SeriesInstanceUID": uid("series"),
        "FrameOfReferenceUID": uid("frame"),
        "PatientID": "P1",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 1.0,
        "ImagePositionPatient": [round(float(item), 9) for item in position],
        "ImageOrientationPatient": [round(float(item), 12) for item in orientation],
        "RescaleSlope": 1.0,
        "RescaleIntercept": -1024.0,
        "PixelData": pixels.tobytes(),
    }
    for keyword, item in {**defaults, **elements}.items():
        if item is not None:
            setattr(dataset, keyword, item)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


class Archive:
    """Files by name, their headers, and what they assemble to."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.headers: dict[str, Header] = {
            path: read_header(data, path=path, size=len(data), version="1") for path, data in self.files.items()
        }
        self.assembly: Assembly = assemble(
            list(self.headers.values()),
            Looks(lambda path: bytes_digest(self.files[path]), lambda path: pixel_digest(self.files[path])),
        )

    def load(self, index: int = 0) -> Any:
        return load_volume(self.assembly.stacks[index], self.headers, self.files.__getitem__)


@pytest.fixture
def slice_of() -> Callable[..., Dataset]:
    return make_slice


@pytest.fixture
def archive_of() -> Callable[..., Archive]:
    def make(datasets: Any) -> Archive:
        named = datasets.items() if isinstance(datasets, Mapping) else enumerate(datasets)
        return Archive({str(name): item if isinstance(item, bytes) else to_bytes(item) for name, item in named})

    return make


@pytest.fixture
def stack_of() -> Callable[..., list[Dataset]]:
    """Return a function that makes n slices with random pixels, first along the normal first."""

    def make(n: int, *, step: Any = (0, 0, 2.5), first: Any = (-10, -20, 30), **elements: Any) -> list[Dataset]:
        rng = np.random.default_rng(n)
        slices = []
        for k in range(n):
            pixels = rng.integers(0, 4096, (6, 8)).astype(np.uint16)
            position = np.array(first) + k * np.array(step)
            slices.append(make_slice(pixels, position=position, InstanceNumber=k + 1, **elements))
        return slices

    return make


@pytest.fixture
def bytes_of() -> Callable[[Dataset], bytes]:
    return to_bytes


@pytest.fixture
def read() -> Callable[[bytes], Header]:
    return lambda data: read_header(data, path="a", size=len(data), version="1")
