"""The files of a case: opened as the scan saw them, or refused as changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medpipe.archive.header import Header
from medpipe.archive.heads import Heads
from medpipe.archive.memory import KeptMemory
from medpipe.archive.source import Loader, Opener
from medpipe.errors import Rejected


class Files(Mapping[str, Header]):
    """Headers by path, read from the files when asked for.

    The bytes of the file asked for last are kept, since its pixels are wanted next.

    Parameters
    ----------
    source : Opener
    contents : mapping of str to str
        By path, what the scan saw: :attr:`medpipe.archive.header.Header.content`.
    heads : Heads, optional
        What has read headers like these before.
    memory : KeptMemory, optional
        What files are read into.
    """

    def __init__(
        self,
        source: Opener,
        contents: Mapping[str, str],
        heads: Heads | None = None,
        *,
        memory: KeptMemory | None = None,
    ) -> None:
        self._heads = heads or Heads()
        self._loader = Loader(source, memory)
        self._contents = contents
        self._last = ("", memoryview(b""), "")

    def open(self, path: str) -> memoryview:
        """Return a file's bytes; they are there until another file is asked for.

        Raises
        ------
        Rejected
            Why the file cannot be opened.
        """
        if self._last[0] != path:
            # what fails midway has written over the file before
            self._last = ("", memoryview(b""), "")
            self._last = (path, *self._loader.load(path))
        return self._last[1]

    def __getitem__(self, path: str) -> Header:
        """Return a file's header.

        Raises
        ------
        Rejected
            ``E_CHANGED`` if the file is not what the scan saw, or why it cannot be opened.
        """
        held = _Held(self.open(path))
        header = self._heads.read(held, path=path, size=held.size, version=self._last[2])
        if header.content != self._contents[path]:
            raise Rejected("E_CHANGED")
        return header

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)


class _Held:
    """The bytes of a file in memory, as a file that is open."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.size = len(data)

    def head(self, n_bytes: int) -> bytes:
        return bytes(self._data[:n_bytes])

    def at(self, offset: int, n_bytes: int) -> bytes:
        return bytes(self._data[offset : offset + n_bytes])

    def whole(self) -> bytes:
        return bytes(self._data)
