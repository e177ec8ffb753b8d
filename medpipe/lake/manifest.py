"""Manifests: what a published folder holds, so that two writers can be compared and rot be found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
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


def write_manifest(folder: Path, *, linked: Mapping[str, Entry] = MappingProxyType({})) -> tuple[Entry, ...]:
    """Write the manifest of all files of a folder into it, and return the entries by path.

    Files that are `linked` from another folder are not read: their entries are carried over, so
    that one which rotted there does not pass for sound here.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = tuple(linked.get(path.relative_to(folder).as_posix()) or file_entry(path, folder) for path in files)
    write_file(folder / MANIFEST, _text(entries))
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


def verify_folder(store: LocalStore, folder: str, *, read: dict[tuple[int, int], Entry] | None = None) -> None:
    """Read a published folder whole and hold it against its manifest.

    Parameters
    ----------
    store : LocalStore
    folder : str
    read : dict, optional
        Files that were read already, by device and inode: one with many names is read once.

    Raises
    ------
    IntegrityError
        If a file is missing, added or altered, the manifest included; names it.
    """
    root = store.absolute(folder)
    entries = read_manifest(store, folder)
    if store.get(LAYOUT.manifest(folder)) != _text(entries):
        raise IntegrityError(f"{LAYOUT.manifest(folder)}: its bytes were altered; remove the folder and run again")
    files = (path for path in root.rglob("*") if path.is_file() and path != root / MANIFEST)
    found = {_entry_once(path, root, {} if read is None else read) for path in files}
    wrong = sorted({entry.path for entry in found ^ set(entries)})
    if wrong:
        raise IntegrityError(
            f"{folder}: {len(wrong)} files differ from the manifest (first: {wrong[0]}); remove the folder and run again"
        )


def _entry_once(path: Path, root: Path, read: dict[tuple[int, int], Entry]) -> Entry:
    stat = path.stat()
    known = read.get((stat.st_dev, stat.st_ino)) if stat.st_nlink > 1 else None
    entry = known._replace(path=path.relative_to(root).as_posix()) if known else file_entry(path, root)
    if stat.st_nlink > 1:
        read[stat.st_dev, stat.st_ino] = entry
    return entry


def file_entry(path: Path, folder: Path) -> Entry:
    """Return the entry of a file, read whole."""
    state, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            state.update(block)
            size += len(block)
    return Entry(path.relative_to(folder).as_posix(), size, state.hexdigest())


def _text(entries: tuple[Entry, ...]) -> bytes:
    value = {"manifest_version": 1, "files": [entry._asdict() for entry in entries]}
    return canonical(value).encode("ascii")
