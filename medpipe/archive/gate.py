"""The gate before any parser: where the elements of a file are, found with bounded work.

pydicom drops an encapsulated stream that lacks its end, recurses into nested sequences and
inflates without a bound; this walk of the bytes finds such files before pydicom sees them.
It reads tags, types and lengths only (DICOM PS3.5 section 7) and never raises.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 4_000_000
MAX_INFLATED_BYTES: Final = 512 << 20
_FREE_ELEMENTS: Final = 500_000
_FREE_ITEMS: Final = 4096
_FREE_INFLATED_ITEMS: Final = 30_000
_LEAST_ITEM_BYTES: Final = 24
_MOST_IN_A_ROW: Final = 65_536
"""Elements one after the other that are no sequence: each tag may stand in a data set once."""
_SHORT_PADDING_BYTES: Final = 64 << 10
_MOST_CHARACTER_SETS_BYTES: Final = 1024
_FREE_INFLATED_BYTES: Final = 64 << 20
_INFLATED_RATIO: Final = 32

EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"

_UNDEFINED = 0xFFFFFFFF
_LONG_TYPES = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_TYPES = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
_TYPES = _LONG_TYPES | _SHORT_TYPES
_PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_CHARACTER_SETS = 0x00080005
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the walk found.

    Attributes
    ----------
    code : str
        Reason the file cannot be used at all (``E_EMPTY``, ``E_NOT_DICOM``, ``E_DEPTH``,
        ``E_NO_DATASET``, ``E_LENGTH``, ``E_TOO_LARGE``), or an empty string.
    transfer_syntax : str
        UID in the file meta information, or an empty string.
    data : bytes
        The file, with a deflated data set inflated, and without the zeros behind it if these are many.
    pixel_keyword : str
        ``PixelData``, ``FloatPixelData``, ``DoubleFloatPixelData`` or an empty string.
    pixel_bytes : int
        Bytes of pixel data that are there.
    pixel_offset : int
        Where in the file the pixel element's value begins; -1 where there is none, or it is deflated.
    n_fragments : int
        Fragments of encapsulated pixel data, without the offset table; -1 if it is native.
    cut : bool
        The file ends before an element it declares does.
    doubled : bool
        There is pixel data of two kinds, or twice.
    """

    code: str = ""
    transfer_syntax: str = ""
    data: bytes = b""
    pixel_keyword: str = ""
    pixel_bytes: int = 0
    pixel_offset: int = -1
    n_fragments: int = -1
    cut: bool = False
    doubled: bool = False


def inspect(data: bytes) -> Layout:
    """Walk a file's elements and say whether it may be parsed.

    Parameters
    ----------
    data : bytes
        A whole file.
    """
    if not data:
        return Layout(code="E_EMPTY")
    start = 132 if data[128:132] == b"DICM" else 0
    if start == 0 and not _begins_like_dicom(data):
        return Layout(code="E_NOT_DICOM")
    offset, syntax, meta_cut = _read_meta(data, start)
    if meta_cut or offset >= len(data):
        return Layout(code="E_NO_DATASET", transfer_syntax=syntax)
    whole = data
    if syntax == DEFLATED:
        most_bytes = _most_inflated_bytes(len(data) - offset)
        inflated = inflate(data[offset:], most_bytes)
        if inflated is None:
            return Layout(code="E_TRUNCATED", transfer_syntax=syntax)
        if len(inflated) > most_bytes:
            return Layout(code="E_TOO_LARGE", transfer_syntax=syntax)
        whole = _as_explicit(data[:offset]) + inflated
    walk = _Walk(whole, offset, syntax, most_elements=_most_elements(len(data)))
    walk.run()
    code = walk.code
    if not code and walk.n_elements == 0:
        code = "E_NO_DATASET"
    if not code and walk.holds_too_many_items(len(data)):
        code = "E_LENGTH"
    has_padding = not walk.cut and len(whole) - walk.offset > _SHORT_PADDING_BYTES
    return Layout(
        code=code,
        transfer_syntax=syntax,
        data=whole[: walk.offset] if has_padding else whole,
        pixel_keyword=walk.pixel_keyword,
        pixel_bytes=walk.pixel_bytes,
        pixel_offset=walk.pixel_offset if whole is data else -1,
        n_fragments=walk.n_fragments,
        cut=walk.cut,
        doubled=walk.doubled,
    )


