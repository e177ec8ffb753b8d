"""The answers of independent readers for an archive: one entry a stack, one row a file."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SURE = frozenset({"confirmed", "pixels confirmed"})
"""Verdicts of stacks whose voxels at least two readers agree on."""

PLACED = frozenset({"volume", "series4d", "mosaic", "enhanced", "single"})
"""Kinds whose slices lie somewhere."""

OUTCOMES = {
    "image": {"used"},
    "re-encoded copy": {"duplicate"},
    "duplicate": {"duplicate"},
    "DICOM without pixels": {"catalogued"},
    "DICOMDIR": {"skipped"},
    "not DICOM": {"skipped"},
    "no SOP class": {"quarantined"},
    "no data set": {"quarantined"},
    "empty": {"quarantined"},
    "truncated": {"quarantined"},
    "undecodable image": {"quarantined"},
}
"""What must become of a file of each class."""

CODES = {
    "no SOP class": {"E_NO_SOP_CLASS"},
    "no data set": {"E_NO_DATASET", "E_TRUNCATED"},
    "empty": {"E_EMPTY"},
    "truncated": {"E_TRUNCATED"},
    "undecodable image": {
        "E_NO_SOP_CLASS",
        "E_HEADER",
        "E_DIMENSIONS",
        "E_FRAME_COUNT",
        "E_TRUNCATED",
        "E_UNSUPPORTED_TS",
        "E_COLOUR",
        "E_CODEC_ERROR",
        "E_CODEC_DISAGREE",
        "E_CODEC_CRASH",
        "E_CODEC_PANIC",
    },
}
"""Codes that say what is wrong with a file of each class that is to be refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the readers said of an archive.

    Attributes
    ----------
    root : Path
        Folder of the archive.
    stacks : list of dict
        Entries of ``expected.json``.
    files : list of dict
        Rows of ``files.csv``, with paths below the archive.
    rejects : set of str
        Paths of ``rejects.csv``.
    """

    root: Path
    stacks: list[dict[str, Any]]
    files: list[dict[str, str]]
    rejects: frozenset[str]

    @property
    def sure(self) -> list[dict[str, Any]]:
        """Stacks whose voxels are known."""
        return [entry for entry in self.stacks if entry.get("verdict") in SURE]


def read_answers(data_root: Path) -> Answers:
    """Read the answers that lie beside an archive."""
    stacks = json.loads((data_root / "expected.json").read_text(encoding="utf-8"))
    for entry in stacks:
        entry["files"] = [_below(path) for path in entry["files"]]
        entry["copies"] = [_below(path) for path in entry.get("reencoded_copies") or []]
    files = [{**row, "path": _below(row["path"])} for row in _rows(data_root / "files.csv")]
    rejects = frozenset(_below(row["path"]) for row in _rows(data_root / "rejects.csv"))
    return Answers(root=data_root / "archive", stacks=stacks, files=files, rejects=rejects)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _below(path: str) -> str:
    return path.removeprefix("archive/")
