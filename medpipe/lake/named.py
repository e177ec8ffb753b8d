"""Names of what is kept by digest, such as models and fits: each name has a latest, and what it was before."""

from __future__ import annotations

import json
from collections.abc import Callable

from medpipe.errors import IntegrityError
from medpipe.lake.lake import Lake

EntryPath = Callable[[str, int], str]
"""Path of the entry of a name and an order."""


def named(lake: Lake, register: str) -> list[tuple[str, str, int]]:
    """Return (name, digest, order) of every entry of a register; the highest order of a name is its latest."""
    entries = [json.loads(lake.store.get(path)) for path in lake.store.list(register)]
    return sorted((entry["name"], entry["digest"], entry["order"]) for entry in entries)


def make_latest(lake: Lake, register: str, entry_path: EntryPath, *, name: str, digest: str) -> bool:
    """Make a digest the latest of a name; tell whether it was not.

    Raises
    ------
    StoppedError
        If the disk is full.
    """
    while True:
        entries = [(order, found) for known, found, order in named(lake, register) if known == name]
        latest, newest = max(entries, default=(0, ""))
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
        right = right and lake.store.exists(kept_path(entry["digest"]))
    except (ValueError, KeyError, TypeError):
        right = False
    if not right:
        raise IntegrityError(f"{path}: the entry is altered, or {remedy}")
