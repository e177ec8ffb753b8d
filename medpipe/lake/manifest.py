"""Manifests: what a published folder holds, so that two writers can be compared and rot be found."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from medpipe.errors import IntegrityError
from medpipe.keys import canonical, digest
from medpipe.lake.durable import write_file
from medpipe.lake.layout import LAYOUT
from medpipe.lake.store import LocalStore

MANIFEST = "manifest.json"
_BLOCK_BYTES = 1 << 20


class Entry(NamedTuple):
    """A file of a published folder: path relative to it, bytes, SHA-256."""

    path: str
    size: int
    sha256: str


def write_manifest(folder: Path) -> tuple[Entry, ...]:
    """Write the manifest of all files of a folder into it, and return the entries by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = tuple(_entry(path, folder) for path in files)
    text = canonical({"manifest_version": 1, "files": [entry._asdict() for entry in entries]})
    write_file(folder / MANIFEST, text.encode("ascii"))
    return entries


def read_manifest(store: LocalStore, folder: str) -> tuple[Entry, ...]:
    """Return the entries of a published folder's manifest.

    Raises
    ------
    IntegrityError
        If the manifest is missing or damaged.
    """
    try:
        value = json.loads(store.get(LAYOUT.manifest(folder)))
        return tuple(Entry(file["path"], file["size"], file["sha256"]) for file in value["files"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise IntegrityError(f"{folder}: its manifest is missing or damaged; remove the folder and run again") from None


def manifest_digest(entries: tuple[Entry, ...]) -> str:
    """Return one digest of all files: equal for equal folders."""
    return digest([list(entry) for entry in entries])


def publish_with_manifest(store: LocalStore, attempt: Path, folder: str, entries: tuple[Entry, ...]) -> bool:
    """Publish a folder exclusively; a loser must have written the same bytes.

    Returns
    -------
    bool
        Whether this call published it.

    Raises
    ------
    IntegrityError
        If another writer published other bytes under this path.
    """
    if store.publish_tree(attempt, folder):
        return True
    if read_manifest(store, folder) != entries:
        raise IntegrityError(
            f"{folder}: two computations of one key gave different bytes; keep both machines' logs and report it"
        )
    return False


def verify_folder(store: LocalStore, folder: str) -> None:
    """Read a published folder whole and hold it against its manifest.

    Raises
    ------
    IntegrityError
        If a file is missing, added or altered.
    """
    root = store.absolute(folder)
    files = (path for path in root.rglob("*") if path.is_file() and path != root / MANIFEST)
    found = tuple(_entry(path, root) for path in sorted(files))
    if sorted(found) != sorted(read_manifest(store, folder)):
        raise IntegrityError(f"{folder}: files differ from the manifest; remove the folder and run again")


def _entry(path: Path, folder: Path) -> Entry:
    state, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            state.update(block)
            size += len(block)
    return Entry(path.relative_to(folder).as_posix(), size, state.hexdigest())
