"""Grey streams of lossy JPEG (processes 1 to 12), read by two codecs that must agree.

The scan of a sequential stream has all 64 coefficients and must say so (T.81 B.2.3). Some writers
leave the last one at 0, as in the lossless process. One codec does not look at it, the other refuses
it: what the first reads is given, and held against what the second reads where 63 is put there.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from imagecodecs import jpeg8_decode
from libjpeg.utils import decode

from medpipe.archive.codestream import scan_of
from medpipe.errors import Rejected

_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
_SCAN: Final = b"\xff\xda\0\x08\x01"
_MOST_LEVELS: Final = 2
"""What two sound codecs differ by at most: each may round its transform to either side (T.83)."""


def decode_dct(frame: bytes, *, rows: int, columns: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the samples of a grey stream on which two codecs agree to two grey levels.

    Raises
    ------
    Rejected
        ``E_CODEC_DISAGREE`` if they do not.
    """
    mended = _with_all_coefficients(frame)
    ours = np.asarray(decode(mended)).reshape(rows, columns, 1)
    theirs = np.asarray(jpeg8_decode(frame)).reshape(ours.shape)
    if np.abs(ours.astype(np.int64) - theirs).max() > _MOST_LEVELS:
        raise Rejected("E_CODEC_DISAGREE")
    return ours if mended is frame else theirs


def _with_all_coefficients(frame: bytes) -> bytes:
    """Return a sequential stream of one component with 63 for the last coefficient of its scan where that is 0."""
    kind, at = scan_of(frame)
    scan = frame[at : at + len(_SCAN) + 5]
    # length and number of components, its name and tables, first and last coefficient, approximation
    if kind not in _SEQUENTIAL or not scan.startswith(_SCAN) or scan[-3:] != b"\0\0\0":
        return frame
    return frame[: at + len(scan) - 2] + b"\x3f" + frame[at + len(scan) - 1 :]
