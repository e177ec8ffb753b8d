"""Pixels that lie in a file as they are: no codec, no parser, only an offset."""

from __future__ import annotations

from typing import Final

import numpy as np

from medpipe.archive.gate import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from medpipe.archive.header import Header
from medpipe.archive.padding import is_beyond
from medpipe.archive.pixels import Pixels

_LITTLE: Final = frozenset({EXPLICIT_LITTLE, IMPLICIT_LITTLE})
_TYPES: Final = {(8, False): "u1", (8, True): "i1", (16, False): "<u2", (16, True): "<i2"}


def is_native(header: Header) -> bool:
    """Tell whether a file's pixels are whole numbers of 8 or 16 bits that need no decoding.

    These are greyscale, uncompressed, little endian, as many as the header declares (and one
    byte that makes them even), go through no table, and have no padding beyond their stored bits.
    """
    need = header.native_bytes
    return (
        not header.code
        and header.transfer_syntax in _LITTLE
        and header.pixel_keyword == "PixelData"
        and header.n_fragments < 0
        and header.samples == 1
        and header.bits_allocated in {8, 16}
        and header.photometric != "PALETTE COLOR"
        and not (header.has_table or header.is_segmentation)
        and not is_beyond(header.padding, bits_stored=header.bits_stored, signed=header.signed)
        and header.pixel_bytes in {need, need + need % 2}
        and header.pixel_offset > 0
    )


def native_frames(header: Header, data: bytes | memoryview) -> Pixels:
    """Return the frames of a file for which :func:`is_native`, without a copy.

    Parameters
    ----------
    header : Header
        Of this very file.
    data : bytes or memoryview
        The whole file.

    Returns
    -------
    array of int8, uint8, int16 or uint16 (frames, rows, columns)
        Bits that are not stored bits are as they lie in the file.
    """
    kind = _TYPES[header.bits_allocated, header.signed]
    n_pixels = header.n_frames * header.rows * header.columns
    found = np.frombuffer(data, dtype=kind, count=n_pixels, offset=header.pixel_offset)
    return found.reshape(header.n_frames, header.rows, header.columns)
