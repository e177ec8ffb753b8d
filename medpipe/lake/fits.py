"""What was fitted over a cohort, in a lake: by digest, with a register of names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from medpipe.errors import IntegrityError
from medpipe.keys import canonical, digest
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT


def put_fit(lake: Lake, value: Mapping[str, Any], *, name: str) -> bool:
    """Keep a fit under the digest of its value, and make it the latest of a name; tell whether it was not.

    Raises
    ------
    IntegrityError
        If a damaged fit is there under this digest.
    StoppedError
        If the disk is full.
    """
    found = digest(value)
    lake.store.put_if_absent(LAYOUT.fit(found), canonical(value).encode())
    read_fit(lake, found)
    while True:
        entries = [(order, other) for known, other, order in lake_fits(lake) if known == name]
        latest, newest = max(entries, default=(0, ""))
        if newest == found:
            return False
        entry = {"name": name, "digest": found, "order": latest + 1}
        place = LAYOUT.fit_entry(name, latest + 1)
        if lake.store.put_if_absent(place, json.dumps(entry, sort_keys=True).encode()):
            return True
        # somebody else took the place at the same time: this one comes after that one


def read_fit(lake: Lake, fit_digest: str) -> dict[str, Any]:
    """Return a fit's value, checked against its digest.

    Raises
    ------
    IntegrityError
        If it is missing or was altered.
    """
    try:
        data = lake.store.get(LAYOUT.fit(fit_digest))
        value: dict[str, Any] = json.loads(data)
        right = digest(value) == fit_digest and canonical(value).encode() == data
    except (FileNotFoundError, ValueError):
        right = False
    if not right:
        raise IntegrityError(f"fit {fit_digest[:16]}: it is missing or altered; remove its file and fit again")
    return value


def lake_fits(lake: Lake) -> list[tuple[str, str, int]]:
    """Return (name, digest, order) of every fit that has a name; the highest order is the latest."""
    entries = [json.loads(lake.store.get(path)) for path in lake.store.list(LAYOUT.fit_register())]
    return sorted((entry["name"], entry["digest"], entry["order"]) for entry in entries)


def check_fit(lake: Lake, path: str) -> None:
    """Check a file below the folder of fits.

    Raises
    ------
    IntegrityError
        If it is altered, or a name whose fit is gone.
    """
    if not path.startswith(f"{LAYOUT.fit_register()}/"):
        read_fit(lake, path.rpartition("/")[2].partition(".")[0])
        return
    data = lake.store.get(path)
    try:
        entry = json.loads(data)
        right = json.dumps(entry, sort_keys=True).encode() == data
        right = right and LAYOUT.fit_entry(entry["name"], entry["order"]) == path
        right = right and lake.store.exists(LAYOUT.fit(entry["digest"]))
    except (ValueError, KeyError, TypeError):
        right = False
    if not right:
        raise IntegrityError(f"{path}: the entry is altered, or its fit is gone; remove it and fit again")
