"""Small files that ask for much: memory, time, depth. None is larger than a megabyte and a little."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import RTStructureSetStorage

from medpipe.archive.gate import DEFLATED, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from medpipe.archive.limits import ENCAPSULATED, RLE
from tests.archive.conftest import make_slice, to_bytes
from tests.fuzz.anatomy import PIXELS, take_apart
from tests.fuzz.seeds import JPEG_2000, JPEG_BASELINE, JPEG_LOSSLESS, JPEG_LS

Bomb = Callable[[random.Random], bytes]

SIZE_BYTES: Final = 1_000_000
_PLANE = np.arange(16 * 16, dtype=np.uint16).reshape(16, 16)


def _plain(syntax: str = EXPLICIT_LITTLE, **elements: Any) -> tuple[bytes, bytes, bytes]:
    """Return a slice's head, what comes before its pixels, and the pixels with what comes after."""
    data = _packed(b"\0\0", syntax, **elements) if syntax in ENCAPSULATED else _written(syntax, **elements)
    file = take_apart(data)
    pixels = file.find(PIXELS)
    assert pixels is not None
    return file.head, file.body[: pixels.begin], file.body[pixels.begin :]


def _written(syntax: str, **elements: Any) -> bytes:
    dataset = make_slice(_PLANE, **elements)
    dataset.file_meta.TransferSyntaxUID = syntax
    return to_bytes(dataset)


def _packed(stream: bytes, syntax: str, **elements: Any) -> bytes:
    dataset = make_slice(_PLANE, **elements)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream + b"\0" * (len(stream) % 2)])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    return to_bytes(dataset)


def deflated_pixels(rng: random.Random) -> bytes:
    """Inflate to a gigabyte of zero pixels, with as many frames as that makes."""
    n_mib = rng.choice((60, 300, 1000))
    frames = n_mib * 2048
    head, body, _ = _plain(DEFLATED, NumberOfFrames=frames)
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, frames * 512)
    return head + _inflating(body + pixels, bytes(1 << 20), n_mib)


def deflated_elements(rng: random.Random) -> bytes:
    """Inflate to millions of elements, or of items."""
    empty = struct.pack("<HH2sH", 0x0011, 0x1010, b"LO", 0)
    opened = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    filled = struct.pack("<HHI", 0xFFFE, 0xE000, 16) + 2 * empty
    begin, unit = rng.choice(((b"", empty), (opened, item), (opened, filled)))
    head, body, _ = _plain(DEFLATED)
    return head + _inflating(body + begin, unit * (1 << 17), rng.choice((1, 10, 400)))


