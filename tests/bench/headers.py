"""Reading headers, values typed: of the reference archive, and of ordinary slices.

medpipe reads the first bytes of every file, and those that its quick reader leaves to the whole
reading as a whole; it takes the SHA-256 of what comes before the pixels, walks the structure and
makes a record of about sixty values and the functional groups. The peer stops before the pixels
and reads twenty. Both start from the file's name; medpipe's reader is a new one in every round.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medpipe.archive.encoding import decode_path
from medpipe.archive.header import Header, read_header
from medpipe.archive.quick.reader import FIRST_BYTES, QuickReader
from medpipe.archive.source import FolderSource
from tests.bench.ordinary import MR, ordinary_slice
from tests.bench.paired import Bench, Skipped

_TEXT, _WHOLE = str, int


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


PEER: Mapping[str, Callable[[Any], Any]] = {
    "SOPClassUID": _TEXT,
    "SOPInstanceUID": _TEXT,
    "StudyInstanceUID": _TEXT,
    "SeriesInstanceUID": _TEXT,
    "FrameOfReferenceUID": _TEXT,
    "PatientID": _TEXT,
    "Modality": _TEXT,
    "PhotometricInterpretation": _TEXT,
    "Rows": _WHOLE,
    "Columns": _WHOLE,
    "SamplesPerPixel": _WHOLE,
    "BitsAllocated": _WHOLE,
    "BitsStored": _WHOLE,
    "PixelRepresentation": _WHOLE,
    "InstanceNumber": _WHOLE,
    "ImagePositionPatient": _floats,
    "ImageOrientationPatient": _floats,
    "PixelSpacing": _floats,
    "RescaleSlope": float,
    "RescaleIntercept": float,
}
"""The twenty values the peer reads, and what makes them typed."""


def given_by_us(header: Header) -> dict[str, Any]:
    """Return the twenty values as medpipe's record has them; empty ones left out."""
    top = header.top
    found = {
        "SOPClassUID": header.sop_class_uid,
        "SOPInstanceUID": header.sop_instance_uid,
        "StudyInstanceUID": header.study_uid,
        "SeriesInstanceUID": header.series_uid,
        "FrameOfReferenceUID": header.frame_of_reference_uid,
        "PatientID": header.patient_id,
        "Modality": header.modality,
        "PhotometricInterpretation": header.photometric,
        "Rows": header.rows or None,
        "Columns": header.columns or None,
        "SamplesPerPixel": header.samples if header.rows else None,
        "BitsAllocated": header.bits_allocated or None,
        "BitsStored": header.bits_stored or None,
        "PixelRepresentation": int(header.signed) if header.rows else None,
        "InstanceNumber": header.instance_number,
        "ImagePositionPatient": top.position,
        "ImageOrientationPatient": top.orientation,
        "PixelSpacing": top.spacing_mm,
        "RescaleSlope": top.slope,
        "RescaleIntercept": top.intercept,
    }
    return {name: value for name, value in found.items() if value not in {None, "", ()}}


class Read(NamedTuple):
    """Headers by name, how many the quick reader left to the whole reading, and what it remembers, in bytes."""

    headers: dict[str, Header]
    handed_over: int


def benches(folder: Path) -> Iterator[Bench | Skipped]:
    """Yield the comparisons over all files that pydicom reads without force."""
    root = archive_root()
    if root is None:
        yield Skipped(subject="headers", reason="no reference data beside the checkout or in MEDPIPE_TEST_DATA")
    else:
        source = FolderSource(root)
        yield _bench(
            "headers, archive", {item.path: root / os.fsdecode(decode_path(item.path)) for item in source.scan()}
        )
    yield _bench("headers, slices", write_slices(folder))


def _bench(subject: str, names: Mapping[str, Path]) -> Bench:
    n_bytes = sum(name.stat().st_size for name in names.values())
    return Bench(
        subject=subject,
        size=f"{len(names)} files, {n_bytes >> 20} MB",
        ours=lambda: read_quickly(names),
        peer="pydicom, 20 values",
        theirs=lambda: read_by_pydicom(names),
        difference=lambda mine, other: wrong(mine.headers, other),
        items=len(names),
        item="file",
        remark=_remark,
    )


