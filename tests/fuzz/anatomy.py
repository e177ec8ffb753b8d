"""Where the elements of a file are, so that mutants can be damaged where it matters.

Not the walk of the gate: this one takes nested elements apart too, and gives up where a file is not sound.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from medpipe.archive.gate import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE

LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
SHORT = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
UNDEFINED = 0xFFFFFFFF
PIXELS = 0x7FE00010
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEEPEST = 12
_MOST = 4000


class Element(NamedTuple):
    """An element, an item or a delimiter: where it begins, where its length and its value stand, where it ends."""

    tag: int
    kind: bytes
    begin: int
    length_at: int
    length_bytes: int
    value: int
    end: int
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A file taken apart.

    Attributes
    ----------
    head : bytes
        Preamble and meta information.
    body : bytes
        The data set, inflated if it was deflated.
    syntax : str
        UID of the transfer syntax.
    order : str
        Byte order of the data set, ``<`` or ``>``.
    elements : tuple of Element
        Of the body, nested ones after those they are in.
    """

    head: bytes
    body: bytes
    syntax: str
    order: str
    elements: tuple[Element, ...]

    def whole(self, body: bytes) -> bytes:
        """Return a file with this head and another body."""
        return self.head + (_deflated(body) if self.syntax == DEFLATED else body)

    def find(self, tag: int) -> Element | None:
        """Return the first element of a tag."""
        return next((one for one in self.elements if one.tag == tag), None)


def take_apart(data: bytes) -> Anatomy:
    """Return the parts of a file, as far as they can be told apart."""
    begin = 132 if data[128:132] == b"DICM" else 0
    syntax, body_at = _meta(data, begin)
    head, body = data[:body_at], data[body_at:]
    if syntax == DEFLATED:
        try:
            body = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, 1 << 22)
        except zlib.error:
            body = b""
    order = ">" if syntax == EXPLICIT_BIG else "<"
    implicit = syntax == IMPLICIT_LITTLE or body[4:6] not in LONG | SHORT
    elements: list[Element] = []
    for one in _walked(body, 0, len(body), order=order, implicit=implicit, level=0):
        elements.append(one)
        if len(elements) >= _MOST:
            break
    return Anatomy(head=head, body=body, syntax=syntax, order=order, elements=tuple(elements))


def _meta(data: bytes, at: int) -> tuple[str, int]:
    syntax = ""
    while at + 12 <= len(data) and data[at : at + 2] == b"\x02\x00":
        long = data[at + 4 : at + 6] in LONG
        value = at + (12 if long else 8)
        length = struct.unpack_from("<I" if long else "<H", data, value - (4 if long else 2))[0]
        if value + length > len(data):
            break
        if data[at + 2 : at + 4] == b"\x10\x00":
            syntax = data[value : value + length].rstrip(b"\0 ").decode("ascii", "replace")
        at = value + length
    return syntax, at


def _walked(body: bytes, at: int, stop: int, *, order: str, implicit: bool, level: int) -> Iterator[Element]:
    while at + 8 <= stop and level <= _DEEPEST:
        one = _element(body, at, order=order, implicit=implicit, level=level)
        if one is None:
            return
        if one.end > stop:
            return
        yield one
        inner_implicit = implicit or one.kind == b"UN"
        is_open = one.end == one.value and _length(body, one, order) == UNDEFINED
        if one.tag == ITEM_END or one.tag == SEQUENCE_END:
            level = max(0, level - 1)
        elif is_open:
            level += 1
        elif one.tag != PIXELS and _holds_elements(body, one, order):
            yield from _walked(body, one.value, one.end, order=order, implicit=inner_implicit, level=level + 1)
        at = one.end


def _holds_elements(body: bytes, one: Element, order: str) -> bool:
    begins_with_item = body[one.value : one.value + 4] == struct.pack(f"{order}HH", ITEM >> 16, ITEM & 0xFFFF)
    return one.kind == b"SQ" or one.tag == ITEM or begins_with_item


def _element(body: bytes, at: int, *, order: str, implicit: bool, level: int) -> Element | None:
    group, number = struct.unpack_from(f"{order}HH", body, at)
    tag, kind = group << 16 | number, body[at + 4 : at + 6]
    length_at, width = at + 4, 4
    if group != 0xFFFE and not implicit:
        if kind in LONG:
            length_at, width = at + 8, 4
        elif kind in SHORT:
            length_at, width = at + 6, 2
        else:
            return None
    else:
        kind = b""
    value = length_at + width
    if value > len(body):
        return None
    length = struct.unpack_from(f"{order}{'IH'[width == 2]}", body, length_at)[0]
    end = value if width == 4 and length == UNDEFINED else value + length
    return Element(tag, kind, at, length_at, width, value, end, level)


def _length(body: bytes, one: Element, order: str) -> int:
    return int(struct.unpack_from(f"{order}{'IH'[one.length_bytes == 2]}", body, one.length_at)[0])


def _deflated(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()
