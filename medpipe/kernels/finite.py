"""Whether values are numbers, told in one pass that takes no memory."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of

_EXPONENT = np.uint32(0x7F800000)
"""Bits that are all set in what is no finite float32."""


def is_finite(x: Array, /) -> bool:
    """Tell whether no value of an array is NaN or infinite.

    Parameters
    ----------
    x : array of any real type and shape
    """
    if isinstance(x, np.ndarray) and x.dtype == np.float32 and x.flags.c_contiguous:
        return bool(_count_unfinite(x.reshape(-1).view(np.uint32)) == 0)
    return bool(backend_of(x).xp.isfinite(x).all())


@njit(cache=True, nogil=True)
def _count_unfinite(bits: NDArray[np.uint32]) -> int:
    # counted to the end: a loop that may stop early is not vectorised
    count = 0
    for place in range(bits.size):
        count += (bits[place] & _EXPONENT) == _EXPONENT
    return count
