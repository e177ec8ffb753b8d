"""PNG, JPEG and TIFF: grey and colour pictures without a place.

Their resolution is one of print or display, so no spacing is taken from it. What a file asks of
its display (turned, with a profile) is not done to the pixels.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, Final

import numpy as np

from medpipe.archive.codestream import stream_size
from medpipe.archive.header import Header
from medpipe.archive.limits import MAX_DECODED_BYTES, MAX_SIDE
from medpipe.archive.other.tags import Page, begins_like_tiff, pages
from medpipe.errors import Rejected

Array = np.ndarray[Any, np.dtype[Any]]
Picture = Any
"""An image of Pillow, which is loaded by who decodes one."""

Json = dict[str, Any]

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_MOST_PIXELS: Final = 2 * 89_478_485
"""Pixels beyond which Pillow takes a picture for a bomb."""
_FREE_BYTES: Final = 64 << 20
_RATIO: Final = 32
_MOST_JPEG_RATIO: Final = 512
"""Samples that a byte of a JPEG stream can hold at most: a block of 64 takes a bit."""
_FREE_PAGES: Final = 4096
_PAGE_BYTES: Final = 4096
_MOST_CHUNKS: Final = 1000
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 259, 262, 274
_SAMPLES, _TILE_WIDTH, _SUB_IFDS, _SAMPLE_FORMAT = 277, 322, 330, 339
_COMPRESSIONS: Final = frozenset({1, 5, 8, 32773, 32946})
"""None, LZW, deflate (two numbers), PackBits: those that lose nothing."""


def is_png(head: bytes) -> bool:
    """Tell whether a file begins like PNG, with the size of its picture."""
    return head[:8] == _PNG and head[12:16] == b"IHDR" and len(head) >= 33


def is_jpeg(head: bytes) -> bool:
    """Tell whether a file begins like JPEG and says the size of its picture."""
    return head[:3] == b"\xff\xd8\xff" and stream_size(head) is not None


def describe_png(head: bytes, size: int) -> Json:
    """Return the fields of a header that a PNG file gives; raises ``Rejected``."""
    columns, rows, bits, colour = struct.unpack_from(">IIBB", head, 16)
    # colour type 2: RGB, 3: palette, 6: RGB with alpha, 0 and 4: grey without and with alpha
    is_colour = colour in {2, 3, 6}
    if colour not in {0, 2, 3, 4, 6} or (colour != 3 and bits not in {8, 16} and (colour, bits) != (0, 1)):
        raise Rejected("E_FORMAT")
    # 16 bits of a colour would lose the lower 8, of an animation all pictures but one be lost
    if (colour in {2, 4, 6} and bits == 16) or _is_animated(head):
        raise Rejected("E_FORMAT")
    return _picture(rows, columns, is_colour=is_colour, bits=16 if bits == 16 else 8, size=size)


def describe_jpeg(head: bytes, size: int) -> Json:
    """Return the fields of a header that a JPEG file gives; raises ``Rejected``."""
    found = stream_size(head)
    if found is None or found.components not in {1, 3}:
        raise Rejected("E_FORMAT")
    if found.rows * found.columns > _MOST_JPEG_RATIO * size:
        raise Rejected("E_DIMENSIONS")
    fields = _picture(found.rows, found.columns, is_colour=found.components == 3, bits=8, size=size)
    notes = ("W_TURNED",) if _exif_orientation(head) > 1 else ()
    return {**fields, "lossy": True, "notes": notes}


def describe_tiff(data: bytes, size: int) -> Json:
    """Return the fields of a header that a TIFF file gives, all of it; raises ``Rejected``."""
    if data[:4] == b"MM\0+":
        # Pillow reads files of 64-bit offsets in one byte order only
        raise Rejected("E_FORMAT")
    found = pages(data)
    if not found:
        raise Rejected("E_HEADER")
    forms = {_form(page) for page in found}
    if any(_TILE_WIDTH in page for page in found) and (len(forms) > 1 or any(_SUB_IFDS in page for page in found)):
        raise Rejected("S_WHOLE_SLIDE")
    # Pillow turns pages as they ask for it, which would be done silently
    if len(forms) > 1 or any(_first(page, _ORIENTATION, 1) != 1 for page in found):
        raise Rejected("E_FORMAT")
    rows, columns, samples, bits, kind, photometric = forms.pop()
    is_plain = photometric == 1 and samples == 1 and (bits, kind) in {(8, 1), (16, 1), (32, 3)}
    is_colour = photometric in {2, 3} and samples == (3 if photometric == 2 else 1) and (bits, kind) == (8, 1)
    if not (is_plain or is_colour) or any(_first(page, _COMPRESSION, 1) not in _COMPRESSIONS for page in found):
        raise Rejected("E_FORMAT")
    if len(found) > _FREE_PAGES + size // _PAGE_BYTES:
        raise Rejected("E_FRAME_COUNT")
    fields = _picture(rows, columns, is_colour=is_colour, bits=bits, size=size, n_frames=len(found))
    if fields["pixel_bytes"] > size and all(_first(page, _COMPRESSION, 1) == 1 for page in found) and photometric != 3:
        raise Rejected("E_TRUNCATED")
    return {**fields, **({"pixel_keyword": "FloatPixelData"} if kind == 3 else {})}


def is_tiff(head: bytes) -> bool:
    """Tell whether a file begins like TIFF."""
    return begins_like_tiff(head)


def decode_picture(header: Header, data: bytes) -> Array:
    """Return the frames of a picture, (frames, rows, columns) or (frames, rows, columns, 3), as stored.

    Raises
    ------
    Rejected
        ``E_FORMAT`` if it is see-through somewhere, ``E_DIMENSIONS`` if it is of another size than
        its header, ``E_TRUNCATED`` for a JPEG stream without its end; else Pillow's own errors.
    """
    from PIL import Image

    if header.format == "jpeg":
        found = stream_size(data)
        if found is None or not found.has_end:
            raise Rejected("E_TRUNCATED")
    with Image.open(BytesIO(data), formats=[header.format.upper()]) as image:
        frames = [_frame(image, place, header) for place in range(header.n_frames)]
    return np.stack(frames)


def _frame(image: Picture, place: int, header: Header) -> Array:
    if place or header.n_frames > 1:
        image.seek(place)
    if image.size != (header.columns, header.rows):
        raise Rejected("E_DIMENSIONS")
    image.load()
    shown = image
    if "A" in image.getbands() or "transparency" in image.info:
        shown = image.convert("RGBA" if header.samples == 3 else "LA")
        if shown.getchannel("A").getextrema()[0] != 255:
            raise Rejected("E_FORMAT")
    if header.samples == 3 and shown.mode != "RGB":
        shown = shown.convert("RGB")
    elif header.samples == 1 and shown.mode == "LA":
        shown = shown.getchannel("L")
    pixels = np.asarray(shown)
    return pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels


def _picture(rows: int, columns: int, *, is_colour: bool, bits: int, size: int, n_frames: int = 1) -> Json:
    samples = 3 if is_colour else 1
    n_bytes = rows * columns * samples * n_frames * bits // 8
    sides = 0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE and rows * columns <= _MOST_PIXELS
    if not sides or n_bytes > min(MAX_DECODED_BYTES, _FREE_BYTES + _RATIO * size):
        raise Rejected("E_DIMENSIONS")
    return {
        "rows": rows,
        "columns": columns,
        "samples": samples,
        "bits_allocated": bits,
        "bits_stored": bits,
        "high_bit": bits - 1,
        "photometric": "RGB" if is_colour else "MONOCHROME2",
        "n_frames": n_frames,
        "pixel_keyword": "PixelData",
        "pixel_bytes": n_bytes,
    }


def _form(page: Page) -> tuple[int, int, int, int, int, int]:
    """Return what pages of one stack have in common: rows, columns, samples, bits, kind of number, photometric."""
    bits = set(page.get(_BITS, (1,)))
    return (
        _first(page, _LENGTH, 0),
        _first(page, _WIDTH, 0),
        _first(page, _SAMPLES, 1),
        bits.pop() if len(bits) == 1 else 0,
        _first(page, _SAMPLE_FORMAT, 1),
        _first(page, _PHOTOMETRIC, -1),
    )


def _first(page: Page, tag: int, default: int) -> int:
    return page.get(tag, (default,))[0]


def _is_animated(head: bytes) -> bool:
    """Tell whether a chunk before the pixels says that there are several pictures (APNG)."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(head) or head[at + 4 : at + 8] == b"IDAT":
            return False
        if head[at + 4 : at + 8] == b"acTL":
            return True
        at += 12 + struct.unpack_from(">I", head, at)[0]
    return False


def _exif_orientation(head: bytes) -> int:
    """Return how a JPEG picture asks to be turned: 1, or nothing said, is as stored."""
    at = 2
    for _ in range(_MOST_CHUNKS):
        if at + 4 > len(head) or head[at] != 0xFF or head[at + 1] in {0xD9, 0xDA}:
            return 1
        length = struct.unpack_from(">H", head, at + 2)[0]
        if head[at + 1] == 0xE1 and head[at + 4 : at + 10] == b"Exif\0\0":
            exif = head[at + 10 : at + 2 + length]
            try:
                found = pages(exif, most=1) if begins_like_tiff(exif) else []
            except Rejected:
                return 1
            return _first(found[0], _ORIENTATION, 1) if found else 1
        at += 2 + length
    return 1
