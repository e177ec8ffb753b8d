"""Members of archive files: what a zip or tar says it holds, and under which paths that is known.

A member's name never becomes a path of this machine: it is looked up in the list it came from.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final, NamedTuple, Protocol

from medpipe.archive.encoding import encode_path, path_order

MAX_MEMBERS: Final = 250_000
MAX_DIRECTORY_BYTES: Final = 64 << 20
MAX_NAME_BYTES: Final = 4096
MAX_RATIO: Final = 32

_FREE_BYTES: Final = 64 << 20
_FREE_ALONE_BYTES: Final = 32 << 20
_FREE_IN_ALL_BYTES: Final = 320 << 20
_FREE_SLOWLY_BYTES: Final = 64 << 20
_FREE_MEMBERS: Final = 10_000
_LEAST_PACKED_BYTES: Final = 64
_SHOWN_BYTES: Final = 256
_DRIVE: Final = re.compile(rb"[A-Za-z]:[/\\]")


class Member(NamedTuple):
    """What an archive file holds under a name.

    Attributes
    ----------
    path : str
        Below the archive file, as :func:`medpipe.archive.encoding.encode_path` writes names; of
        each member another one.
    size : int
        Bytes it is to have.
    version : str
        A hint that it changed, built as that of a file: its size, what tells a change, the rest.
    problem : str or None
        Code of :mod:`medpipe.reasons` if it must not be read.
    place : tuple of int
        Where and how it is stored.
    """

    path: str
    size: int
    version: str
    problem: str | None
    place: tuple[int, ...]


class Listing(NamedTuple):
    """Members of an archive file, and the reason why these may not be all, or an empty string."""

    members: list[Member]
    code: str


class Container(Protocol):
    """An archive file; whoever asks has it open for reading."""

    def listing(self, file: int) -> Listing:
        """Return all members, in the order they are stored."""

    def find(self, file: int, path: str) -> Member | None:
        """Return the member of a path."""

    def read(self, file: int, member: Member) -> bytes:
        """Return the bytes of a member; raises ``Rejected``."""


class Paths:
    """Gives each member of an archive file a path of its own.

    Names that would lead elsewhere (``..``, a root, a drive, a NUL byte), have no last part or
    are longer than 4096 bytes become one part, and are told. A name that comes again gets a
    number.
    """

    def __init__(self) -> None:
        self._taken: set[bytes] = set()
        self._repeats: Counter[str] = Counter()

    def take(self, name: bytes) -> tuple[str, bool]:
        """Return the path of the next member, and whether its name is sound."""
        parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
        is_sound = bool(parts) and not _leads_astray(name)
        path = encode_path(b"/".join(parts)) if is_sound else _one_part(name)
        return self._own(path), is_sound

    def _own(self, path: str) -> str:
        own = path
        while (order := path_order(own)) in self._taken:
            self._repeats[path] += 1
            own = f"{path}~{self._repeats[path] + 1}"
        self._taken.add(order)
        return own


def most_bytes(packed_bytes: int) -> int:
    """Return to how many bytes a member may inflate: masks shrink a thousandfold, so a little is free."""
    return _FREE_BYTES + MAX_RATIO * packed_bytes


def most_alone(packed_bytes: int) -> int:
    """Return to how many bytes a file compressed by itself may inflate: it is held twice while it is read."""
    return _FREE_ALONE_BYTES + MAX_RATIO * packed_bytes


def most_members(packed_bytes: int) -> int:
    """Return how many members a compressed tar may have: headers that are alike shrink to nothing."""
    return min(MAX_MEMBERS, _FREE_MEMBERS + packed_bytes // _LEAST_PACKED_BYTES)


def most_in_all(packed_bytes: int, *, is_slow: bool = False) -> int:
    """Return to how many bytes all of an archive file may inflate; fewer if that goes slowly (bzip2)."""
    return (_FREE_SLOWLY_BYTES if is_slow else _FREE_IN_ALL_BYTES) + MAX_RATIO * packed_bytes


def _leads_astray(name: bytes) -> bool:
    # a backslash parts names where zips are made on Windows
    parts = name.replace(b"\\", b"/").split(b"/")
    is_rooted = not parts[0] or _DRIVE.match(name) is not None
    return is_rooted or not parts[-1] or b".." in parts or b"\0" in name or len(name) > MAX_NAME_BYTES


def _one_part(name: bytes) -> str:
    shown = encode_path(name[:_SHOWN_BYTES]).replace("/", "%2F").replace("\0", "%00")
    return shown or "%00"
