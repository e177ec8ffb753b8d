"""Stored pixels to modality values in one pass: clear what is no stored bit, rescale, round once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def rescale(
    stored: NDArray[Any],
    /,
    *,
    bits_stored: int,
    high_bit: int,
    slope: float,
    intercept: float,
    out: NDArray[np.float32],
) -> None:
    """Write stored x slope + intercept, in float64 and rounded to float32 once.

    Parameters
    ----------
    stored : NumPy array of int8, uint8, int16 or uint16
        Pixels as they lie in a file; signed types for signed pixels.
    bits_stored, high_bit : int
        The stored bits are ``high_bit`` down to ``high_bit + 1 - bits_stored`` (DICOM PS3.5 8.1.1);
        what lies around them is dropped, and the sign is extended.
    slope, intercept : float
    out : NumPy array of float32, C-contiguous
        As many values as `stored`.
    """
    up = 31 - high_bit
    wide = np.int32 if stored.dtype.kind == "i" else np.uint32
    _rescale(stored.reshape(-1), wide(up), wide(32 - bits_stored), (slope, intercept), out.reshape(-1))


@njit(cache=True, nogil=True)
def _rescale(stored: NDArray[Any], up: Any, down: Any, scale: tuple[float, float], out: NDArray[np.float32]) -> None:
    # in the type of the shifts, which carries the sign or does not
    wide = type(up)
    slope, intercept = scale
    for place in range(stored.size):
        value = wide(wide(wide(stored[place]) << up) >> down)
        out[place] = np.float32(np.float64(value) * slope + intercept)
