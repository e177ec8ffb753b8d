"""A medium's directory (DICOMDIR): a hint of what should be there, never of what is (DICOM PS3.3 F, PS3.10 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from medpipe.archive.elements import items, parse, quiet
from medpipe.archive.gate import inspect

_MOST_FILES = 20_000
_ITEM = b"\xfe\xff\x00\xe0"
_LEAST_RECORD_BYTES = 100
"""Bytes of a record on the average: that of an image has four identifiers."""


def lacks_files(data: bytes, path: str, has: Callable[[str], bool]) -> bool:
    """Tell whether files that a directory names are not there.

    Parameters
    ----------
    data : bytes
        The directory.
    path : str
        Its own path; files lie below its folder.
    has : callable
        Tells whether there is a file of a path.

    Notes
    -----
    A directory of more records than its bytes can hold in earnest is not looked into: each costs time.
    """
    if data.count(_ITEM) * _LEAST_RECORD_BYTES > len(data):
        return False
    folder, _, _ = path.rpartition("/")
    beside = f"{folder}/" if folder else ""
    return not all(_is_there(beside, parts, has) for parts in islice(_named(data), _MOST_FILES))


def _named(data: bytes) -> Iterator[tuple[str, ...]]:
    """Yield the parts of the names of files, where they are names a medium can have."""
    try:
        with quiet():
            records = items(parse(inspect(data).data), "DirectoryRecordSequence")
            found = [record.get("ReferencedFileID") for record in records]
    except Exception:  # noqa: BLE001  # pydicom raises errors of 19 classes on damaged headers
        return
    for one in found:
        parts = (one,) if isinstance(one, str) else tuple(map(str, one or ()))
        if parts and all(part.isascii() and part.replace("_", "").isalnum() for part in parts):
            yield parts


def _is_there(beside: str, parts: tuple[str, ...], has: Callable[[str], bool]) -> bool:
    # copied from a medium, names are often in small letters
    name = "/".join(parts)
    return has(beside + name) or has(beside + name.lower())
