"""Ways to damage a file that is not a DICOM image: each takes a generator, the file and another one, and returns other bytes.

Where a format holds checksums, these are made to fit most of the time: else nothing behind them is ever reached.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tests.fuzz.anatomy import take_apart
from tests.fuzz.mutators import MUTATORS, TEXTS

OtherMutator = Callable[[random.Random, bytes, bytes], bytes]

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_ZIP_MARKS: Final = {b"PK\x03\x04": 30, b"PK\x01\x02": 46, b"PK\x05\x06": 22}
_INTEGERS: Final = (0, 1, 2, 3, 4, 7, 8, 16, 64, 255, 256, 1000, 65_535, 65_536, 1 << 31, (1 << 31) - 1, (1 << 32) - 1)
_FLOATS: Final = (0.0, -0.0, 1.0, -1.0, 0.5, 351.0, 352.0, 353.5, 1e-30, 1e30, -1e38, float("nan"), float("inf"))
_WORDS: Final = (
    *(text.decode("utf-8", "replace") for text in TEXTS),
    *("raw", "gzip", "bzip2", "hex", "int8", "double", "block", "big", "(1,0,0)", "none", "(nan,0,0) (0,1,0) (0,0,1)"),
)
_NAMES: Final = (b"/etc/passwd", b"../../x", b"a/../b", b"", b".", b"C:\\x", b"a\\..\\b", b"a\0b", b"\xff\xfe", b"a/0")


class Field(NamedTuple):
    """A number in a header: where it is and how :mod:`struct` writes it."""

    at: int
    form: str


def cut(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Cut the file at any byte."""
    return data[: rng.randrange(len(data))]


