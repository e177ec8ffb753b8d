"""A file of an archive that is open for reading, or a member of an archive file."""

from __future__ import annotations

import errno
import os
from io import RawIOBase
from typing import Final, Self

from medpipe.errors import Rejected

MAX_FILE_BYTES: Final = 8 << 30
_CLOSED: Final = -1
_OTHER_KIND: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENODEV})
"""What opening says of a link, of something else in the place of a folder, of a socket, of a device."""


class OpenFile:
    """A file that is open for reading until its ``with`` block ends; what the system refuses in there is ``Rejected``.

    Parameters
    ----------
    descriptor : int
        Of a regular file; it is closed with the block.
    state : os.stat_result
        Of the file when it was opened.

    Attributes
    ----------
    size : int
        Bytes there were when it was opened.
    is_member : bool
        Whether it is a member of an archive file.
    """

    is_member = False

    def __init__(self, descriptor: int, state: os.stat_result) -> None:
        self.descriptor = descriptor
        self.state = state
        self._held = b""
        self.size = state.st_size

    @property
    def version(self) -> str:
        """As :meth:`FolderSource.scan` gives it, or :meth:`FolderSource.members`."""
        return version_of(self.state)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        # its number may soon be another file's
        descriptor, self.descriptor = self.descriptor, _CLOSED
        os.close(descriptor)
        if isinstance(error, OSError):
            raise Rejected(code_of(error)) from None

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
        return os.pread(self.descriptor, n_bytes, offset)

    def into(self, place: memoryview) -> int:
        """Read the file from its beginning into a place of its size; return how many bytes there were."""
        filled = 0
        while filled < len(place) and (n_bytes := self._put(place[filled:], filled)):
            filled += n_bytes
        return filled

    def _read(self, n_bytes: int) -> bytes:
        found = self._more(n_bytes, len(self._held))
        # one read gives at most 2 GiB; a file that was cut since it was opened ends early
        while len(found) < n_bytes and (more := self._more(n_bytes - len(found), len(self._held) + len(found))):
            found += more
        return found

    def _more(self, n_bytes: int, offset: int) -> bytes:
        return os.pread(self.descriptor, n_bytes, offset)

    def _put(self, place: memoryview, offset: int) -> int:
        return os.preadv(self.descriptor, [place], offset)


class OpenMember(OpenFile):
    """A member of an archive file that is open.

    Parameters
    ----------
    descriptor : int
        Of the archive file; it is closed with the block.
    state : os.stat_result
        Of the archive file.
    size, version : int, str
        As :meth:`FolderSource.members` gives them.
    stream : RawIOBase
        The member.
    """

    is_member = True

    def __init__(self, descriptor: int, state: os.stat_result, *, size: int, version: str, stream: RawIOBase) -> None:
        super().__init__(descriptor, state)
        self.size = size
        self._version = version
        self._stream = stream

    @property
    def version(self) -> str:
        """As :meth:`FolderSource.members` gives it."""
        return self._version

    def at(self, offset: int, n_bytes: int) -> bytes:
        """Return bytes from within the member, fewer where it ends; all before them are read."""
        return self.head(offset + n_bytes)[offset : offset + n_bytes]

    def _more(self, n_bytes: int, offset: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(n_bytes) or b""

    def _put(self, place: memoryview, offset: int) -> int:
        self._stream.seek(offset)
        return self._stream.readinto(place) or 0


def version_of(state: os.stat_result) -> str:
    """Return what changes when a file does."""
    return f"{state.st_size}-{state.st_mtime_ns}-{state.st_ino}"


def code_of(error: OSError) -> str:
    """Return the reason code of what the system says when a file is opened or read."""
    if error.errno == errno.ENOENT:
        return "E_VANISHED"
    return "E_CHANGED" if error.errno in _OTHER_KIND else "E_UNREADABLE"
