"""What the tests of the scan share: small archives made file by file, and the whole index to compare."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medpipe.app.index import Index, LakeIndex
from medpipe.app.progress import Progress, Silent
from medpipe.app.scan import ScanReport, scan_archives
from medpipe.app.site import Limits, Site
from medpipe.contracts.protocols import Item
from medpipe.lake.lake import Lake
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import load_secret
from medpipe.ranges import Range
from tests.archive.conftest import make_slice, to_bytes, uid

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
WHOLE = Range(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An archive, a lake and a key.

    Attributes
    ----------
    archive, lake, key : Path
    """

    archive: Path
    lake: Path
    key: Path

    def put(self, path: str, data: bytes) -> Path:
        """Write a file of the archive."""
        file = self.archive / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    def put_series(self, study: str, series: str = "a", *, slices: int = 3, **elements: Any) -> list[Path]:
        """Write a series, a slice to a file."""
        return [
            self.put(f"{study}/{series}/{number}.dcm", image(study, series, number, **elements))
            for number in range(slices)
        ]

    def scan(
        self,
        *,
        accept_deletions: bool = False,
        settled: Callable[[Item], bool] | None = None,
        archive: Path | None = None,
        progress: Progress | None = None,
        limits: Limits | None = None,
    ) -> ScanReport:
        """Scan the archive, or another one."""
        site = self.site(limits)
        return scan_archives(
            [archive or self.archive],
            self.lake,
            site,
            progress or Silent(),
            accept_deletions=accept_deletions,
            settled=None if settled is None else lambda _root, item: settled(item),
        )

    def site(self, limits: Limits | None = None) -> Site:
        """Return a site with the key."""
        return Site(workers=1, key_file=self.key, limits=limits or Limits())

    def opened(self) -> Lake:
        """Return the lake, open."""
        return Lake.open(self.lake, secret=load_secret(self.key))

    def index(self) -> LakeIndex:
        """Return the index."""
        return LakeIndex.open(self.opened(), Pseudonyms(load_secret(self.key)))

    def content(self) -> dict[str, Any]:
        """Return everything the index holds."""
        return content_of(self.index().load(WHOLE))

    def files_of_index(self) -> dict[str, str]:
        """Return the digest of every file of index and private room by its path."""
        found = [path for name in ("index", "private") for path in (self.lake / name).rglob("*") if path.is_file()]
        return {path.relative_to(self.lake).as_posix(): digest_of(path) for path in found}

    def beside(self, name: str) -> Place:
        """Return a place with the same archive and key, and a lake of its own."""
        return Place(archive=self.archive, lake=self.lake.with_name(name), key=self.key)

    def fresh(self) -> dict[str, Any]:
        """Return what a first scan of the archive as it is now finds."""
        other = self.beside("fresh")
        shutil.rmtree(other.lake, ignore_errors=True)
        other.scan()
        return other.content()


def content_of(index: Index) -> dict[str, Any]:
    """Return an index as values that can be compared."""
    tables = {name: sorted(getattr(index, name), key=repr) for name in ("instances", "members", "series", "volumes")}
    return {**tables, "versions": index.versions, "locators": index.locators}


def digest_of(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def image(study: str, series: str, number: int, **elements: Any) -> bytes:
    """Return a slice of a small CT."""
    pixels = np.full((4, 4), number, np.int16)
    given = {
        "StudyInstanceUID": uid("study", study),
        "SeriesInstanceUID": uid("series", study, series),
        "SOPInstanceUID": uid("image", study, series, number),
        "FrameOfReferenceUID": uid("frame", study),
        "PatientID": f"PATIENT-{study}",
        "StudyDate": "20200110",
        **elements,
    }
    return to_bytes(make_slice(pixels, position=(0, 0, 2 * number), **given))


def structure_set(study: str, *, of_study: str, of_series: str = "a", label: str = "one") -> bytes:
    """Return a structure set that lies in one study and was drawn on a series of another."""
    series = Dataset()
    series.SeriesInstanceUID = uid("series", of_study, of_series)
    referenced = Dataset()
    referenced.RTReferencedSeriesSequence = Sequence([series])
    frame = Dataset()
    frame.FrameOfReferenceUID = uid("frame", of_study)
    frame.RTReferencedStudySequence = Sequence([referenced])
    dataset = make_slice(
        np.zeros((1, 1), np.int16),
        SOPClassUID=RTSTRUCT,
        Modality="RTSTRUCT",
        StudyInstanceUID=uid("study", study),
        SeriesInstanceUID=uid("series", study, "structures"),
        SOPInstanceUID=uid("structures", study, of_study, of_series),
        PatientID=f"PATIENT-{study}",
        StudyDate="20200110",
        FrameOfReferenceUID=uid("frame", of_study),
        StructureSetLabel=label,
        ReferencedFrameOfReferenceSequence=Sequence([frame]),
    )
    for name in ("PixelData", "Rows", "Columns"):
        delattr(dataset, name)
    return to_bytes(dataset)
