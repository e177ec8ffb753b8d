"""Sound files of the other doors that mutants are made of: volumes, pictures, archive files, a medium's directory."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator

import nibabel as nib
import numpy as np
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from tests.archive.conftest import make_slice, to_bytes
from tests.archive.other_files import nifti, nrrd
from tests.fuzz.seeds import Seed, pixels

MASK = "mask"
"""What the name of a seed ends with that is the mask of another file."""

_RAS = np.diag([-1.0, -1.0, 2.0, 1.0])
_RAS[:3, 3] = 64, 64, -40
_LPS = np.diag([1.0, 1.0, 2.0, 1.0])
_LPS[:3, 3] = -64, -64, -40
_SIDES = (14, 12, 5)


def other_seeds() -> list[Seed]:
    """Return files that are not DICOM images; masks lie on the grid that mutants are drawn on."""
    return [
        Seed(f"own/{name}", data, code)
        for name, data, code in (*_volumes(), *_pictures(), *_archive_files(), ("directory", directory(), _LACKS))
    ]


_LACKS = "S_DICOMDIR_LACKS"


def _volumes() -> Iterator[tuple[str, bytes, str]]:
    whole = pixels(*_SIDES).astype(np.int16) - 2000
    pair = nifti(whole, _RAS, magic=b"ni1\0", vox_offset=0)
    yield "nifti 1", nifti(whole, _RAS), ""
    yield "nifti 1 packed", nifti(whole, _RAS, packed=True), ""
    yield "nifti 1 big", nifti(whole, _RAS, order=">", scl_slope=0.5, scl_inter=-3.0), ""
    yield "nifti 1 times", nifti(pixels(*_SIDES, 3), _RAS), ""
    yield "nifti 2", nifti(whole.astype(np.float32), _RAS, image=nib.Nifti2Image), ""
    yield "nifti 2 packed", nifti(whole, _RAS, image=nib.Nifti2Image, packed=True), ""
    yield "nifti pair head", pair[:348], "E_DETACHED"
    yield "nifti pair voxels", pair[352:], "E_NOT_DICOM"
    yield f"nifti {MASK}", nifti(_labels(), _RAS, packed=True), ""
    lying = whole.transpose(2, 1, 0)
    yield "nrrd", nrrd(lying, _LPS), ""
    yield "nrrd packed", nrrd(lying, _LPS, encoding="gzip"), ""
    yield "nrrd colour", nrrd(pixels(5, 12, 14, 3, top=256), _LPS, kinds=("RGB-color", "space", "space", "space")), ""
    yield "nrrd without its voxels", nrrd(lying, _LPS, lines=["data file: voxels.raw"]), "E_DETACHED"
    named = ["Segment0_Name:=one", "Segment0_LabelValue:=1", "Segment0_Layer:=0", "Segment1_LabelValue:=2"]
    yield f"nrrd {MASK}", nrrd(_labels().transpose(2, 1, 0), _LPS, encoding="gzip", lines=named), ""


def _labels() -> np.ndarray:
    labels = np.zeros(_SIDES, dtype=np.uint8)
    labels[2:9, 3:7, 1:4] = 1
    labels[9:12, 3:7, 1:4] = 2
    return labels


def _pictures() -> Iterator[tuple[str, bytes, str]]:
    grey, wide, colour = pixels(33, 40, top=256), pixels(33, 40), pixels(33, 40, 3, top=256)
    for name, array in {"grey": grey, "16 bits": wide, "colour": colour}.items():
        yield f"png {name}", _saved(array, "PNG"), ""
    yield "png palette", _saved(Image.fromarray(grey).convert("P"), "PNG"), ""
    yield "jpeg grey picture", _saved(grey, "JPEG", quality=80), ""
    yield "jpeg colour picture", _saved(colour, "JPEG", progressive=True), ""
    # a stream within the picture's own, with an end of its own
    small = _saved(grey[:8, :8], "JPEG")
    shown = Image.Exif()
    shown[0x010E] = small.decode("latin-1")
    yield "jpeg with another inside", _saved(colour, "JPEG", exif=shown.tobytes() + small), ""
    for name, options in {
        "tiff": {},
        "tiff big": {"bigtiff": True},
        "tiff lzw": {},
        "tiff float": {},
        "tiff pages": {},
    }.items():
        array = {"tiff float": wide.astype(np.float32), "tiff pages": pixels(3, 20, 24)}.get(name, wide)
        if name == "tiff lzw":
            yield name, _saved(grey, "TIFF", compression="tiff_lzw"), ""
            continue
        held = io.BytesIO()
        tifffile.imwrite(held, array, photometric="minisblack", metadata=None, **options)
        yield name, held.getvalue(), ""


def _saved(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    held = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(held, kind, **options)
    return held.getvalue()


def _archive_files() -> Iterator[tuple[str, bytes, str]]:
    files = {f"a/{number}": _image(number) for number in range(3)} | {"b/c.nii.gz": _packed_volume(), "notes": b"x"}
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for (name, data), method in zip(files.items(), (0, 8, 12, 0, 8), strict=True):
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    yield "zip", held.getvalue(), "S_ARCHIVE"
    for packed, form in (("", tarfile.PAX_FORMAT), ("gz", tarfile.GNU_FORMAT), ("bz2", 1), ("xz", 1)):
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode=f"w:{packed}", format=form) as archive:
            for name, data in files.items():
                long = "n" * 150 + "/" if name == "notes" else ""
                info = tarfile.TarInfo(f"{long}{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        yield f"tar {packed}".rstrip(), held.getvalue(), "S_ARCHIVE"


def _image(number: int) -> bytes:
    return to_bytes(make_slice(pixels(16, 16 + number), position=(0, 0, number), InstanceNumber=number))


def _packed_volume() -> bytes:
    return gzip.compress(nifti(pixels(6, 5, 4), _RAS), mtime=0)


def directory(names: tuple[str, ...] = ("A", "B"), copies: int = 1) -> bytes:
    """Return a medium's directory that names files, each so many times."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.FileSetID = "ONE"
    dataset.DirectoryRecordSequence = [_record(name) for name in names for _ in range(copies)]
    return to_bytes(dataset)


def _record(name: str) -> Dataset:
    record = Dataset()
    record.DirectoryRecordType = "IMAGE"
    record.ReferencedFileID = ["IMAGES", name] if len(name) == 1 else name
    return record
