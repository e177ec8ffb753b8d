"""The files of a case: opened as the scan saw them, or refused as changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from medpipe.archive.header import Header
from medpipe.archive.other.door import read_any
from medpipe.errors import Rejected


class Opener(Protocol):
    """Opens files by their paths: a folder, several, or the files of a case list."""

    def open(self, path: str) -> bytes:
        """Return a file's bytes; raises ``Rejected``."""


class Files(Mapping[str, Header]):
    """Headers by path, read from the files when asked for.

    The bytes of the file asked for last are kept, since its pixels are wanted next.

    Parameters
    ----------
    source : Opener
    digests : mapping of str to str
        Path to the digest of the bytes the scan saw.
    """

    def __init__(self, source: Opener, digests: Mapping[str, str]) -> None:
        self._source = source
        self._digests = digests
        self._last: tuple[str, bytes] = ("", b"")

    def open(self, path: str) -> bytes:
        """Return a file's bytes.

        Raises
        ------
        Rejected
            Why the file cannot be opened.
        """
        if self._last[0] != path:
            self._last = (path, self._source.open(path))
        return self._last[1]

    def __getitem__(self, path: str) -> Header:
        """Return a file's header.

        Raises
        ------
        Rejected
            ``E_CHANGED`` if the file is not what the scan saw, or why it cannot be opened.
        """
        data = self.open(path)
        header = read_any(data, path=path, size=len(data), version="")
        if header.bytes_digest != self._digests[path]:
            raise Rejected("E_CHANGED")
        return header

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)
