"""What pixel data must be like before a codec sees it: sizes, counts, syntaxes."""

from __future__ import annotations

from typing import Final

from medpipe.archive.gate import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

MAX_SIDE: Final = 65_535
MAX_DECODED_BYTES: Final = 8 << 30
_MAX_RLE_RATIO: Final = 64
_RATIO_FREE_BYTES: Final = 256 << 20
_MAX_RATIO: Final = 20_000

NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED})
RLE: Final = "1.2.840.10008.1.2.5"
PLUGINS: Final[dict[str, str]] = {
    "1.2.840.10008.1.2.4.50": "pylibjpeg",
    "1.2.840.10008.1.2.4.51": "pylibjpeg",
    "1.2.840.10008.1.2.4.57": "pylibjpeg",
    "1.2.840.10008.1.2.4.70": "pylibjpeg",
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
    known = transfer_syntax in NATIVE or transfer_syntax in PLUGINS
    if not known or (transfer_syntax == RLE and bits_allocated == 1):
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
    ratio = _MAX_RLE_RATIO if transfer_syntax == RLE else _MAX_RATIO
    if need > _RATIO_FREE_BYTES + ratio * pixel_bytes:
        return "E_DIMENSIONS"
    return ""