def _begins_like_dicom(data: bytes) -> bool:
    # without a preamble the first element must be one a data set or meta group begins with
    if len(data) < 8:
        return False
    for order in ("<", ">"):
        group, element = struct.unpack_from(f"{order}HH", data)
        if group not in {0x0002, 0x0008} or element > 0x3000:
            continue
        if data[4:6] in _TYPES:
            return True
        (length,) = struct.unpack_from(f"{order}I", data, 4)
        if order == "<" and length <= len(data) - 8:
            return True
    return False


def _read_meta(data: bytes, start: int) -> tuple[int, str, bool]:
    offset, syntax = start, ""
    while offset + 8 <= len(data) and data[offset : offset + 2] == b"\x02\x00":
        if data[offset + 4 : offset + 6] in _LONG_TYPES:
            if offset + 12 > len(data):
                return offset, syntax, True
            (length,) = struct.unpack_from("<I", data, offset + 8)
            value = offset + 12
        else:
            (length,) = struct.unpack_from("<H", data, offset + 6)
            value = offset + 8
        if value + length > len(data):
            return offset, syntax, True
        if data[offset + 2 : offset + 4] == b"\x10\x00":
            syntax = data[value : value + length].rstrip(b"\0 ").decode("ascii", "replace")
        offset = value + length
    return offset, syntax, False


def _most_inflated_bytes(deflated_bytes: int) -> int:
    # masks shrink a thousandfold, so a little is free; what grows on without end is a bomb
    return min(MAX_INFLATED_BYTES, _FREE_INFLATED_BYTES + _INFLATED_RATIO * deflated_bytes)


