"""The directories of a TIFF file, and of the Exif part of a picture: a bounded walk (TIFF 6.0, section 2)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from medpipe.errors import Rejected

MAX_PAGES: Final = 65_536
_MOST_ENTRIES: Final = 4096
_MOST_VALUES: Final = 64
_TYPES: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}

Page = dict[int, tuple[int, ...]]
"""By tag, its first integers; of types that hold none, no entry."""


class _Form(NamedTuple):
    """How a file writes its directories: classic, or with 64-bit offsets."""

    order: str
    offset: str
    entries: str
    entry_bytes: int
    value_at: int


def begins_like_tiff(data: bytes) -> bool:
    """Tell whether bytes begin like TIFF, classic or big."""
    return data[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"} and len(data) >= 16


def pages(data: bytes, *, most: int = MAX_PAGES) -> list[Page]:
    """Return the directories of a TIFF file, in order.

    Raises
    ------
    Rejected
        ``E_TRUNCATED`` if one lies beyond the file, ``E_HEADER`` if they run in a circle, lie in one another or are
        too many.
    """
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2 if order == "<" else 3] == 43
    form = _Form(order, "Q", "Q", 20, 12) if is_big else _Form(order, "I", "H", 12, 8)
    at = struct.unpack_from(order + form.offset, data, 8 if is_big else 4)[0]
    found: list[Page] = []
    seen: set[int] = set()
    n_bytes = 0
    try:
        while at and len(found) < most:
            # directories that lie in one another may hold far more entries than the file has bytes
            if at in seen or n_bytes > len(data):
                raise Rejected("E_HEADER")
            seen.add(at)
            page, end = _page(data, at, form)
            n_bytes += end - at
            (at,) = struct.unpack_from(form.order + form.offset, data, end)
            found.append(page)
    except (struct.error, OverflowError):
        raise Rejected("E_TRUNCATED") from None
    if at and most == MAX_PAGES:
        raise Rejected("E_HEADER")
    return found


def _page(data: bytes, at: int, form: _Form) -> tuple[Page, int]:
    """Return a directory and where its entries end."""
    (n_entries,) = struct.unpack_from(form.order + form.entries, data, at)
    if n_entries > _MOST_ENTRIES:
        raise Rejected("E_HEADER")
    at += struct.calcsize(form.entries)
    page: Page = {}
    for entry in range(at, at + n_entries * form.entry_bytes, form.entry_bytes):
        tag, kind = struct.unpack_from(f"{form.order}HH", data, entry)
        (count,) = struct.unpack_from(form.order + form.offset, data, entry + 4)
        letter = _TYPES.get(kind)
        if letter is None or not count:
            continue
        values = f"{form.order}{min(count, _MOST_VALUES)}{letter}"
        is_inside = count * struct.calcsize(letter) <= struct.calcsize(form.offset)
        place = entry + form.value_at
        if not is_inside:
            (place,) = struct.unpack_from(form.order + form.offset, data, place)
        page[tag] = struct.unpack_from(values, data, place)
    return page, at + n_entries * form.entry_bytes
