"""The size a compressed image says it has, read before it is decoded."""

from __future__ import annotations

import struct
from typing import Final

_START_OF_FRAME: Final = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_MAX_MARKERS: Final = 1000


def stream_size(frame: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K stream.

    None for another kind of stream (RLE), or one that does not say; T.81 B.2.2, T.87 C.2.2,
    T.800 A.5.1.
    """
    if frame[:2] == b"\xff\xd8":
        return _jpeg_size(frame)
    if frame[:4] == b"\xff\x4f\xff\x51" and len(frame) >= 24:
        across, down, left, top = struct.unpack_from(">IIII", frame, 8)
        return down - top, across - left
    return None


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    offset = 2
    for _ in range(_MAX_MARKERS):
        if offset + 9 > len(frame) or frame[offset] != 0xFF:
            return None
        marker = frame[offset + 1]
        if marker == 0xFF:
            offset += 1
        elif marker in _WITHOUT_LENGTH:
            offset += 2
        elif marker in _START_OF_FRAME:
            rows, columns = struct.unpack_from(">HH", frame, offset + 5)
            # zero rows: a later marker gives them
            return (rows, columns) if rows else None
        else:
            offset += 2 + struct.unpack_from(">H", frame, offset + 2)[0]
    return None


def begins_stream(fragment: bytes) -> bool:
    """Tell whether a fragment is the beginning of a JPEG, JPEG-LS or JPEG 2000 stream, bare or in a JP2 box."""
    return fragment.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  "))
