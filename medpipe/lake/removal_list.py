"""The list of what a pass of gc found out of reach, and when: what a later pass may remove."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from medpipe.errors import IntegrityError
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.sums import read_with_sum, with_sum


def read_removal_list(lake: Lake) -> dict[str, datetime]:
    """Return when each path was marked; a list that is damaged counts as empty, which only delays."""
    path = LAYOUT.removal_list()
    if not lake.store.exists(path):
        return {}
    try:
        marked = read_with_sum(lake.store.get(path), path)["marked"]
        return {name: datetime.fromisoformat(at) for at, names in marked.items() for name in names}
    except (IntegrityError, KeyError, ValueError, AttributeError, TypeError):
        return {}


def write_removal_list(lake: Lake, marks: Mapping[str, datetime]) -> None:
    """Replace the list."""
    by_time: dict[str, list[str]] = {}
    for name in sorted(marks):
        by_time.setdefault(marks[name].isoformat(), []).append(name)
    lake.store.swap_pointer(LAYOUT.removal_list(), with_sum({"marked": by_time}))