def flipped(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Flip some bits anywhere, or near one of the ends, where headers and directories are."""
    changed = bytearray(data)
    span = rng.choice((len(data), 600, 100))
    begin = rng.choice((0, max(0, len(data) - span)))
    for _bit in range(rng.choice((1, 1, 2, 4, 16))):
        changed[min(begin + rng.randrange(span), len(data) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def left_out(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Leave some bytes out."""
    begin = rng.randrange(len(data))
    return data[:begin] + data[begin + rng.choice((1, 2, 4, 12, 100, 512)) :]


def put_in(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Put some bytes in: noise, zeros or a piece of another file."""
    begin, size, there = rng.randrange(len(data)), rng.choice((1, 2, 4, 12, 100, 512)), rng.randrange(len(other))
    return data[:begin] + rng.choice((rng.randbytes(size), bytes(size), other[there : there + size])) + data[begin:]


def joined(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Begin like one file and go on like another, or put one behind the other."""
    if rng.random() < 0.5:
        return data + rng.choice((other, data, bytes(1024)))
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def extreme_fields(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Set numbers of a header to extremes."""
    return _of_plain(rng, data, _with_fields)


def _with_fields(rng: random.Random, data: bytes) -> bytes:
    fields = list(_fields(data)) or [Field(rng.randrange(max(1, min(len(data) - 8, 600))), "<I")]
    changed = bytearray(data)
    for at, form in rng.sample(fields, min(len(fields), rng.choice((1, 1, 2, 3)))):
        if 0 <= at <= len(data) - struct.calcsize(form):
            struct.pack_into(form, changed, at, _number(rng, form[-1]))
    return _summed(rng, bytes(changed))


def _number(rng: random.Random, letter: str) -> float:
    if letter in "fd":
        return rng.choice(_FLOATS)
    bits = 8 * struct.calcsize(f"<{letter}")
    value = rng.choice((*_INTEGERS, 1 << 40, (1 << 63) - 1)) % (1 << bits)
    return value - (1 << bits) if letter.islower() and value >> bits - 1 else value


def other_texts(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Give a line of a text header another value, leave it out or write it twice; elsewhere a name of a member."""
    if data.startswith(b"NRRD"):
        return _other_line(rng, data)
    if data[:2] == b"PK":
        return _other_name(rng, data)
    return _of_plain(rng, data, _other_tar_text)


def _other_line(rng: random.Random, data: bytes) -> bytes:
    head, blank, rest = data.partition(b"\n\n")
    lines = head.split(b"\n")
    place = rng.randrange(len(lines))
    name, colon, value = lines[place].partition(b": ")
    words = value.split(b" ")
    match rng.randrange(4):
        case 0:
            lines[place] = name + colon + rng.choice(_WORDS).encode("utf-8", "replace")
        case 1:
            words[rng.randrange(len(words))] = rng.choice(_WORDS).encode("utf-8", "replace")
            lines[place] = name + colon + b" ".join(words)
        case 2:
            del lines[place]
        case _:
            lines.insert(place, lines[place])
    return b"\n".join(lines) + blank + rest


def _other_name(rng: random.Random, data: bytes) -> bytes:
    # of the same length, so that all offsets stay right
    names = sorted(set(re.findall(rb"PK\x03\x04.{26}([a-z][a-z/0-9.]+)", data, re.DOTALL))) or [b"PK"]
    old = rng.choice(names)
    return data.replace(old, rng.choice(_NAMES)[: len(old)].ljust(len(old), b"x"))


def _other_tar_text(rng: random.Random, data: bytes) -> bytes:
    heads = list(_tar_heads(data))
    if not heads:
        return flipped(rng, data, data)
    at = rng.choice(heads)
    begin, size = rng.choice(((0, 100), (157, 100), (345, 155), (124, 12), (257, 8), (100, 8)))
    text = rng.choice((*_NAMES, b"77777777777", b"\x80" + b"\xff" * 11, b"9", b"-1", b"a" * size))
    return _summed(rng, data[: at + begin] + text[:size].ljust(size, b"\0") + data[at + begin + size :])


def other_kinds(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Say that a member of an archive is of another kind: a link, a device, more of a header, encrypted."""
    if data[:2] == b"PK":
        return extreme_fields(rng, data, other)

    def changed(rng: random.Random, plain: bytes) -> bytes:
        heads = list(_tar_heads(plain))
        if not heads:
            return flipped(rng, plain, plain)
        at = rng.choice(heads) + 156
        return _summed(rng, plain[:at] + bytes((rng.choice(b"01234567xgLKSVMDN\0"),)) + plain[at + 1 :])

    return _of_plain(rng, data, changed)


def hurt_streams(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Damage a compressed stream: its bits, its end, its checksum; empty streams between, the stream twice."""
    begin = _stream_at(data)
    head, stream = data[:begin], data[begin:]
    if not stream:
        return flipped(rng, data, data)
    empty = _packer(stream)(b"") if _unpacked(stream) is not None else b""
    match rng.randrange(6):
        case 0:
            return head + flipped(rng, stream, stream)
        case 1:
            return head + cut(rng, stream, stream)
        case 2:
            return head + stream[:-8] + rng.randbytes(8)
        case 3:
            return head + stream + stream
        case 4:
            return head + empty * rng.choice((1, 3, 500)) + stream
        case _:
            return head + stream + empty * rng.choice((1, 3, 500)) + rng.choice((b"", b"x", bytes(100)))


def hurt_what_is_packed(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Damage what a compressed stream holds and pack it soundly again."""
    begin = _stream_at(data)
    plain = _unpacked(data[begin:])
    if not plain:
        return flipped(rng, data, other)
    changed = rng.choice((cut, flipped, left_out, put_in, joined))(rng, plain, other)
    return data[:begin] + _packer(data[begin:])(changed)


def hurt_members(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Damage a DICOM member of a tar or zip as files are damaged, keeping its length."""
    if data[:2] == b"PK":
        return _of_stored_member(rng, data)
    return _of_plain(rng, data, _of_stored_member)


def _of_stored_member(rng: random.Random, data: bytes) -> bytes:
    marks = [found.start() for found in re.finditer(rb"DICM", data)]
    if not marks:
        return flipped(rng, data, data)
    begin = rng.choice(marks) - 128
    end = begin + 1200
    file = take_apart(data[begin:end])
    hurt = rng.choice(MUTATORS)(rng, file, file)[: end - begin].ljust(min(end, len(data)) - begin, b"\0")
    return data[:begin] + hurt + data[end:]


def _of_plain(rng: random.Random, data: bytes, change: Callable[[random.Random, bytes], bytes]) -> bytes:
    """Change what a packed file holds and pack it again; a plain file as it is."""
    plain = _unpacked(data)
    return change(rng, data) if not plain else _packer(data)(change(rng, plain))


# what files are made of ---------------------------------------------------------------------------


def _fields(data: bytes) -> Iterator[Field]:
    order = ">" if data[:2] in {b"MM", b"\0\0"} else "<"
    if data[344:347] in {b"n+1", b"ni1"}:
        yield from (Field(at, f"{order}h") for at in (*range(40, 56, 2), 70, 72, 252, 254))
        yield from (Field(at, f"{order}f") for at in (*range(76, 120, 4), *range(256, 328, 4)))
        yield from (Field(123, "B"), Field(0, f"{order}i"), Field(344, "<I"))
    elif data[4:7] in {b"n+2", b"ni2"}:
        yield from (Field(at, f"{order}q") for at in (*range(16, 80, 8), 168))
        yield from (Field(at, f"{order}d") for at in (*range(104, 168, 8), 176, 184, *range(352, 496, 8)))
        yield from (Field(at, f"{order}h") for at in (12, 14))
        yield from (Field(at, f"{order}i") for at in (344, 348, 500, 0))
    elif data[:8] == _PNG:
        yield from (Field(16, ">I"), Field(20, ">I"), *(Field(at, "B") for at in range(24, 29)))
        yield from (Field(at, ">I") for at, _ in _chunks(data))
    elif data[:2] == b"\xff\xd8":
        marks = [found.start() for found in re.finditer(rb"\xff[\xc0-\xfe]", data)]
        yield from (Field(at + step, form) for at in marks for step, form in ((1, "B"), (2, ">H"), (4, "B"), (9, "B")))
        yield from (Field(at + step, ">H") for at in marks if data[at + 1] in {0xC0, 0xC2} for step in (5, 7))
    elif data[:4] in {b"II*\0", b"II+\0", b"MM\0*"}:
        yield from _tiff_fields(data, order)
    elif data[:2] == b"PK":
        for mark, size in _ZIP_MARKS.items():
            for found in re.finditer(re.escape(mark), data):
                yield from (Field(found.start() + step, "<H") for step in range(4, size - 1, 2))
                yield from (Field(found.start() + step, "<I") for step in range(6, size - 3, 2))


def _tiff_fields(data: bytes, order: str) -> Iterator[Field]:
    is_big = data[2:3] == b"+"
    offset, entry_bytes, first = (f"{order}Q", 20, 8) if is_big else (f"{order}I", 12, 4)
    count = f"{order}Q" if is_big else f"{order}H"
    yield Field(first, offset)
    at = struct.unpack_from(offset, data, first)[0]
    for _ in range(10):
        if not 0 < at <= len(data) - 10:
            return
        yield Field(at, count)
        n_entries = min(64, struct.unpack_from(count, data, at)[0])
        begin = at + struct.calcsize(count)
        for entry in range(begin, begin + n_entries * entry_bytes, entry_bytes):
            yield from (Field(entry, f"{order}H"), Field(entry + 2, f"{order}H"), Field(entry + 4, offset))
            yield Field(entry + 4 + struct.calcsize(offset), offset)
        end = begin + n_entries * entry_bytes
        if end > len(data) - 8:
            return
        yield Field(end, offset)
        at = struct.unpack_from(offset, data, end)[0]


def _chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where chunks of a PNG begin, and how long their data are."""
    at = 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        yield at, length
        at += 12 + length


def _tar_heads(data: bytes) -> Iterator[int]:
    return (at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar")


def _summed(rng: random.Random, data: bytes) -> bytes:
    """Return a file with checksums that fit, most of the time."""
    if rng.random() < 0.2:
        return data
    changed = bytearray(data)
    if data[:8] == _PNG:
        for at, length in _chunks(data):
            if at + 12 + length <= len(data):
                struct.pack_into(">I", changed, at + 8 + length, zlib.crc32(data[at + 4 : at + 8 + length]))
    for at in _tar_heads(data):
        changed[at + 148 : at + 156] = b" " * 8
        changed[at + 148 : at + 156] = b"%06o\0 " % sum(changed[at : at + 512])
    return bytes(changed)


def _stream_at(data: bytes) -> int:
    """Return where a compressed stream begins: at the front, behind a text header, in the first part of pixels."""
    if data.startswith(b"NRRD"):
        return data.find(b"\n\n") + 2
    if data[:8] == _PNG:
        return max(0, data.find(b"IDAT")) + 4
    if data[:2] == b"PK":
        found = [match.start() for match in re.finditer(rb"PK\x03\x04", data)]
        return found[-1] + 30 if found else 0
    return 0


def _unpacked(data: bytes) -> bytes | None:
    """Return what a stream of gzip, bzip2 or xz holds, None where there is none."""
    readers: dict[bytes, Callable[[io.BytesIO], io.BufferedIOBase]] = {
        b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
        b"BZ": bz2.BZ2File,
        b"\xfd7": lzma.LZMAFile,
    }
    opened = readers.get(data[:2])
    try:
        return None if opened is None else opened(io.BytesIO(data)).read(1 << 20)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        return None


def _packer(data: bytes) -> Callable[[bytes], bytes]:
    packers = {b"BZ": bz2.compress, b"\xfd7": lzma.compress}
    return packers.get(data[:2], lambda plain: gzip.compress(plain, mtime=0))


OTHER_MUTATORS: Final[tuple[OtherMutator, ...]] = (
    cut,
    cut,
    flipped,
    flipped,
    left_out,
    put_in,
    joined,
    extreme_fields,
    extreme_fields,
    extreme_fields,
    other_texts,
    other_kinds,
    hurt_streams,
    hurt_what_is_packed,
    hurt_members,
)
"""What is drawn from; what finds most stands more than once."""
