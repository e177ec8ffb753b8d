"""Grey streams of lossy JPEG (processes 1 to 12), read by two codecs that must agree."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from imagecodecs import jpeg8_decode
from libjpeg.utils import decode

from medpipe.errors import Rejected

_MOST_LEVELS: Final = 2
"""What two sound codecs differ by at most: each may round its transform to either side (T.83)."""


def decode_dct(frame: bytes, *, rows: int, columns: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the samples of a grey stream on which two codecs agree to two grey levels.

    Raises
    ------
    Rejected
        ``E_CODEC_DISAGREE`` if they do not.
    """
    ours = np.asarray(decode(frame)).reshape(rows, columns, 1)
    theirs = np.asarray(jpeg8_decode(frame)).reshape(ours.shape)
    if np.abs(ours.astype(np.int64) - theirs).max() > _MOST_LEVELS:
        raise Rejected("E_CODEC_DISAGREE")
    return ours
