"""Ways to damage a file: each takes a generator and a file taken apart, and returns other bytes."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Final

from medpipe.archive.gate import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from medpipe.archive.limits import ENCAPSULATED
from tests.fuzz.anatomy import ITEM, LONG, PIXELS, SEQUENCE_END, SHORT, UNDEFINED, Anatomy, Element

Mutator = Callable[[random.Random, Anatomy, Anatomy], bytes]
"""The generator, the file to damage, and another one."""

LENGTHS: Final = (0, 1, 2, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, UNDEFINED)
NUMBERS: Final = (0, 1, 2, 3, 7, 12, 13, 31, 32, 33, 63, 64, 255, 256, 4097, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
TEXTS: Final = (
    b"",
    b" ",
    b"0",
    b"-0",
    b"-1",
    b"1",
    b"2",
    b"65536",
    b"2147483647",
    b"2147483648",
    b"-2147483649",
    b"9223372036854775808",
    b"9" * 40,
    b"9" * 400,
    b"1e5",
    b"1e40",
    b"1e300",
    b"-1e308",
    b"1e-300",
    b"1e400",
    b"nan",
    b"inf",
    b"-inf",
    b"1_0",
    b"0x10",
    b"\\",
    b"\\\\\\\\\\",
    b"1\\2",
    b"1\\2\\3\\4\\5\\6",
    b"0\\0\\0\\0\\0\\0",
    b"1e300\\0\\0\\0\\1e300\\0",
    b"..",
    b"../../../../etc/passwd",
    b"/etc/passwd",
    b"a/b\\c",
    b"\0\0\0",
    b"\n\r\t",
    b"\x1b$B\x1b(J",
    b"\xff\xfe\xfd",
    "é文\u202e".encode(),
    b"%s%n{}",
    b"'; DROP TABLE instances; --",
    b"<script>",
)
SYNTAXES: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED, *sorted(ENCAPSULATED))
_IMAGE_NUMBERS: Final = (
    0x00280002, 0x00280006, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103,
    0x00281101, 0x00281102, 0x00281103, 0x00283002,
)  # fmt: skip
_IMAGE_TEXTS: Final = (
    0x00280008, 0x00280004, 0x00200032, 0x00200037, 0x00280030, 0x00180050, 0x00180088, 0x00281052, 0x00281053,
    0x00200013, 0x00080008, 0x00080060, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00100020, 0x00200052,
    0x00080005, 0x3004000C, 0x30060050, 0x30060046, 0x00620001, 0x0062000E, 0x00282114, 0x00282110, 0x00080020,
)  # fmt: skip


def truncated(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Cut the file at any byte."""
    data = file.whole(file.body)
    return data[: rng.randrange(len(data))]


