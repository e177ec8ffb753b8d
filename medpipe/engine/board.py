"""The mark board: a page of shared memory that survives a crash.

The sandbox writes what it is about to do, and on which subject, before it does it; after a
crash its supervisor reads the guilty there. A mark is written into the slot that is not
shown, then one store of eight bytes shows it, so a reader never sees half a mark.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
from typing import NamedTuple

# native order and size: the store is one machine word, so it is seen whole or not at all
_COUNT = struct.Struct("@Q")
_SLOT_BYTES = 1024
_SIZE = _COUNT.size + 2 * _SLOT_BYTES
_SEPARATOR = "\n"


class Mark(NamedTuple):
    """A mark as read: its number, from 1 on, its stage and its subject."""

    number: int
    stage: str
    subject: str


class MarkBoard:
    """A board on an open file that two processes map.

    Parameters
    ----------
    fd : int
        File of at least one page; the board does not close it.
    """

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, _SIZE)

    def write(self, stage: str, subject: str) -> None:
        """Show a new mark; what does not fit its slot is cut off."""
        count = self._count() + 1
        text = f"{stage}{_SEPARATOR}{subject}".encode()[: _SLOT_BYTES - 1]
        start = _COUNT.size + (count % 2) * _SLOT_BYTES
        self._map[start : start + _SLOT_BYTES] = text.ljust(_SLOT_BYTES, b"\0")
        _COUNT.pack_into(self._map, 0, count)

    def read(self) -> Mark:
        """Return the mark shown last; empty before the first."""
        count = self._count()
        start = _COUNT.size + (count % 2) * _SLOT_BYTES
        text = self._map[start : start + _SLOT_BYTES].rstrip(b"\0").decode("utf-8", errors="replace")
        stage, _, subject = text.partition(_SEPARATOR)
        return Mark(count, stage, subject)

    def close(self) -> None:
        """Give up the mapping."""
        self._map.close()

    def _count(self) -> int:
        count: int = _COUNT.unpack_from(self._map, 0)[0]
        return count


def board_file() -> int:
    """Return the descriptor of a new file without a name, large enough for a board."""
    if sys.platform == "linux":
        fd = os.memfd_create("medpipe-board")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, _SIZE)
    return fd
