"""What pixel data must be like before a codec sees it: sizes, counts, syntaxes."""

from __future__ import annotations

from typing import Final

from medpipe.archive.codestream import StreamSize
from medpipe.archive.gate import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

MAX_SIDE: Final = 65_535
MAX_DECODED_BYTES: Final = 8 << 30
_RATIO_FREE_BYTES: Final = 256 << 20
_MAX_RATIO: Final = 20_000
_FREE_SAMPLES: Final = 32 << 20
_SAMPLES_PER_BYTE: Final = 40
_LEAST_TILE_PIXELS: Final = 1024

NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED})
RLE: Final = "1.2.840.10008.1.2.5"
LOSSLESS_JPEG: Final = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
_BASELINE: Final = "1.2.840.10008.1.2.4.50"
_RETIRED: Final = frozenset({"1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"})
GREY_JPEG: Final = frozenset({_BASELINE, "1.2.840.10008.1.2.4.51", *_RETIRED})
"""Syntaxes of lossy JPEG, of which grey images are read by two codecs."""

PLUGINS: Final[dict[str, str]] = {
    _BASELINE: "pylibjpeg",
    "1.2.840.10008.1.2.4.51": "pylibjpeg",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg",
    RLE: "pylibjpeg",
}
"""The codec of each transfer syntax: one, named, so that every host decodes alike."""

ENCAPSULATED: Final = frozenset({*PLUGINS, *LOSSLESS_JPEG, *GREY_JPEG})
"""Compressed syntaxes there is a decoder for."""

_WAVELETS: Final = frozenset(f"1.2.840.10008.1.2.4.{last}" for last in (90, 91, 201, 202, 203))
_COLOURS: Final = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422"})
_WAVELET_COLOURS: Final = frozenset({"YBR_ICT", "YBR_RCT"})

_HELD_AT_MOST: Final[dict[str, int]] = {
    RLE: 64,
    **dict.fromkeys(GREY_JPEG, 2048),
    **dict.fromkeys(LOSSLESS_JPEG, 64),
}
"""Bytes of pixels that a byte can hold at most: a run of 128 takes 2 bytes; a Huffman code has a bit at least, a
block of 64 samples two of them (half of that where a scan has only the mean), a lossless sample one."""


def colours_of(transfer_syntax: str) -> frozenset[str]:
    """Return the colour spaces that become RGB in a syntax; of others the numbers would pass for colours."""
    return _COLOURS | _WAVELET_COLOURS if transfer_syntax in _WAVELETS else _COLOURS


def is_read_twice(transfer_syntax: str, samples: int) -> bool:
    """Tell whether two decoders must agree on images of a syntax with so many samples a pixel."""
    return transfer_syntax in LOSSLESS_JPEG or (transfer_syntax in GREY_JPEG and samples == 1)


def decoded_bytes(
    *, rows: int, columns: int, samples: int, bits_allocated: int, n_frames: int, photometric: str
) -> int:
    """Return the bytes native pixel data of these dimensions takes (PS3.5 8.1)."""
    bits = rows * columns * samples * n_frames * bits_allocated
    if photometric == "YBR_FULL_422":
        bits = bits * 2 // 3
    return (bits + 7) // 8


def check_pixels(
    *,
    rows: int,
    columns: int,
    samples: int,
    bits_allocated: int,
    n_frames: int,
    photometric: str,
    transfer_syntax: str,
    pixel_bytes: int,
    n_fragments: int,
) -> str:
    """Return the reason these pixels must not be decoded, or an empty string."""
    sides = 0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE
    if not sides or samples not in {1, 3} or bits_allocated not in {1, 8, 16, 32, 64}:
        return "E_DIMENSIONS"
    known = transfer_syntax in NATIVE or transfer_syntax in ENCAPSULATED
    in_bits = bits_allocated == 1 and (transfer_syntax == RLE or is_read_twice(transfer_syntax, samples))
    if not known or in_bits or (transfer_syntax in _RETIRED and samples != 1):
        return "E_UNSUPPORTED_TS"
    need = decoded_bytes(
        rows=rows,
        columns=columns,
        samples=samples,
        bits_allocated=bits_allocated,
        n_frames=n_frames,
        photometric=photometric,
    )
    if need > MAX_DECODED_BYTES:
        return "E_DIMENSIONS"
    if transfer_syntax in NATIVE:
        return "E_TRUNCATED" if pixel_bytes < need else ""
    return _check_encapsulated(need, n_frames, transfer_syntax, pixel_bytes, n_fragments)


def _check_encapsulated(need: int, n_frames: int, transfer_syntax: str, pixel_bytes: int, n_fragments: int) -> str:
    if n_fragments < n_frames:
        return "E_FRAME_COUNT"
    held = _HELD_AT_MOST.get(transfer_syntax)
    most = _RATIO_FREE_BYTES + _MAX_RATIO * pixel_bytes if held is None else held * pixel_bytes
    return "E_DIMENSIONS" if need > most else ""


def check_stream(
    found: StreamSize | None, *, rows: int, columns: int, samples: int, transfer_syntax: str, stream_bytes: int
) -> str:
    """Return the reason the stream of a frame must not be decoded, or an empty string.

    Parameters
    ----------
    found : StreamSize or None
        What the stream says of itself.
    rows, columns, samples : int
        What the header says.
    transfer_syntax : str
    stream_bytes : int
    """
    if transfer_syntax == RLE:
        return ""
    if found is None:
        return "E_CODEC_ERROR"
    if (found.rows, found.columns, found.components) != (rows, columns, samples):
        return "E_DIMENSIONS"
    if not found.has_end:
        return "E_TRUNCATED"
    # codecs make room for a whole frame, 32 bits a sample and tables for each tile, before they decode one
    most = max(_FREE_SAMPLES, _SAMPLES_PER_BYTE * stream_bytes)
    has_tiny_tiles = found.tiles > 1 and found.tiles * _LEAST_TILE_PIXELS > rows * columns
    return "E_DIMENSIONS" if rows * columns * samples > most or has_tiny_tiles else ""
