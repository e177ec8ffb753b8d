"""Names of files as text, and the order they are listed in."""

from __future__ import annotations

import re
from typing import Final

from medpipe.errors import Rejected

_ELSEWHERE: Final = frozenset({b"", b".", b".."})
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


def encode_path(raw: bytes) -> str:
    """Return a file name's bytes as text that JSON and UTF-8 can hold.

    Names in valid UTF-8 stay as they are, except that ``%`` becomes ``%25``; bytes that are
    not UTF-8 become ``%XX``. :func:`decode_path` is the inverse.
    """
    text = raw.decode("utf-8", "surrogateescape").replace("%", "%25")
    if text.isascii():
        return text
    return "".join(f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in text)


def decode_path(path: str) -> bytes:
    """Return the file name's bytes that :func:`encode_path` wrote as text."""
    if "%" not in path:
        return path.encode("utf-8", "surrogateescape")
    parts = _ESCAPE.split(path)
    return b"".join(
        bytes([int(part, 16)]) if place % 2 else part.encode("utf-8", "surrogateescape")
        for place, part in enumerate(parts)
    )


def name_of(part: str) -> bytes:
    """Return the file name that a part of a path is.

    Raises
    ------
    Rejected
        ``E_UNREADABLE`` if it may lead elsewhere.
    """
    name = decode_path(part)
    if name in _ELSEWHERE or b"/" in name or b"\0" in name:
        raise Rejected("E_UNREADABLE")
    return name


def path_order(path: str) -> bytes:
    """Return what paths are sorted by so that they come as :meth:`FolderSource.scan` lists them."""
    return decode_path(path).replace(b"/", b"\0")
