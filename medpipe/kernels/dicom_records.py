"""What a pass over a DICOM head notes down: records of elements, and keys of what slices have alike."""

from __future__ import annotations

import numpy as np
from numba import njit

from medpipe.kernels.dicom_bytes import Bytes, Integer, Integers

TAG, TYPE, AT, LENGTH, PARENT = range(5)
"""Columns of a record: place in the wanted tags (-1: an item), type as a number, offset, bytes, record it is in."""

_MOST_VALUE_BYTES = 4096


@njit(cache=True, nogil=True)
def is_within(end: Integer, size: Integer, around: Integer) -> Integer:
    """Tell whether what ends here (-1: with a delimiter) ends within the file and what is around it."""
    return end <= size and (around < 0 or end <= around)


@njit(cache=True, nogil=True)
def record(  # noqa: PLR0917
    records: Integers, row: Integer, place: Integer, kind: Integer, at: Integer, length: Integer, parent: Integer
) -> Integer:
    """Write a record; return its place, or -1 where there is no room."""
    if row >= records.shape[0]:
        return -1
    records[row, TAG], records[row, TYPE], records[row, AT] = place, kind, at
    records[row, LENGTH], records[row, PARENT] = length, parent
    return row


@njit(cache=True, nogil=True)
def added(  # noqa: PLR0917
    key: Bytes, used: Integer, place: Integer, kind: Integer, data: Bytes, at: Integer, length: Integer
) -> Integer:
    """Add an element to a key; return the bytes that are used now, or -1 once it does not fit."""
    if used < 0 or length > _MOST_VALUE_BYTES or used + length + 6 > key.size:
        return np.int64(-1)
    for i, number in enumerate((place, kind, length)):
        key[used + 2 * i], key[used + 2 * i + 1] = number & 255, number >> 8
    for i in range(length):
        key[used + 6 + i] = data[at + i]
    return used + 6 + length
