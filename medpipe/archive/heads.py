"""Headers of files, one after the other: by the quick reader from their first bytes, else from all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from medpipe.archive.alike import Sliced, joined
from medpipe.archive.header import Header
from medpipe.archive.other.door import read_any

if TYPE_CHECKING:
    from medpipe.archive.quick.reader import QuickReader


class Readable(Protocol):
    """A file that is open."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def head(self, n_bytes: int) -> bytes:
        """Return the first bytes."""

    def at(self, offset: int, n_bytes: int) -> bytes:
        """Return bytes from within."""

    def whole(self) -> bytes:
        """Return all bytes."""


class Heads:
    """Reads headers; keep it for files that are alike, since it remembers.

    Parameters
    ----------
    after : int
        Files to read before the quick reader is loaded: its compiled code costs a process about
        half a second.
    splits : bool
        Whether :meth:`told` gives headers in two where they are like others.

    Attributes
    ----------
    read_whole : int
        Files that were read as a whole.
    """

    def __init__(self, *, after: int = 0, splits: bool = False) -> None:
        self._after = after
        self._splits = splits
        self._quick: QuickReader | None = None
        self._count = 0
        self.read_whole = 0

    def read(self, file: Readable, *, path: str, size: int, version: str) -> Header:
        """Return a file's header; see :meth:`told`."""
        return joined(self.told(file, path=path, size=size, version=version))

    def told(self, file: Readable, *, path: str, size: int, version: str) -> Header | Sliced:
        """Return a file's header, in two where it is like others; whatever is wrong becomes its ``code``.

        Parameters
        ----------
        file : Readable
        path, size, version : str, int, str
            As listed; kept in the result.
        """
        self._count += 1
        if self._count > self._after and file.size == size:
            from medpipe.archive.quick.reader import FIRST_BYTES, QuickReader

            if self._quick is None:
                self._quick = QuickReader(splits=self._splits)
            told = self._quick.told(file.head(FIRST_BYTES), path=path, size=size, version=version, more=file.at)
            if told is not None:
                return told
        self.read_whole += 1
        return read_any(file.whole(), path=path, size=size, version=version)
