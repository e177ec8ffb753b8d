"""Small volumes, pictures, archive files and directories that ask for much. None is larger than a megabyte and a little."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np

from tests.archive.conftest import make_slice, to_bytes
from tests.archive.other_files import nifti, nrrd
from tests.fuzz.bombs import SIZE_BYTES, Bomb
from tests.fuzz.other_seeds import directory

_MIB: Final = 1 << 20
_PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def packed_volume(rng: random.Random) -> bytes:
    """Declare hundreds of megabytes of zeros that are there, or are there but for a checksum that is wrong."""
    slices = rng.choice((60, 280, 900))
    head = bytearray(nifti(np.zeros((8, 8, 2), dtype=np.uint8))[:352])
    struct.pack_into("<3h", head, 42, 1024, 1024, slices)
    return _gzip_of(bytes(head), slices * _MIB, rng.choice((b"", b"wrong")))


def packed_text(rng: random.Random) -> bytes:
    """Do the same in NRRD."""
    slices = rng.choice((60, 300, 900))
    whole = nrrd(np.zeros((2, 8, 8), dtype=np.uint8), np.eye(4), encoding="gzip")
    head = whole[: whole.index(b"\n\n") + 2].replace(b"sizes: 8 8 2", b"sizes: 1024 1024 %d" % slices)
    return head + _gzip_of(b"", slices * _MIB, rng.choice((b"", b"wrong")))


def packed_object(rng: random.Random) -> bytes:
    """Compress a DICOM file whose pixels are many or none, by itself."""
    pixels = np.zeros((8, 8), dtype=np.int16)
    dataset = make_slice(pixels, **rng.choice(({}, {"Rows": 0}, {"NumberOfFrames": 100_000})))
    noise = rng.randbytes(rng.choice((0, SIZE_BYTES - (1 << 18))))
    return _gzip_of(to_bytes(dataset) + noise, rng.choice((20, 60, 95, 300)) * _MIB, b"")


def _gzip_of(first: bytes, n_zeros: int, wrong: bytes) -> bytes:
    stream = zlib.compressobj(9, wbits=31)
    parts = [stream.compress(first)]
    parts += [stream.compress(bytes(_MIB)) for _ in range(n_zeros // _MIB)]
    data = b"".join(parts) + stream.flush()
    return data[: len(data) - len(wrong)] + wrong


def many_streams(rng: random.Random) -> bytes:
    """Put tens of thousands of empty streams behind one that holds a volume, or the beginning of a tar."""
    packed = rng.choice(("nifti", *_PACKERS))
    if packed == "nifti":
        return _filled(nifti(np.zeros((64, 64, 60), dtype=np.int16), packed=True), gzip.compress(b"", mtime=0))
    pack = _PACKERS[packed]
    begun = _tar({"a": bytes(100)})[:700]
    return _filled(pack(begun), pack(b"") if rng.random() < 0.5 else pack(b"\0"))


def _filled(first: bytes, unit: bytes) -> bytes:
    return first + unit * ((SIZE_BYTES - len(first)) // len(unit))


def _tar(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return held.getvalue()


def packed_tars(rng: random.Random) -> bytes:
    """Inflate to hundreds of megabytes of one member, of none, or of headers."""
    head = _tar({"a": b""})[:512]
    sized = _summed(head[:124] + b"%011o\0" % (300 * _MIB) + head[136:])
    first, unit = rng.choice(((sized, bytes(_MIB)), (head, bytes(_MIB)), (b"", head * 2048)))
    pack = rng.choice(tuple(_PACKERS))
    n_mib = rng.choice((100, 300, 400))
    if pack == "gz":
        stream = zlib.compressobj(9, wbits=31)
    else:
        stream = bz2.BZ2Compressor() if pack == "bz2" else lzma.LZMACompressor(preset=1)
    parts = [stream.compress(first)] + [stream.compress(unit) for _ in range(n_mib)]
    return (b"".join(parts) + stream.flush())[:SIZE_BYTES]


def _summed(head: bytes) -> bytes:
    return head[:148] + b"%06o\0 " % sum(head[:148] + b" " * 8 + head[156:]) + head[156:]


def long_records(rng: random.Random) -> bytes:
    """Hold a pax header of a megabyte: one long value, or a hundred thousand short ones; or sparse maps without end."""
    head = _tar({"a": b""})[:512]
    record = rng.choice((b"8 a=b\n\n\n", b"16 GNU.sparse.a=\n"[:16]))
    records = record * ((SIZE_BYTES - 2048) // len(record))
    if rng.random() < 0.3:
        block = bytes(504) + b"\1" + bytes(7)
        sparse = _summed(head[:156] + b"S" + head[157:482] + b"\1" + head[483:])
        return sparse + block * (SIZE_BYTES // 512 - 2)
    said = _summed(head[:124] + b"%011o\0" % len(records) + head[136:156] + b"x" + head[157:])
    return said + records + bytes(-len(records) % 512) + head + bytes(1024)


def big_members(rng: random.Random) -> bytes:
    """Hold members of 64 MiB of zeros each, in a zip, or pictures and volumes that begin like ones."""
    n_mib = rng.choice((16, 60, 63))
    begins = (
        b"",
        b"\x89PNG\r\n\x1a\n",
        nifti(np.zeros((8, 8, 2), dtype=np.uint8))[:352],
        bytes(128) + b"DICM",
        b"II*\0",
    )
    begin = rng.choice(begins)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number in range(min(6, 300 // n_mib)):
            archive.writestr(str(number), begin + bytes(n_mib * _MIB))
    return held.getvalue()


def overlapping_members(_: random.Random) -> bytes:
    """Name one member thousands of times."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(20 * _MIB))
    data = held.getvalue()
    at = data.index(b"PK\x01\x02")
    entry, end = data[at : at + 47], data.rindex(b"PK\x05\x06")
    count = min(65_535, (SIZE_BYTES - at) // len(entry))
    entries = b"".join(entry[:46] + bytes((33 + number % 90,)) for number in range(count))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), at, 0)
    assert end > at
    return data[:at] + entries + tail


