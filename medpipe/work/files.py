"""The files of a case: opened as the scan saw them, or refused as changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medpipe.archive.header import Header, read_header
from medpipe.archive.source import FolderSource
from medpipe.errors import Rejected
from medpipe.keys import bytes_digest


class Files(Mapping[str, Header]):
    """Headers by path, read from the files when asked for.

    The bytes of the file asked for last are kept, since its pixels are wanted next.

    Parameters
    ----------
    source : FolderSource
    digests : mapping of str to str
        Path to the digest of the bytes the scan saw.
    """

    def __init__(self, source: FolderSource, digests: Mapping[str, str]) -> None:
        self._source = source
        self._digests = digests
        self._last: tuple[str, bytes] = ("", b"")

    def open(self, path: str) -> bytes:
        """Return a file's bytes.

        Raises
        ------
        Rejected
            ``E_CHANGED`` if they are not what the scan saw, or why the file cannot be opened.
        """
        if self._last[0] != path:
            data = self._source.open(path)
            if bytes_digest(data) != self._digests[path]:
                raise Rejected("E_CHANGED")
            self._last = (path, data)
        return self._last[1]

    def __getitem__(self, path: str) -> Header:
        data = self.open(path)
        return read_header(data, path=path, size=len(data), version="")

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)