def flipped_bits(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Flip some bits anywhere."""
    return _flipped(rng, bytearray(file.whole(file.body)), 132)


def flipped_header_bits(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Flip some bits before the pixels."""
    pixels = file.find(PIXELS)
    stop = len(file.body) if pixels is None else pixels.value
    body = _flipped(rng, bytearray(file.body[:stop]), 0) + file.body[stop:]
    return file.whole(body)


def flipped_stream_bits(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Flip some bits of the pixel data, fragments included."""
    pixels = file.find(PIXELS)
    if pixels is None:
        return flipped_bits(rng, file, file)
    body = file.body[: pixels.value] + _flipped(rng, bytearray(file.body[pixels.value :]), 0)
    return file.whole(body)


def _flipped(rng: random.Random, data: bytearray, start: int) -> bytes:
    if len(data) > start:
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            data[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def extreme_lengths(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Overwrite declared lengths with extremes."""
    body = bytearray(file.body)
    for one in _some(rng, file.elements, 3):
        _set_length(body, file, one, rng.choice(LENGTHS))
    return file.whole(bytes(body))


def shifted_lengths(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Make a declared length a little too long or too short."""
    body = bytearray(file.body)
    for one in _some(rng, file.elements, 1):
        _set_length(body, file, one, max(0, one.end - one.value + rng.choice((-8, -4, -2, -1, 1, 2, 4, 8))))
    return file.whole(bytes(body))


def _set_length(body: bytearray, file: Anatomy, one: Element, length: int) -> None:
    form = f"{file.order}{'IH'[one.length_bytes == 2]}"
    struct.pack_into(form, body, one.length_at, length & (0xFFFF if one.length_bytes == 2 else UNDEFINED))


def deleted_bytes(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Leave some bytes out."""
    data = file.whole(file.body)
    begin = rng.randrange(len(data))
    return data[:begin] + data[begin + rng.choice((1, 2, 4, 8, 100, 1000)) :]


def inserted_bytes(rng: random.Random, file: Anatomy, other: Anatomy) -> bytes:
    """Put some bytes in: noise, zeros or a piece of another file."""
    data = file.whole(file.body)
    begin, size = rng.randrange(len(data)), rng.choice((1, 2, 4, 8, 100, 1000))
    from_other = rng.randrange(len(other.body) or 1)
    piece = rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size, other.body[from_other : from_other + size]))
    return data[:begin] + piece + data[begin:]


def swapped_elements(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Exchange two elements that do not hold one another."""
    pair = sorted(_some(rng, [one for one in file.elements if one.level == 0], 2))
    if len(pair) < 2:
        return flipped_bits(rng, file, file)
    a, b = sorted(pair, key=lambda one: one.begin)
    body = file.body
    if a.end > b.begin:
        return flipped_bits(rng, file, file)
    return file.whole(
        body[: a.begin] + body[b.begin : b.end] + body[a.end : b.begin] + body[a.begin : a.end] + body[b.end :]
    )


def doubled_elements(rng: random.Random, file: Anatomy, other: Anatomy) -> bytes:
    """Write an element, of this file or another one, a second time."""
    donor = rng.choice((file, other))
    body = file.body
    for one in _some(rng, donor.elements, 1):
        piece = donor.body[one.begin : one.end] * rng.choice((1, 1, 2, 50))
        places = [place.begin for place in file.elements] or [0]
        at = rng.choice(places)
        body = body[:at] + piece + body[at:]
    return file.whole(body)


def deleted_elements(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Leave an element out."""
    body = file.body
    for one in _some(rng, file.elements, 1):
        body = body[: one.begin] + body[one.end :]
    return file.whole(body)


def deep_sequences(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Open sequences in sequences, of undefined or of defined length."""
    depth = rng.choice((3, 20, 63, 64, 65, 200, 1000, 3000))
    tag = rng.choice((0x0040A730, 0x52009230, 0x00081140))
    piece = nested(file, depth, tag=tag, is_defined=rng.random() < 0.5, is_closed=rng.random() < 0.7)
    at = rng.choice([one.begin for one in file.elements] or [0])
    return file.whole(file.body[:at] + piece + file.body[at:])


def nested(file: Anatomy, depth: int, *, tag: int, is_defined: bool, is_closed: bool) -> bytes:
    """Return sequences in sequences in the syntax of a file."""
    order = file.order
    implicit = file.syntax == IMPLICIT_LITTLE
    item = struct.pack(f"{order}HH", ITEM >> 16, ITEM & 0xFFFF)
    mark = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) + (b"" if implicit else b"SQ\0\0")
    inner = b""
    if is_defined:
        for _ in range(depth):
            inner = item + struct.pack(f"{order}I", len(inner)) + inner
            inner = mark + struct.pack(f"{order}I", len(inner)) + inner
        return inner
    opened = mark + struct.pack(f"{order}I", UNDEFINED) + item + struct.pack(f"{order}I", UNDEFINED)
    closed = struct.pack(f"{order}HHIHHI", 0xFFFE, 0xE00D, 0, SEQUENCE_END >> 16, SEQUENCE_END & 0xFFFF, 0)
    return opened * depth + closed * (depth if is_closed else 0)


def other_types(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Give elements another value representation."""
    body = bytearray(file.body)
    for one in _some(rng, [one for one in file.elements if one.kind], 2):
        alike = sorted(LONG if one.kind in LONG else SHORT)
        kind = rng.choice([*alike, *sorted(LONG | SHORT), b"ZZ", b"\0\0", b"??"])
        body[one.length_at - (4 if one.kind in LONG else 2) : one.length_at - (2 if one.kind in LONG else 0)] = kind
    return file.whole(bytes(body))


def extreme_numbers(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Set what describes the pixels to extremes: rows, columns, bits, samples, planes."""
    body = bytearray(file.body)
    of_image = [one for one in file.elements if one.tag in _IMAGE_NUMBERS and one.end - one.value >= 2]
    for one in _some(rng, of_image, 2):
        struct.pack_into(f"{file.order}H", body, one.value, rng.choice(NUMBERS))
    return file.whole(bytes(body))


def extreme_texts(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Set values that are texts to extremes: places, scales, counts, identifiers."""
    named = [one for one in file.elements if (one.tag in _IMAGE_TEXTS and one.length_bytes == 2) or one.kind == b""]
    named = [one for one in named if one.tag in _IMAGE_TEXTS] if rng.random() < 0.8 else _texts(file)
    return _with_values(rng, file, named, lambda _: rng.choice(TEXTS), most=2)


def random_values(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Replace values by noise of any length."""
    short = [one for one in file.elements if one.tag != PIXELS and one.end > one.value]
    return _with_values(rng, file, short, lambda _: rng.randbytes(rng.choice((0, 1, 2, 3, 8, 64))), most=2)


def _texts(file: Anatomy) -> list[Element]:
    return [one for one in file.elements if one.kind in SHORT and one.tag >> 16 != 0xFFFE and one.end - one.value < 256]


def _with_values(
    rng: random.Random, file: Anatomy, among: Sequence[Element], said: Callable[[Element], bytes], *, most: int
) -> bytes:
    """Return the file with some values replaced; lengths of what holds them stay as they were."""
    body = file.body
    for one in sorted(_some(rng, among, most), key=lambda one: -one.begin):
        text = said(one)
        text += b" " * (len(text) % 2)
        head = bytearray(body[one.begin : one.value])
        struct.pack_into(f"{file.order}{'IH'[one.length_bytes == 2]}", head, one.length_at - one.begin, len(text))
        body = body[: one.begin] + bytes(head) + text + body[one.end :]
    return file.whole(body)


def spliced(rng: random.Random, file: Anatomy, other: Anatomy) -> bytes:
    """Begin like one file and go on like another."""
    if rng.random() < 0.5 or not (file.elements and other.elements):
        mine, theirs = file.whole(file.body), other.whole(other.body)
        return mine[: rng.randrange(len(mine))] + theirs[rng.randrange(len(theirs)) :]
    first, last = rng.choice(file.elements), rng.choice(other.elements)
    return file.whole(file.body[: first.begin] + other.body[last.begin :])


def other_syntax(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Name another transfer syntax than the one the file is written in."""
    uid = rng.choice((*SYNTAXES, "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.57", "1.2.3", "")).encode()
    uid += b"\0" * (len(uid) % 2)
    at = file.head.find(b"\x02\x00\x10\x00UI")
    if at < 0:
        return flipped_bits(rng, file, file)
    (length,) = struct.unpack_from("<H", file.head, at + 6)
    head = file.head[: at + 6] + struct.pack("<H", len(uid)) + uid + file.head[at + 8 + length :]
    return head + file.whole(file.body)[len(file.head) :]


def wrong_meta(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Damage the preamble, the group length or other meta information."""
    data = bytearray(file.whole(file.body))
    at = file.head.find(b"\x02\x00\x00\x00UL")
    match rng.randrange(5):
        case 0 if at >= 0:
            struct.pack_into("<I", data, at + 8, rng.choice(LENGTHS))
        case 1:
            return bytes(data[132:])
        case 2:
            return bytes(data[len(file.head) :])
        case 3:
            data[128:132] = rng.choice((b"dicm", b"DIC\0", b"\0\0\0\0"))
        case _:
            return _flipped(rng, bytearray(file.head), 128) + bytes(data[len(file.head) :])
    return bytes(data)


def other_stream_size(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Let a compressed stream say other dimensions, depths or components than the header."""
    body = bytearray(file.body)
    marks = [at for mark in (b"\xff\x4f\xff\x51", *_FRAME_MARKS) for at in _places(body, mark)]
    if not marks:
        return flipped_stream_bits(rng, file, file)
    at = rng.choice(marks)
    if body[at + 1] == 0x4F:
        # SIZ: size and origin of the image and of the tiles, four bytes each, then components
        place = at + 8 + 4 * rng.randrange(8)
        values = (0, 1, 2, 255, 65_535, 65_536, 0x7FFFFFFF, UNDEFINED)
        struct.pack_into(">I", body, min(place, len(body) - 4), rng.choice(values))
        if rng.random() < 0.3:
            struct.pack_into(">H", body, min(at + 40, len(body) - 2), rng.choice((0, 1, 2, 3, 4, 255, 16_384, 65_535)))
    elif rng.random() < 0.7:
        place = min(at + 5 + 2 * rng.randrange(2), len(body) - 2)
        struct.pack_into(">H", body, place, rng.choice((0, 1, 8, 255, 4096, 65_500, 65_535)))
    else:
        body[min(at + rng.choice((4, 9, 10, 11)), len(body) - 1)] = rng.choice((0, 1, 2, 3, 4, 7, 16, 17, 255))
    return file.whole(bytes(body))


_FRAME_MARKS = tuple(bytes((0xFF, last)) for last in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7))


def _places(body: bytearray, mark: bytes) -> list[int]:
    found, at = [], body.find(mark)
    while at >= 0 and len(found) < 64:
        found.append(at)
        at = body.find(mark, at + 1)
    return found


def broken_fragments(rng: random.Random, file: Anatomy, _: Anatomy) -> bytes:
    """Damage items, their lengths and the offset table of encapsulated pixels."""
    pixels = file.find(PIXELS)
    items = [] if pixels is None else [one for one in file.elements if one.begin >= pixels.value and one.tag == ITEM]
    if not items:
        return flipped_stream_bits(rng, file, file)
    one = rng.choice(items)
    body = bytearray(file.body)
    match rng.randrange(6):
        case 0:
            struct.pack_into("<I", body, one.length_at, rng.choice(LENGTHS))
        case 1:
            return file.whole(bytes(body[: one.begin] + body[one.end :]))
        case 2:
            return file.whole(bytes(body[: one.end] + body[one.begin :]))
        case 3:
            empty = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
            return file.whole(bytes(body[: one.begin] + empty * rng.choice((1, 3, 500)) + body[one.begin :]))
        case 4:
            table = b"".join(struct.pack("<I", rng.choice((0, 8, 60, *LENGTHS))) for _ in range(rng.choice((1, 3, 50))))
            first = items[0]
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(table)) + table
            return file.whole(bytes(body[: first.begin] + item + body[first.end :]))
        case _:
            middle = (one.value + one.end) // 2
            item = struct.pack("<HHI", 0xFFFE, 0xE000, one.end - middle)
            struct.pack_into("<I", body, one.length_at, middle - one.value)
            return file.whole(bytes(body[:middle] + item + body[middle:]))
    return file.whole(bytes(body))


def _some(rng: random.Random, among: Sequence[Element], most: int) -> list[Element]:
    return rng.sample(among, min(len(among), rng.randint(1, most) if most != 2 else 2)) if among else []


MUTATORS: Final[tuple[Mutator, ...]] = (
    truncated,
    truncated,
    flipped_bits,
    flipped_header_bits,
    flipped_header_bits,
    flipped_stream_bits,
    extreme_lengths,
    extreme_lengths,
    shifted_lengths,
    deleted_bytes,
    inserted_bytes,
    swapped_elements,
    doubled_elements,
    deleted_elements,
    deep_sequences,
    other_types,
    extreme_numbers,
    extreme_numbers,
    extreme_texts,
    extreme_texts,
    random_values,
    spliced,
    other_syntax,
    wrong_meta,
    other_stream_size,
    broken_fragments,
)
"""What is drawn from; what finds most stands twice."""
