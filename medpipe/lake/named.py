"""Names of what is kept by digest, such as models and fits: each name has a latest, and what it was before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from medpipe.errors import IntegrityError
from medpipe.lake.lake import Lake

EntryPath = Callable[[str, int], str]
"""Path of the entry of a name and an order."""


Entry = tuple[str, str, int]
"""Name, digest and order."""

NOTHING = ""
"""The digest of an entry by which a name was taken back."""


def named(lake: Lake, register: str) -> list[Entry]:
    """Return (name, digest, order) of every entry of a register; the highest order of a name is its latest.

    What a name meant before it was taken back has the order 0: only its digest means it.
    """
    entries = _entries(lake, register)
    ended = {name: order for name, digest, order in entries if digest == NOTHING}
    return sorted(
        (name, digest, order if order > ended.get(name, 0) else 0) for name, digest, order in entries if digest
    )


def _entries(lake: Lake, folder: str) -> list[Entry]:
    """Return all entries below a folder, by name and order."""
    entries = [json.loads(lake.store.get(path)) for path in lake.store.list(folder)]
    each = [(entry["name"], entry["digest"], entry["order"]) for entry in entries]
    return sorted(each, key=lambda entry: (entry[0], entry[2]))


def make_latest(lake: Lake, register: str, entry_path: EntryPath, *, name: str, digest: str) -> bool:
    """Make a digest, or :data:`NOTHING`, the latest of a name; tell whether it was not.

    Raises
    ------
    StoppedError
        If the disk is full.
    """
    while True:
        entries = [(order, found) for known, found, order in _entries(lake, register) if known == name]
        latest, newest = max(entries, default=(0, NOTHING))
        if newest == digest:
            return False
        entry = {"name": name, "digest": digest, "order": latest + 1}
        if lake.store.put_if_absent(entry_path(name, latest + 1), json.dumps(entry, sort_keys=True).encode()):
            return True
        # somebody else took the place at the same time: this one comes after that one


def check_entry(lake: Lake, path: str, entry_path: EntryPath, kept_path: Callable[[str], str], *, remedy: str) -> None:
    """Check an entry of a register.

    Parameters
    ----------
    lake : Lake
    path : str
    entry_path, kept_path : callable
        Path of an entry, and of what is kept under a digest.
    remedy : str
        How the message goes on.

    Raises
    ------
    IntegrityError
        If it is altered, or a name of what is gone.
    """
    data = lake.store.get(path)
    try:
        entry = json.loads(data)
        right = json.dumps(entry, sort_keys=True).encode() == data
        right = right and entry_path(entry["name"], entry["order"]) == path
        right = right and (_is_ended(lake, path, entry) or lake.store.exists(kept_path(entry["digest"])))
    except (ValueError, KeyError, TypeError):
        right = False
    if not right:
        raise IntegrityError(f"{path}: the entry is altered, or {remedy}")


def _is_ended(lake: Lake, path: str, entry: Mapping[str, Any]) -> bool:
    """Tell whether an entry takes a name back, or is of one that was: what it named may be gone."""
    of_name = _entries(lake, path.rpartition("/")[0])
    return any(digest == NOTHING and order >= entry["order"] for _, digest, order in of_name)
