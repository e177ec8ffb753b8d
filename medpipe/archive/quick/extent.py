"""What pixel data a file holds and how it ends, told from few of its bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from medpipe.archive.quick.doubt import Doubt
from medpipe.kernels import dicom_walk as walk
from medpipe.kernels.dicom_bytes import UNDEFINED

More = Callable[[int, int], bytes]
"""Returns bytes of the file: of an offset, so many."""

MOST_TAIL_BYTES: Final = 64 << 10
"""Elements after the pixels are read as far as this; it is also what filling up may take."""

_KINDS: Final = {
    0x7FE00008: ("FloatPixelData", frozenset({b"OF"})),
    0x7FE00009: ("DoubleFloatPixelData", frozenset({b"OD"})),
    0x7FE00010: ("PixelData", frozenset({b"OB", b"OW"})),
}
_MOST_FRAGMENTS: Final = 4096
_MOST_ITEMS: Final = 4096
_ITEM: Final = {False: b"\xfe\xff\x00\xe0", True: b"\xff\xfe\xe0\x00"}
_MARK: Final = np.uint8(0xFE)
_SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"


class Extent(NamedTuple):
    """Pixel data as :class:`medpipe.archive.gate.Layout` describes it."""

    keyword: str = ""
    pixel_bytes: int = 0
    n_fragments: int = -1
    cut: bool = False


def pixel_extent(head: bytes, found: Sequence[int], size: int, more: More, walker: walk.HeadWalk) -> Extent:
    """Return what there is of pixel data.

    Parameters
    ----------
    head : bytes
        The file up to the pixels, or more of it.
    found : sequence of int
        Result of :meth:`medpipe.kernels.dicom_walk.HeadWalk.file`.
    size : int
        Bytes of the file.
    more : callable
    walker : HeadWalk

    Raises
    ------
    Doubt
        Where the bytes that were seen do not settle it.
    """
    tag, at = found[walk.PIXEL_TAG], found[walk.PIXEL_AT]
    implicit, big = bool(found[walk.IMPLICIT]), bool(found[walk.BIG])
    n_items = _most_items(head, found[walk.BEGIN], found[walk.END], big=big)
    if not tag:
        _check_items(n_items)
        return Extent()
    if tag not in _KINDS:
        raise Doubt
    keyword, kinds = _KINDS[tag]
    if not implicit and found[walk.PIXEL_TYPE].to_bytes(2, "little") not in kinds:
        raise Doubt
    length = found[walk.PIXEL_BYTES]
    if length == UNDEFINED:
        if big or keyword != "PixelData":
            raise Doubt
        end, n_fragments = _fragments(head, at, size, more)
        is_cut = end > size
        # pydicom looks for the end in all that is left
        if is_cut and _SEQUENCE_END[:4] in _bytes(head, at, size - at, more):
            raise Doubt
        extent = Extent(keyword, (size if is_cut else end - len(_SEQUENCE_END)) - at, n_fragments, is_cut)
    else:
        end = min(at + length, size)
        extent = Extent(keyword, end - at, -1, end < at + length)
    if end < size:
        n_items += _tail_items(_bytes(head, end, size - end, more), implicit=implicit, big=big, walker=walker)
    _check_items(n_items)
    return extent


def _fragments(head: bytes, at: int, size: int, more: More) -> tuple[int, int]:
    """Return where encapsulated pixel data ends (beyond the file: cut) and its fragments, without the offset table."""
    for count in range(_MOST_FRAGMENTS):
        if at + 8 > size:
            return size + 1, max(count - 1, 0)
        said = _bytes(head, at, 8, more)
        at += 8
        if said == _SEQUENCE_END:
            return at, max(count - 1, 0)
        (length,) = struct.unpack_from("<I", said, 4)
        if said[:4] != _ITEM[False] or length == UNDEFINED:
            break
        at += length
    raise Doubt


def _tail_items(tail: bytes, *, implicit: bool, big: bool, walker: walk.HeadWalk) -> int:
    """Return how many items what follows the pixels may hold; it is sound elements, or zeros."""
    if not tail.strip(b"\0"):
        return 0
    found = walker.tail(tail, implicit=implicit, big=big)
    if found[walk.STATUS] != walk.COMPLETE or found[walk.PIXEL_TAG]:
        raise Doubt
    return _most_items(tail, 0, len(tail), big=big)


def _most_items(data: bytes, begin: int, end: int, *, big: bool) -> int:
    """Return how many marks of items there are, or that there are few."""
    if end - begin < 4 * _MOST_ITEMS:
        return 0
    # a single byte is counted ten times as fast as a mark, by NumPy still five times as fast, and is rare in a header
    few = int(np.count_nonzero(np.frombuffer(data, np.uint8, end - begin, begin) == _MARK))
    return few if few <= _MOST_ITEMS else data.count(_ITEM[big], begin, end)


def _check_items(count: int) -> None:
    # the gate counts them to find what is all items and no content
    if count > _MOST_ITEMS:
        raise Doubt


def _bytes(head: bytes, at: int, count: int, more: More) -> bytes:
    if at + count <= len(head):
        return head[at : at + count]
    if count > MOST_TAIL_BYTES:
        raise Doubt
    found = more(at, count)
    if len(found) != count:
        raise Doubt
    return found
