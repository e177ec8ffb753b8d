"""What was fitted over a cohort, in a lake: by digest, with a register of names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from medpipe.errors import IntegrityError
from medpipe.keys import canonical, digest
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.named import NOTHING, check_entry, make_latest, named


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
    return make_latest(lake, LAYOUT.fit_register(), LAYOUT.fit_entry, name=name, digest=found)


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
    """Return (name, digest, order) of every fit that has a name; the highest order is the latest.

    Those whose name was taken back have the order 0.
    """
    return named(lake, LAYOUT.fit_register())


def take_fit_back(lake: Lake, name: str) -> bool:
    """Take a name of fits back, whatever it means; tell whether it meant anything."""
    return make_latest(lake, LAYOUT.fit_register(), LAYOUT.fit_entry, name=name, digest=NOTHING)


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
    check_entry(lake, path, LAYOUT.fit_entry, LAYOUT.fit, remedy="its fit is gone; remove it and fit again")
