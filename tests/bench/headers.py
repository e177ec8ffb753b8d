"""Reading headers of the reference archive, values typed.

medpipe reads every file whole, takes its SHA-256, walks its structure and reads about sixty
values and the functional groups; the peer stops before the pixels and reads twenty. Both start
from the file's name.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pydicom

from medpipe.archive.encoding import decode_path
from medpipe.archive.header import Header, read_header
from medpipe.archive.source import FolderSource
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


def benches(folder: Path) -> Iterator[Bench | Skipped]:
    """Yield the comparison over all files that pydicom reads without force."""
    root = archive_root()
    if root is None:
        yield Skipped(subject="headers", reason="no reference data beside the checkout or in MEDPIPE_TEST_DATA")
        return
    source = FolderSource(root)
    items = list(source.scan())
    names = {item.path: root / os.fsdecode(decode_path(item.path)) for item in items}
    n_bytes = sum(item.size for item in items)

    def ours() -> dict[str, Header]:
        return {
            item.path: read_header(source.open(item.path), path=item.path, size=item.size, version=item.version)
            for item in items
        }

    yield Bench(
        subject="headers",
        size=f"{len(items)} files, {n_bytes >> 20} MB",
        ours=ours,
        peer="pydicom, 20 values",
        theirs=lambda: read_by_pydicom(names),
        difference=wrong,
        items=len(items),
        item="file",
        remark=lambda mine, other: (
            "values " + ", ".join(f"{len(found)} {name}" for name, found in compared(mine, other).items())
        ),
    )


def archive_root() -> Path | None:
    """Return the folder of the reference archive, if it is there."""
    named = os.environ.get("MEDPIPE_TEST_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    return root / "archive" if (root / "expected.json").is_file() else None


def read_by_pydicom(names: dict[str, Path]) -> dict[str, dict[str, Any]]:
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