def _remark(mine: Read, other: dict[str, dict[str, Any]]) -> str:
    counts = ", ".join(f"{len(found)} {name}" for name, found in compared(mine.headers, other).items())
    share = 100 * mine.handed_over / len(mine.headers)
    return f"values {counts}; {mine.handed_over} files ({share:.1f} %) left to the whole reading"


def read_quickly(names: Mapping[str, Path]) -> Read:
    """Return the header of each file by a new quick reader, with the whole reading where that hands over."""
    reader = QuickReader()
    headers, handed_over = {}, 0
    for path, name in names.items():
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(file).st_size
            head, more = os.read(file, FIRST_BYTES), partial(_bytes_at, file)
            header = reader.read(head, path=path, size=size, version="", more=more)
            if header is None:
                handed_over += 1
                header = read_header(os.pread(file, size, 0), path=path, size=size, version="")
        finally:
            os.close(file)
        headers[path] = header
    return Read(headers, handed_over)


def _bytes_at(file: int, offset: int, count: int) -> bytes:
    return os.pread(file, count, offset)


SERIES, SLICES = 6, 100


def write_slices(folder: Path) -> dict[str, Path]:
    """Write series of CT and MR slices, in turn explicit and implicit, with as many elements as scanners write."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 4096, (128, 128)).astype(np.uint16)
    names = {}
    for series in range(SERIES):
        syntax = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)[series % 2]
        changes = MR if series % 3 == 2 else {}
        for k in range(SLICES):
            dataset = ordinary_slice(
                pixels,
                k,
                SeriesInstanceUID=f"1.2.826.0.1.3680043.8.498.{series}",
                StudyInstanceUID=f"1.2.826.0.1.3680043.8.499.{series // 2}",
                **changes,
            )
            dataset.file_meta.TransferSyntaxUID = syntax
            path = f"{series}-{k:03d}.dcm"
            names[path] = folder / path
            dataset.save_as(names[path], enforce_file_format=True)
    return names


def archive_root() -> Path | None:
    """Return the folder of the reference archive, if it is there."""
    named = os.environ.get("MEDPIPE_TEST_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    return root / "archive" if (root / "expected.json").is_file() else None


def read_by_pydicom(names: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Return the twenty values of each file that pydicom reads without force."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, name in names.items():
            try:
                dataset = pydicom.dcmread(name, stop_before_pixels=True, specific_tags=list(PEER))
                found[path] = _typed(dataset)
            except Exception:  # noqa: BLE001  # pydicom raises errors of many classes on damaged files
                continue
    return found


def _typed(dataset: Any) -> dict[str, Any]:
    values = {}
    for keyword, typed in PEER.items():
        value = dataset.get(keyword)
        if value is not None and value != "":
            values[keyword] = typed(value)
    return values


def compared(ours: dict[str, Header], theirs: dict[str, dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """Return (path, keyword) of the values pydicom gives, by what medpipe has in their place.

    A header that is refused (cut short before its pixels, for one) may lack them; any other may not.
    """
    found: dict[str, list[tuple[str, str]]] = {"equal": [], "unequal": [], "missing": [], "of refused files": []}
    for path, values in theirs.items():
        given = given_by_us(ours[path])
        for keyword, value in values.items():
            if keyword in given:
                kind = "equal" if given[keyword] == value else "unequal"
            else:
                kind = "of refused files" if ours[path].code else "missing"
            found[kind].append((path, keyword))
    return found


def wrong(ours: dict[str, Header], theirs: dict[str, dict[str, Any]]) -> float:
    """Return how many of the values pydicom gives are unequal or missing, or infinity if none is equal."""
    found = compared(ours, theirs)
    return float(len(found["unequal"]) + len(found["missing"])) if found["equal"] else math.inf