def many_members(rng: random.Random) -> bytes:
    """Hold as many members as fit, or as many headers of a tar."""
    if rng.random() < 0.5:
        return (_tar({"a": b""})[:512] * (SIZE_BYTES // 512))[: -rng.choice((1, 512))]
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for number in range(SIZE_BYTES // 90):
            archive.writestr(zipfile.ZipInfo(f"{number:x}"), b"")
    return held.getvalue()


def overlapping_directories(_: random.Random) -> bytes:
    """Chain tens of thousands of TIFF directories of four thousand entries each that lie in one another."""
    cells = SIZE_BYTES // 6
    # of a directory at cell n the offset of the next stands 8192 cells and two bytes later
    step = (2 + 4096 * 12) // 6
    parts = [struct.pack("<HI", 4096, max(0, cell - step + 1) * 6 + 8) for cell in range(cells)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(parts)


def many_pages(rng: random.Random) -> bytes:
    """Hold tens of thousands of pages that share their pixels."""
    rows = rng.choice((1, 100, 4000))
    pixels = bytes(rows * 4)
    count = (SIZE_BYTES - 16 - len(pixels)) // 78
    data = bytearray(b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels)
    for number in range(count):
        following = 0 if number == count - 1 else len(data) + 78
        tags = ((256, 4), (257, rows), (258, 8), (262, 1), (273, 8), (279, rows * 4))
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        data += struct.pack("<H", 6) + entries + struct.pack("<I", following)
    return bytes(data)


def big_pictures(rng: random.Random) -> bytes:
    """Say a huge picture with nothing in it, with an end that is missing, or with rows that are."""
    side = rng.choice((3000, 9000, 13_000))
    colour = rng.choice((0, 2))
    if rng.random() < 0.3:
        stream = b"\xff\xd8\xff\xdb" + struct.pack(">HB64B", 67, 0, *[1] * 64)
        stream += b"\xff\xc0" + struct.pack(">HBHHB3B", 11, 8, side, side, 1, 1, 0x11, 0)
        stream += b"\xff\xc4" + struct.pack(">HB16B", 20, 0, 1, *[0] * 15) + b"\0"
        return (
            stream + b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, 0, 63, 0) + bytes(SIZE_BYTES // 4) + b"\xff\xd9"
        )
    row = bytes(1 + side * (3 if colour else 1))
    stream = zlib.compressobj(9)
    rows = b"".join(stream.compress(row) for _ in range(side - rng.choice((0, 1, side // 2)))) + stream.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, colour, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, held in chunks:
        data += struct.pack(">I", len(held)) + name + held + struct.pack(">I", zlib.crc32(name + held))
    return data[: len(data) - rng.choice((0, 13, 2000))]


def many_chunks(rng: random.Random) -> bytes:
    """Hold a hundred thousand empty parts of a picture, in PNG or JPEG."""
    if rng.random() < 0.5:
        one = struct.pack(">I", 0) + b"teXt" + struct.pack(">I", zlib.crc32(b"teXt"))
        head = struct.pack(">IIBBBBB", 20, 20, 8, 0, 0, 0, 0)
        begin = (
            b"\x89PNG\r\n\x1a\n"
            + struct.pack(">I", 13)
            + b"IHDR"
            + head
            + struct.pack(">I", zlib.crc32(b"IHDR" + head))
        )
        return _filled(begin, one)
    frame = b"\xff\xc0" + struct.pack(">HBHHB3B", 11, 8, 20, 20, 1, 1, 0x11, 0)
    return _filled(b"\xff\xd8" + frame, b"\xff\xfe\0\2")


def long_texts(rng: random.Random) -> bytes:
    """Write a header of text of a megabyte: lines, vectors, numbers, segments, or one word."""
    unit = rng.choice(
        (
            b"x%d: 1\n",
            b"Segment%d_LabelValue:=1\n",
            b"a:=b\n",
            b"space directions: " + b"(1,2,3) " * 50 + b"\n",
            b"((((",
        )
    )
    lines = b"".join(unit.replace(b"%d", b"%d" % number) for number in range(SIZE_BYTES // len(unit)))[:SIZE_BYTES]
    if unit == b"((((":
        lines = b"space directions: " + lines + b"\n"
    return nrrd(np.zeros((2, 8, 8), dtype=np.uint8), np.eye(4), lines=[lines.decode()])[: SIZE_BYTES + 1000]


def many_records(_: random.Random) -> bytes:
    """Name a file that is there twenty thousand times in a medium's directory."""
    one = directory(("ANY",))
    begin = one.index(struct.pack("<HHI", 0xFFFE, 0xE000, 0)[:4])
    record = one[begin:]
    size = len(record)
    count = (SIZE_BYTES - begin) // size
    (length,) = struct.unpack_from("<I", one, begin - 4)
    held = one[:begin] + record * count
    return held if length == 0xFFFFFFFF else held[: begin - 4] + struct.pack("<I", size * count) + held[begin:]


OTHER_BOMBS: Final[tuple[Bomb, ...]] = (
    packed_object,
    packed_volume,
    packed_text,
    many_streams,
    packed_tars,
    long_records,
    big_members,
    overlapping_members,
    many_members,
    overlapping_directories,
    many_pages,
    big_pictures,
    many_chunks,
    long_texts,
    many_records,
)
