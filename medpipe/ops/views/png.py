"""Grey pictures as PNG, to the same bytes on every host.

ISO/IEC 15948. What a compressor makes of a picture depends on its version, and equal keys must
mean equal bytes; so the pixels are stored as they are (deflate's stored blocks, RFC 1951 3.2.4).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_STORED = 0xFFFF
_NO_FILTER = 0
_MOST_PER_METRE = 0x7FFFFFFF


def png_bytes(grey: NDArray[np.uint8], /, *, pixel_mm: float | None = None) -> bytes:
    """Return a picture of grey levels as PNG.

    Parameters
    ----------
    grey : array of uint8 (rows, columns)
    pixel_mm : float, optional
        Edge of a pixel, which is square; told as pixels for a metre, unless they are more than can be told.
    """
    rows, columns = grey.shape
    lines = np.empty((rows, columns + 1), np.uint8)
    lines[:, 0] = _NO_FILTER
    lines[:, 1:] = grey
    head = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    per_metre = 0.0 if pixel_mm is None else 1000.0 / pixel_mm
    is_told = pixel_mm is not None and per_metre <= _MOST_PER_METRE
    size = _chunk(b"pHYs", struct.pack(">IIB", *[round(per_metre)] * 2, 1)) if is_told else b""
    return _SIGNATURE + _chunk(b"IHDR", head) + size + _chunk(b"IDAT", _stored(lines.tobytes())) + _chunk(b"IEND", b"")


def _stored(data: bytes) -> bytes:
    parts = [b"\x78\x01"]
    for start in range(0, len(data), _MOST_STORED):
        part = data[start : start + _MOST_STORED]
        is_last = start + _MOST_STORED >= len(data)
        parts.append(struct.pack("<BHH", is_last, len(part), len(part) ^ 0xFFFF) + part)
    return b"".join([*parts, struct.pack(">I", zlib.adler32(data))])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
