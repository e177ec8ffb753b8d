"""How an array lies in a file that is not DICOM, and how it is taken out with bounded work."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from medpipe.archive.integers import Integer
from medpipe.archive.limits import MAX_DECODED_BYTES, MAX_SIDE
from medpipe.errors import Rejected

MAX_FRAMES: Final = 1_000_000
_GZIP: Final = 31
_DEFLATE_RATIO: Final = 1032
"""What a byte of a deflate stream can hold at most (RFC 1951: 258 bytes in 2 bits)."""
_FREE_BYTES: Final = 256 << 20
_HELD_FREE_BYTES: Final = 64 << 20
_HELD_RATIO: Final = 32
"""Beyond so many bytes for each of the file, a stream is read through before it is held, or not at all."""
_STEP_BYTES: Final = 1 << 20
_FEED_BYTES: Final = 16 << 10
_HEAD_BYTES: Final = 1 << 17

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Where the voxels of a file are, and where they lie in the patient.

    Attributes
    ----------
    start : int
        Byte of the file at which the voxels, or the stream that holds them, begin.
    packing : str
        ``gzip``, or nothing for plain bytes.
    skip : int
        Bytes of the unpacked stream before the voxels.
    dtype : str
        NumPy type with its byte order.
    shape : tuple of int
        Of the array as stored, slowest axis first.
    axes : str
        A letter for each axis of ``shape``: t, z, y, x and c (colour).
    reverse : bool
        Slices are stored against the normal of their planes, and are taken from the last to the first.
    affine_lps : tuple of 16 float or empty
        Voxel index (x, y, z), in the order in which slices are taken, to LPS mm.
    spacing_mm : tuple of 3 float or empty
        Along (z, y, x), where the file gives steps but no place.
    """

    start: Integer
    packing: str = ""
    skip: Integer = 0
    dtype: str
    shape: tuple[Integer, ...]
    axes: str
    reverse: bool = False
    affine_lps: tuple[float, ...] = ()
    spacing_mm: tuple[float, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Bytes of the voxels."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def side(self, axis: str) -> int:
        """Return the voxels along an axis; 1 where there is none."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


def check_block(block: Block, size: int) -> None:
    """Refuse dimensions beyond limits, and more voxels than a file of ``size`` bytes can hold.

    Raises
    ------
    Rejected
        ``E_DIMENSIONS``, ``E_TRUNCATED``, or ``E_ARCHIVE_RATIO`` for more than images of its size hold: a mask shrinks
        a thousandfold, so a good deal is free.
    """
    sides = all(0 < block.side(axis) <= MAX_SIDE for axis in "zyx") and block.side("t") > 0
    is_coloured_time = "c" in block.axes and block.side("t") > 1
    n_frames = block.side("t") * block.side("z")
    if not sides or is_coloured_time or n_frames > MAX_FRAMES or block.n_bytes > MAX_DECODED_BYTES:
        raise Rejected("E_DIMENSIONS")
    there = size - block.start
    need = block.skip + block.n_bytes
    if need > there * (_DEFLATE_RATIO if block.packing else 1):
        raise Rejected("E_TRUNCATED")
    if block.packing and need > _FREE_BYTES + _HELD_RATIO * there:
        raise Rejected("E_ARCHIVE_RATIO")


def frames_in(block: Block, data: bytes) -> Array:
    """Return the frames of a file as stored numbers.

    Parameters
    ----------
    block : Block
    data : bytes
        The whole file.

    Returns
    -------
    array, (frames, rows, columns) or (frames, rows, columns, 3)
        t outer, z inner, slices ascending along their normal; a view where that is possible.

    Raises
    ------
    Rejected
        ``E_TRUNCATED`` if there are fewer voxels than declared, ``E_LENGTH`` if a packed stream
        holds more by what a wrong dimension could hide, ``E_CODEC_ERROR`` if it is damaged.
    """
    check_block(block, len(data))
    if block.packing:
        plain = memoryview(
            unpack(memoryview(data)[block.start :], most_bytes=block.skip + block.n_bytes + _slack(block))
        )
        if len(plain) == block.skip + block.n_bytes + _slack(block):
            raise Rejected("E_LENGTH")
        plain = plain[block.skip :]
    else:
        plain = memoryview(data)[block.start + block.skip :]
    if len(plain) < block.n_bytes:
        raise Rejected("E_TRUNCATED")
    stored = np.frombuffer(plain[: block.n_bytes], dtype=np.dtype(block.dtype)).reshape(block.shape)
    order = [block.axes.index(axis) for axis in "tzyxc" if axis in block.axes]
    array = stored.transpose(order)
    if "t" not in block.axes:
        array = array[np.newaxis]
    if block.reverse:
        array = array[:, ::-1]
    return array.reshape(-1, *array.shape[2:])


def unpack(packed: bytes | memoryview, *, most_bytes: int) -> bytearray:
    """Return what gzip members one after the other hold, and no more than some bytes of it.

    Where that is far more than images of its size hold, the stream is read through to its end
    before room is made for it.

    Raises
    ------
    Rejected
        ``E_TRUNCATED`` if the stream ends before it should, ``E_CODEC_ERROR`` if it is damaged.
    """
    if most_bytes > _HELD_FREE_BYTES + _HELD_RATIO * len(packed):
        deque(_pieces(packed, most_bytes=most_bytes), maxlen=0)
    plain = bytearray()
    for piece in _pieces(packed, most_bytes=most_bytes):
        plain += piece
    return plain


def _pieces(packed: bytes | memoryview, *, most_bytes: int) -> Iterator[bytes]:
    view, at, given = memoryview(packed), 0, 0
    stream = zlib.decompressobj(_GZIP)
    try:
        while given < most_bytes:
            if stream.eof:
                at -= len(stream.unused_data)
                if bytes(view[at : at + 2]) != b"\x1f\x8b":
                    return
                stream = zlib.decompressobj(_GZIP)
            part: bytes | memoryview = stream.unconsumed_tail
            if not part:
                # in small parts, since what is left of one is copied at the end of each member
                part = view[at : at + _FEED_BYTES]
                at += len(part)
            piece = stream.decompress(part, min(_STEP_BYTES, most_bytes - given))
            if not piece and not part and not stream.eof:
                raise Rejected("E_TRUNCATED")
            given += len(piece)
            yield piece
    except zlib.error:
        raise Rejected("E_CODEC_ERROR") from None


def unpacked_head(packed: bytes, n_bytes: int) -> bytes:
    """Return the first bytes a gzip stream holds, as far as its own first bytes give them."""
    stream = zlib.decompressobj(_GZIP)
    try:
        return stream.decompress(packed[:_HEAD_BYTES], n_bytes)
    except zlib.error:
        return b""


def _slack(block: Block) -> int:
    """Return the bytes beyond the voxels that are too many to be padding."""
    return max(min(block.side("y"), block.side("x")) * np.dtype(block.dtype).itemsize, 2)
