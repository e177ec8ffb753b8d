"""What a compressed image says of its own size, read before it is decoded."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

_START_OF_FRAME: Final = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN: Final = 0xDA
_MAX_MARKERS: Final = 1000
_JPEG: Final = b"\xff\xd8\xff"
_JPEG_2000: Final = b"\xff\x4f\xff\x51"
_JP2_BOX: Final = b"\0\0\0\x0cjP  "
_END: Final = b"\xff\xd9"
_LINES_LATER: Final = b"\xff\xdc\0\x04"


class StreamSize(NamedTuple):
    """What a stream says of its image.

    Attributes
    ----------
    rows, columns, components : int
    tiles : int
        The image is cut into.
    has_end : bool
        Whether the marker that ends an image is there: without it codecs fill up, or search on
        for seconds.
    """

    rows: int
    columns: int
    components: int
    tiles: int = 1
    has_end: bool = True


def stream_size(frame: bytes) -> StreamSize | None:
    """Return the size in a JPEG, JPEG-LS, JPEG 2000 or HTJ2K stream.

    None for another kind of stream (RLE), or one that does not say; T.81 B.2.2, T.87 C.2.2,
    T.800 A.5.1.
    """
    size = None
    # some writers leave the boxes of a JP2 file around the stream
    start = frame.find(_JPEG_2000) if frame[:8] == _JP2_BOX else 0
    if frame[:2] == _JPEG[:2]:
        size = _jpeg_size(frame)
    elif start >= 0 and frame[start : start + 4] == _JPEG_2000 and len(frame) >= start + 42:
        size = _jpeg_2000_size(frame, start + 8)
    return None if size is None else size._replace(has_end=frame.rfind(_END) >= 0)


def _jpeg_2000_size(frame: bytes, at: int) -> StreamSize:
    across, down, left, top, tile_across, tile_down, tile_left, tile_top, components = struct.unpack_from(
        ">IIIIIIIIH", frame, at
    )
    if not tile_across or not tile_down:
        return StreamSize(0, 0, components)
    tiles = -((tile_left - across) // tile_across) * -((tile_top - down) // tile_down)
    return StreamSize(down - top, across - left, components, tiles)


def _jpeg_size(frame: bytes) -> StreamSize | None:
    offset = 2
    for _ in range(_MAX_MARKERS):
        if offset + 10 > len(frame) or frame[offset] != 0xFF:
            return None
        marker = frame[offset + 1]
        if marker == 0xFF:
            offset += 1
        elif marker in _WITHOUT_LENGTH:
            offset += 2
        elif marker in _START_OF_FRAME:
            rows, columns, components = struct.unpack_from(">HHB", frame, offset + 5)
            return StreamSize(rows or _lines_said_later(frame, offset), columns, components)
        else:
            offset += 2 + struct.unpack_from(">H", frame, offset + 2)[0]
    return None


def scan_of(frame: bytes) -> tuple[int, int]:
    """Return the kind of a JPEG stream's frame (the second byte of its marker) and where its first scan begins.

    Zeros where it has none.
    """
    offset, kind = 2, 0
    for _ in range(_MAX_MARKERS):
        if offset + 4 > len(frame) or frame[offset] != 0xFF:
            break
        marker = frame[offset + 1]
        if marker == _SCAN:
            return kind, offset
        if marker in _START_OF_FRAME:
            kind = marker
        if marker == 0xFF:
            offset += 1
        else:
            offset += 2 if marker in _WITHOUT_LENGTH else 2 + struct.unpack_from(">H", frame, offset + 2)[0]
    return 0, 0


def _lines_said_later(frame: bytes, offset: int) -> int:
    """Return the rows of a DNL marker (T.81 B.2.5), 0 without one: then a codec looks for lines for ever."""
    at = frame.find(_LINES_LATER, offset)
    return int(struct.unpack_from(">H", frame, at + 4)[0]) if 0 <= at <= len(frame) - 6 else 0


def begins_stream(fragment: bytes) -> bool:
    """Tell whether a fragment is the beginning of a JPEG, JPEG-LS or JPEG 2000 stream, bare or in a JP2 box."""
    return fragment.startswith((_JPEG, _JPEG_2000, _JP2_BOX))
