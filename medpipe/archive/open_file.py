"""A file of an archive that is open for reading, or a member of an archive file."""

from __future__ import annotations

import os
from io import RawIOBase
from typing import Final

from medpipe.errors import Rejected

MAX_FILE_BYTES: Final = 8 << 30


class OpenFile:
    """A file that is open for reading.

    Parameters
    ----------
    stream : RawIOBase
        At its beginning.
    size : int
        Bytes it had when it was opened.
    version : str
        As :meth:`FolderSource.scan` gives it, or :meth:`FolderSource.members`.
    is_member : bool
        Whether it is a member of an archive file.
    """

    def __init__(self, stream: RawIOBase, *, size: int, version: str, is_member: bool = False) -> None:
        self._stream = stream
        self._held = b""
        self.size = size
        self.version = version
        self.is_member = is_member

    def head(self, n_bytes: int) -> bytes:
        """Return the first bytes, no more than there are, and at least as many as were asked for before."""
        if self.is_member:
            # inflated as a whole anyway; taken in parts it would be copied
            n_bytes = self.size
        if len(self._held) < min(n_bytes, self.size):
            self._held += self._read(min(n_bytes, self.size) - len(self._held))
        return self._held

    def whole(self) -> bytes:
        """Return all bytes.

        Raises
        ------
        Rejected
            ``E_CHANGED`` if it is larger than 8 GiB: what was listed so is not to be opened.
        """
        if self.size > MAX_FILE_BYTES:
            raise Rejected("E_CHANGED")
        return self.head(self.size)

    def at(self, offset: int, n_bytes: int) -> bytes:
        """Return bytes from within the file, fewer where it ends."""
        if self.is_member:
            return self.head(offset + n_bytes)[offset : offset + n_bytes]
        return os.pread(self._stream.fileno(), n_bytes, offset)

    def into(self, place: memoryview) -> int:
        """Read the file from its beginning into a place of its size; return how many bytes there were."""
        self._stream.seek(0)
        filled = 0
        while filled < len(place) and (n_bytes := self._stream.readinto(place[filled:])):
            filled += n_bytes
        return filled

    def _read(self, n_bytes: int) -> bytes:
        found = self._stream.read(n_bytes) or b""
        # one read gives at most 2 GiB; a file that was cut since it was opened ends early
        while len(found) < n_bytes and (more := self._stream.read(n_bytes - len(found))):
            found += more
        return found
