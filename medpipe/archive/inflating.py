"""A compressed file read as what it inflates to, with bounds, forward and back."""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from medpipe.archive.members import most_in_all
from medpipe.errors import Rejected

_READ_BYTES: Final = 64 << 10
_STEP_BYTES: Final = 1 << 20
_MOST_MARKS: Final = 64
_WINDOW_BYTES: Final = 64 << 20
_GZIP_WINDOW_BYTES: Final = 4 << 20
_DECODER_BYTES: Final = 128 << 20
"""Memory a stream may ask its decoder for: twice what the highest preset takes."""

_GZIP, _BZIP2, _XZ = b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00"


def opener_of(head: bytes) -> Callable[[], Any] | None:
    """Return what makes a decoder for a file that begins so, or None if it is not compressed."""
    if head.startswith(_GZIP):
        return _Gzip
    if head.startswith(_BZIP2):
        return bz2.BZ2Decompressor
    if head.startswith(_XZ):
        return _xz
    return None


def first_bytes(head: bytes, n_bytes: int) -> bytes:
    """Return the first bytes that a compressed file with this beginning inflates to; fewer if it cannot be."""
    opened = opener_of(head)
    if opened is None:
        return b""
    try:
        found: bytes = opened().decompress(head, n_bytes)
    except (zlib.error, lzma.LZMAError, OSError, EOFError):
        return b""
    return found


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_DECODER_BYTES)


class _Gzip:
    """zlib's decoder of gzip streams, with the interface of the other two, and one that can be copied."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data)

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return bytes(self._stream.decompress(self._stream.unconsumed_tail + data, max_length))

    def copy(self) -> _Gzip:
        return _Gzip(self._stream.copy())


class _Mark(NamedTuple):
    """A state to go on from: bytes given so far, bytes of the file taken, and the decoder."""

    given: int
    taken: int
    decoder: Any


class Inflated:
    """What a compressed file inflates to.

    A gzip stream can be gone on with from marks along the way; of the others what was read last
    is held, and to go back further costs the way from the beginning.

    Parameters
    ----------
    opened : callable
        Makes a decoder.
    packed_bytes : int
        Bytes of the file; they bound what it may inflate to.
    """

    def __init__(self, opened: Callable[[], Any], packed_bytes: int) -> None:
        self._opened = opened
        self._most_bytes = most_in_all(packed_bytes, is_slow=opened is bz2.BZ2Decompressor)
        self._marks = [_Mark(0, 0, None)]
        self._window_bytes = _GZIP_WINDOW_BYTES if opened is _Gzip else _WINDOW_BYTES
        self._mark_bytes = 16 << 20
        self._held: deque[tuple[int, bytes]] = deque()
        self._held_bytes = 0
        self._given = self._taken = 0
        self._decoder: Any = None
        self._is_over = False

    @property
    def is_cut(self) -> bool:
        """Whether the file was read to its end, and that lies within a stream."""
        return self._is_over and self._decoder is not None

    def read(self, file: int, offset: int, n_bytes: int) -> bytes:
        """Return bytes from an offset on; fewer where the stream ends.

        Parameters
        ----------
        file : int
            Descriptor of the compressed file.
        offset, n_bytes : int

        Raises
        ------
        Rejected
            ``E_ARCHIVE_RATIO`` if it inflates beyond its bound, ``E_ARCHIVE_DAMAGED`` if it cannot be inflated.
        """
        if offset < self._given and (not self._held or offset < self._held[0][0]):
            self._go_back(offset)
        end = offset + n_bytes
        found = self._of_held(offset, end)
        while self._given < end and not self._is_over:
            begin = self._given
            piece = self._next(file)
            found.append(piece[max(0, offset - begin) : max(0, end - begin)])
        return b"".join(found)

    def _of_held(self, offset: int, end: int) -> list[bytes]:
        found: list[bytes] = []
        for begin, piece in reversed(self._held):
            if begin + len(piece) <= offset:
                break
            found.append(piece[max(0, offset - begin) : max(0, end - begin)])
        return found[::-1]

    def _next(self, file: int) -> bytes:
        try:
            piece = self._step(file)
        except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
            self._go_back(0)
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise Rejected("E_ARCHIVE_DAMAGED") from None
        if self._given + len(piece) > self._most_bytes:
            self._go_back(0)
            raise Rejected("E_ARCHIVE_RATIO")
        if piece:
            self._held.append((self._given, piece))
            self._held_bytes += len(piece)
            self._given += len(piece)
            while self._held_bytes > self._window_bytes and len(self._held) > 1:
                self._held_bytes -= len(self._held.popleft()[1])
            self._mark()
        return piece

    def _step(self, file: int) -> bytes:
        if self._decoder is None:
            self._decoder = self._opened()
        data = b""
        if self._decoder.needs_input:
            data = os.pread(file, _READ_BYTES, self._taken)
            self._taken += len(data)
            if not data:
                self._is_over = True
                return b""
        piece: bytes = self._decoder.decompress(data, _STEP_BYTES)
        if self._decoder.eof:
            # another stream may follow; zeros after the last are padding
            self._taken -= len(self._decoder.unused_data)
            self._decoder = None
            self._is_over = opener_of(os.pread(file, 6, self._taken)) is not self._opened
        return piece

    def _mark(self) -> None:
        if self._opened is not _Gzip or self._decoder is None or self._given < self._marks[-1].given + self._mark_bytes:
            return
        self._marks.append(_Mark(self._given, self._taken, self._decoder.copy()))
        if len(self._marks) > _MOST_MARKS:
            self._marks = self._marks[::2]
            self._mark_bytes *= 2

    def _go_back(self, offset: int) -> None:
        mark = next(mark for mark in reversed(self._marks) if mark.given <= offset)
        self._given, self._taken = mark.given, mark.taken
        self._decoder = None if mark.decoder is None else mark.decoder.copy()
        self._is_over = False
        self._held.clear()
        self._held_bytes = 0