def _most_elements(file_bytes: int) -> int:
    # elements, items and their ends take 8 bytes at least: only a file that was inflated can hold more
    return min(MAX_ELEMENTS, _FREE_ELEMENTS + file_bytes // 8)


def inflate(deflated: bytes, most_bytes: int) -> bytes | None:
    """Return what a data set was before it was deflated, cut behind `most_bytes`; None if the stream is not whole."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(deflated, most_bytes + 1)
    except zlib.error:
        return None
    return inflated if stream.eof or len(inflated) > most_bytes else None


def _as_explicit(head: bytes) -> bytes:
    # the inflated copy must not be inflated again by whoever reads it next
    named, plain = DEFLATED.encode(), EXPLICIT_LITTLE.encode()
    return head.replace(named, plain.ljust(len(named), b"\0"), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """An open sequence or item of undefined length."""

    implicit: bool


class _Walk:
    """One pass over the elements of a data set, with an explicit stack."""

    def __init__(self, data: bytes, offset: int, syntax: str, *, most_elements: int) -> None:
        self.data = data
        self.begin = self.offset = offset
        self.most_elements = most_elements
        first = data[offset + 4 : offset + 6]
        self.implicit = first not in _TYPES
        self.order = ">" if _is_big(data, offset, syntax) else "<"
        self.levels: list[_Level] = []
        self.n_steps = self.n_in_a_row = 0
        self.n_elements = 0
        self.code = ""
        self.cut = False
        self.pixel_keyword = ""
        self.pixel_bytes = 0
        self.pixel_offset = -1
        self.doubled = False
        self.pixels = slice(len(data), len(data))
        self.n_fragments = -1

    def run(self) -> None:
        is_padded = None
        while self.offset + 8 <= len(self.data) and not self.code and not self.cut and not is_padded:
            if is_padded is None and self.data[self.offset : self.offset + 8] == bytes(8):
                is_padded = not self.levels and not self.data[self.offset :].strip(b"\0")
            else:
                self._step()
        # zeros after the last element are padding; anything else was to be an element
        if self.levels or self.data[self.offset :].strip(b"\0"):
            self.cut = True

    def holds_too_many_items(self, file_bytes: int) -> bool:
        """Tell whether there are more items than content: each becomes a data set, in time and in memory.

        Sequences of defined length are not walked, so the bytes that begin items are counted. Of many the file,
        deflated or not, must hold as many bytes.
        """
        mark = struct.pack(f"{self.order}HH", _ITEM >> 16, _ITEM & 0xFFFF)
        around = (self.begin, self.pixels.start), (self.pixels.stop, len(self.data))
        items = sum(self.data.count(mark, *part) for part in around)
        header_bytes = sum(end - begin for begin, end in around)
        if items > _FREE_INFLATED_ITEMS:
            header_bytes = min(header_bytes, file_bytes)
        return items > _FREE_ITEMS and items * _LEAST_ITEM_BYTES > header_bytes

    def _step(self) -> None:
        self.n_steps += 1
        self.n_in_a_row += 1
        if self.n_steps > self.most_elements or self.n_in_a_row > _MOST_IN_A_ROW:
            self.code = "E_LENGTH"
            return
        group, element = struct.unpack_from(f"{self.order}HH", self.data, self.offset)
        tag = group << 16 | element
        if group == 0xFFFE:
            self.n_in_a_row = 0
            self._delimiter(tag)
            return
        self.n_elements += 1
        implicit = self.levels[-1].implicit if self.levels else self.implicit
        kind, length, value = self._head(implicit=implicit)
        if value > len(self.data):
            self.cut = True
            return
        self.offset = value
        if tag == _CHARACTER_SETS and length > _MOST_CHARACTER_SETS_BYTES:
            # pydicom looks each one up as it reads, and says of each that it does not know it
            self.code = "E_LENGTH"
        elif tag in _PIXEL_TAGS and not self.levels:
            self._pixels(tag, length)
            self.pixels = slice(value, self.offset)
        elif length == _UNDEFINED:
            self._push(_Level(implicit=implicit or kind == b"UN"))
        elif value + length > len(self.data):
            self.cut = True
        else:
            self.offset = value + length

    def _head(self, *, implicit: bool) -> tuple[bytes, int, int]:
        kind = self.data[self.offset + 4 : self.offset + 6]
        if not implicit and kind in _LONG_TYPES:
            if self.offset + 12 > len(self.data):
                return kind, 0, len(self.data) + 1
            return kind, struct.unpack_from(f"{self.order}I", self.data, self.offset + 8)[0], self.offset + 12
        if not implicit and kind.isalpha() and kind.isupper():
            return kind, struct.unpack_from(f"{self.order}H", self.data, self.offset + 6)[0], self.offset + 8
        return b"", struct.unpack_from(f"{self.order}I", self.data, self.offset + 4)[0], self.offset + 8

    def _delimiter(self, tag: int) -> None:
        (length,) = struct.unpack_from(f"{self.order}I", self.data, self.offset + 4)
        self.offset += 8
        if tag == _ITEM and length == _UNDEFINED:
            self._push(_Level(implicit=self.levels[-1].implicit if self.levels else self.implicit))
        elif tag == _ITEM:
            self.offset += length
            self.cut = self.offset > len(self.data)
        elif tag in {_ITEM_END, _SEQUENCE_END} and self.levels:
            self.levels.pop()

    def _push(self, level: _Level) -> None:
        self.levels.append(level)
        # a sequence and its item are two entries of one level of nesting
        if len(self.levels) > 2 * MAX_DEPTH:
            self.code = "E_DEPTH"

    def _pixels(self, tag: int, length: int) -> None:
        self.doubled = bool(self.pixel_keyword)
        self.pixel_keyword, self.pixel_offset = _PIXEL_TAGS[tag], self.offset
        if length != _UNDEFINED:
            there = min(length, len(self.data) - self.offset)
            self.pixel_bytes, self.cut = there, there < length
            self.offset += there
            return
        # the first item is the offset table
        begin, self.n_fragments, items = self.offset, 0, 0
        while self.offset + 8 <= len(self.data):
            group, element, size = struct.unpack_from(f"{self.order}HHI", self.data, self.offset)
            self.offset += 8
            if (group, element) != (0xFFFE, 0xE000):
                # the sequence delimiter, or a byte that cannot stand here
                self.cut = (group, element) != (0xFFFE, 0xE0DD)
                self.pixel_bytes = self.offset - 8 - begin
                return
            self.n_fragments, items = items, items + 1
            self.offset += size
        self.pixel_bytes, self.cut = len(self.data) - begin, True


def _is_big(data: bytes, offset: int, syntax: str) -> bool:
    if syntax:
        return syntax == EXPLICIT_BIG
    return data[offset] == 0 and data[offset + 1] != 0