def _inflating(first: bytes, unit: bytes, count: int) -> bytes:
    stream = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    begin = stream.compress(first) + stream.flush(zlib.Z_FULL_FLUSH)
    # after a full flush nothing refers back, so the same bytes may follow again and again
    stream = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    repeated = stream.compress(unit) + stream.flush(zlib.Z_FULL_FLUSH)
    return begin + repeated * min(count, SIZE_BYTES // len(repeated)) + b"\x03\x00"


def many_elements(rng: random.Random) -> bytes:
    """Hold as many elements or items as fit, in a sequence of defined or undefined length."""
    head, body, pixels = _plain()
    element = struct.pack("<HH2sH", 0x0011, 0x1010, b"LO", 0)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    filled = struct.pack("<HHI", 0xFFFE, 0xE000, 8) + element
    unit = rng.choice((element, item, filled))
    run = unit * (SIZE_BYTES // len(unit))
    if unit is not element:
        tag = rng.choice(((0x0008, 0x1115), (0x5200, 0x9230), (0x0040, 0xA730)))
        is_defined = rng.random() < 0.5
        run = struct.pack("<HH2sHI", *tag, b"SQ", 0, len(run) if is_defined else 0xFFFFFFFF) + run
        run += b"" if is_defined else struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return head + body + run + pixels


def long_padding(rng: random.Random) -> bytes:
    """Put zeros behind a slice, or behind nothing, that pass for elements."""
    head, body, pixels = _plain(rng.choice((EXPLICIT_LITTLE, DEFLATED)))
    whole = head + rng.choice((b"", body + pixels))
    return whole + bytes(SIZE_BYTES - len(whole) - rng.choice((0, 1)))


def many_values(rng: random.Random) -> bytes:
    """Hold an element of hundreds of thousands of values where a few belong."""
    tag, one = rng.choice(
        (
            (0x00200032, b"0\\"),
            (0x00280030, b"1.5\\"),
            (0x3004000C, b"1\\"),
            (0x00080008, b"A\\"),
            (0x00080005, b"ISO 2022 IR 13\\"),
            (0x00280008, b"1\\"),
            (0x00281053, b"1\\"),
            (0x00200013, b"1\\"),
            (0x00181030, b"\x1b$B"),
            (0x00280010, b"\x10\0"),
            (0x00080016, b"1\\"),
        )
    )
    head, body, pixels = _plain(IMPLICIT_LITTLE)
    long = one * (SIZE_BYTES // len(one))
    long = long[: len(long) // 2 * 2]
    return head + struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(long)) + long + body + pixels


def long_numbers(rng: random.Random) -> bytes:
    """Write one number with a million digits."""
    tag = rng.choice((0x00280008, 0x00200013, 0x00281053, 0x00200032, 0x00181030))
    digits = rng.choice((b"9", b"0", b"1e", b".")) * SIZE_BYTES
    head, body, pixels = _plain(IMPLICIT_LITTLE)
    return head + struct.pack("<HHI", tag >> 16, tag & 0xFFFF, SIZE_BYTES) + digits[:SIZE_BYTES] + body + pixels


def run_lengths(rng: random.Random) -> bytes:
    """Promise more than runs can hold, or hold what a run can at most and break off."""
    rows, columns = rng.choice(((65_535, 65_535), (16_384, 1_900), (4096, 3_900)))
    runs = b"\x81\x00" * (SIZE_BYTES // 4)
    segments = [runs, runs]
    header = struct.pack("<16I", len(segments), 64, 64 + len(runs), *[0] * 13)
    stream = (header + b"".join(segments))[: rng.choice((66, 10_000, SIZE_BYTES))]
    return _packed(stream, RLE, Rows=rows, Columns=columns)


def streams(rng: random.Random) -> bytes:
    """Say a huge image in the header and in the stream alike, with next to no data."""
    rows, columns = rng.choice(((65_500, 65_500), (32_768, 32_768), (9000, 9000), (5700, 5700), (1, 65_500)))
    depth = rng.choice((8, 16))
    if rng.random() < 0.4:
        syntax, stream = JPEG_2000, _jpeg_2000(rng, rows, columns, depth)
    elif rng.random() < 0.5:
        syntax, stream = JPEG_LS, _jpeg(b"\xf7", rows, columns, depth)
    else:
        syntax, depth = rng.choice(((JPEG_LOSSLESS, 16), (JPEG_BASELINE, 8)))
        stream = _jpeg(b"\xc3" if depth == 16 else b"\xc0", rows, columns, depth)
    stream += rng.choice((b"", bytes(1000), b"\xff\xd9", rng.randbytes(10_000), bytes(SIZE_BYTES - 10_000)))
    bits = {"BitsAllocated": depth, "BitsStored": depth, "HighBit": depth - 1}
    return _packed(stream, syntax, Rows=rows, Columns=columns, NumberOfFrames=1, **bits)


def _jpeg(marker: bytes, rows: int, columns: int, depth: int) -> bytes:
    frame = b"\xff" + marker + struct.pack(">HBHHB3B", 11, depth, rows, columns, 1, 1, 0x11, 0)
    table = b"\xff\xc4" + struct.pack(">HB16B", 20, 0, 1, *[0] * 15) + b"\0"
    quantizers = b"\xff\xdb" + struct.pack(">HB64B", 67, 0, *[1] * 64)
    scan = b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, *((0, 0, 0) if marker == b"\xf7" else (1, 0, 0)))
    return (
        b"\xff\xd8" + (quantizers if marker == b"\xc0" else b"") + frame + (table if marker != b"\xf7" else b"") + scan
    )


def _jpeg_2000(rng: random.Random, rows: int, columns: int, depth: int) -> bytes:
    tile = rng.choice(((columns, rows), (256, 256), (1, 1)))
    parts = rng.choice((1, 1, 3, 500))
    size = struct.pack(">HIIIIIIIIH", 0, columns, rows, 0, 0, *tile, 0, 0, parts) + bytes((depth - 1, 1, 1)) * parts
    coding = struct.pack(">BBHBBBBBB", 0, 0, 1, 0, 5, 4, 4, 0, 1)
    quantizers = bytes((0x40, *[0x48] * 16))
    stream = b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size
    stream += b"\xff\x52" + struct.pack(">H", len(coding) + 2) + coding
    stream += b"\xff\x5c" + struct.pack(">H", len(quantizers) + 2) + quantizers
    return stream + b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 0, 0, 1) + b"\xff\x93"


def native_promises(rng: random.Random) -> bytes:
    """Say more pixels than there are."""
    dimensions = rng.choice(
        ((65_535, 65_535, 1), (16, 16, 2**31 - 1), (16, 16, 10**15), (0, 16, 1), (65_535, 1, 65_535))
    )
    rows, columns, frames = dimensions
    return to_bytes(make_slice(_PLANE, Rows=rows, Columns=columns, NumberOfFrames=frames))


def many_fragments(rng: random.Random) -> bytes:
    """Hold a fragment for each of a hundred thousand frames, all empty or nearly so."""
    inner = rng.choice((b"", b"\0\0", b"\xff\xd8"))
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    count = SIZE_BYTES // len(item)
    head, body, _ = _plain(rng.choice((RLE, JPEG_LS, JPEG_2000)), NumberOfFrames=rng.choice((count - 1, count // 2)))
    opened = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    return head + body + opened + item * count + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def many_corners(_: random.Random) -> bytes:
    """Draw one contour with a hundred thousand corners."""
    return _contour()


@cache
def _contour() -> bytes:
    dataset = make_slice(_PLANE, SOPClassUID=RTStructureSetStorage, Modality="RTSTRUCT", PixelData=None)
    dataset.file_meta.TransferSyntaxUID = IMPLICIT_LITTLE
    corners = b"\\".join(b"%d\\%d\\0" % (place * 7 % 90, place * 5 % 90) for place in range(120_000))
    name = _implicit(0x30060022, b"1 ") + _implicit(0x30060026, b"a ")
    contour = _implicit(0x30060042, b"CLOSED_PLANAR ") + _implicit(0x30060050, corners)
    drawn = _sequence(0x30060040, contour) + _implicit(0x30060084, b"1 ")
    return to_bytes(dataset) + _sequence(0x30060020, name) + _sequence(0x30060039, drawn)


def _sequence(tag: int, item: bytes) -> bytes:
    return _implicit(tag, struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item)


def _implicit(tag: int, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


BOMBS: Final[tuple[Bomb, ...]] = (
    deflated_pixels,
    deflated_elements,
    many_elements,
    long_padding,
    many_values,
    long_numbers,
    run_lengths,
    streams,
    native_promises,
    many_fragments,
    many_corners,
)
