"""Padding: which values of an image its header says were never measured (PS3.3 C.7.5.1.1.2).

The voxels keep those values, as the readers this package is held against do; the range is
recorded beside them. A value that the stored bits cannot be is never cut down to one that they
can: pixels that have it in all their allocated bits keep it, others are none of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from medpipe.archive.elements import integer, number

_FLOATS: Final = (
    ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
)


def read_padding(dataset: Any) -> tuple[float, ...]:
    """Return the lowest and highest stored value that is padding, as decoding gives it; empty without any.

    The element's type may have the other sign than the pixels, and its sign may end with the
    stored bits: its bits are what is meant. What fits the stored bits in neither way is the value
    of the allocated bits.
    """
    for first, last in _FLOATS:
        value = number(dataset, first)
        if value is not None:
            return _ordered(value, number(dataset, last))
    value = integer(dataset, "PixelPaddingValue")
    if value is None:
        return ()
    limit = integer(dataset, "PixelPaddingRangeLimit")
    allocated = integer(dataset, "BitsAllocated") or 0
    stored = integer(dataset, "BitsStored") or allocated
    signed = integer(dataset, "PixelRepresentation") == 1
    return _ordered(
        *(None if one is None else _stored(one, allocated, stored, signed=signed) for one in (value, limit))
    )


def is_beyond(padding: tuple[float, ...], *, bits_stored: int, signed: bool) -> bool:
    """Tell whether padding has values that the stored bits cannot be."""
    low, high = stored_limits(bits_stored, signed=signed)
    return bool(padding) and not low <= padding[0] <= padding[1] <= high


def padding_values(
    stored: Sequence[tuple[float, ...]], scales: Sequence[tuple[float, float]]
) -> tuple[float | None, ...] | None:
    """Return what padding becomes in the array.

    Parameters
    ----------
    stored : sequence of tuple
        Of each frame, what :func:`read_padding` says.
    scales : sequence of (float, float)
        Of each frame, slope and intercept.

    Returns
    -------
    tuple of (float or None) or None
        Lowest and highest value where all frames agree, else a pair for each frame; None
        where no frame has padding.
    """
    pairs = [_rescaled(one, *scale) for one, scale in zip(stored, scales, strict=True)]
    if len(set(pairs)) == 1:
        return pairs[0] if pairs[0] != (None, None) else None
    return tuple(value for pair in pairs for value in pair)


def _rescaled(stored: tuple[float, ...], slope: float, intercept: float) -> tuple[float | None, float | None]:
    if not stored:
        return None, None
    low, high = sorted(value * slope + intercept for value in stored)
    # what is beyond any number is no value of an image: its voxels are refused
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _ordered(value: float | None, limit: float | None) -> tuple[float, ...]:
    assert value is not None
    other = value if limit is None else limit
    return float(min(value, other)), float(max(value, other))


def _stored(value: int, allocated: int, stored: int, *, signed: bool) -> int:
    if not 0 < stored <= allocated <= 64:
        return value
    low, high = stored_limits(allocated, signed=signed)
    if -(1 << allocated - 1) <= value < low:
        value += 1 << allocated
    elif high < value < 1 << allocated:
        value -= 1 << allocated
    # a negative one without its sign in the bits above the stored ones
    return value - (1 << stored) if signed and 1 << stored - 1 <= value < 1 << stored else value


def stored_limits(bits: int, *, signed: bool) -> tuple[int, int]:
    """Return the least and the greatest value of so many bits."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
