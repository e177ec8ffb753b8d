"""Numbers, tags and types in the bytes of a DICOM file, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Integer = Any
"""An integer of Python or of the compiled code."""

LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
"""Types whose length has four bytes (PS3.5 7.1.2)."""

SHORT = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
    *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
)
"""Types whose length has two bytes."""

UNDEFINED = 0xFFFFFFFF
"""Length of what ends with a delimiter."""

LITTLE = False
"""The order of bytes of what is always written with the lowest first."""

_FIRST_LETTER, _LETTERS = 65, 26


def type_number(letters: str) -> int:
    """Return a type's two letters as the number that :func:`u16` reads."""
    return int.from_bytes(letters.encode("ascii"), "little")


def _length_table() -> Bytes:
    found = np.zeros(_LETTERS * _LETTERS, np.uint8)
    for names, n_bytes in ((LONG, 4), (SHORT, 2)):
        for name in names:
            first, second = (ord(letter) - _FIRST_LETTER for letter in name)
            found[_LETTERS * first + second] = n_bytes
    return found


_LENGTH_BYTES = _length_table()


@njit(cache=True, nogil=True)
def u16(data: Bytes, at: Integer, big: Integer) -> Integer:
    """Return the unsigned integer in two bytes, the highest first if ``big``."""
    first, second = np.int64(data[at]), np.int64(data[at + 1])
    return first << 8 | second if big else first | second << 8


@njit(cache=True, nogil=True)
def u32(data: Bytes, at: Integer, big: Integer) -> Integer:
    """Return the unsigned integer in four bytes."""
    first, second = u16(data, at, big), u16(data, at + 2, big)
    return first << 16 | second if big else first | second << 16


@njit(cache=True, nogil=True)
def tag_at(data: Bytes, at: Integer, big: Integer) -> Integer:
    """Return group and element as one number."""
    return u16(data, at, big) << 16 | u16(data, at + 2, big)


@njit(cache=True, nogil=True)
def length_bytes(kind: Integer) -> Integer:
    """Return of how many bytes the length of a type is, or 0 for what is no type."""
    first, second = (kind & 255) - _FIRST_LETTER, (kind >> 8) - _FIRST_LETTER
    are_letters = 0 <= first < _LETTERS and 0 <= second < _LETTERS
    return np.int64(_LENGTH_BYTES[_LETTERS * first + second]) if are_letters else np.int64(0)


@njit(cache=True, nogil=True)
def are_letters(kind: Integer) -> Integer:
    """Tell whether two bytes are capital letters."""
    return 0 <= (kind & 255) - _FIRST_LETTER < _LETTERS and 0 <= (kind >> 8) - _FIRST_LETTER < _LETTERS


@njit(cache=True, nogil=True)
def are_equal(data: Bytes, at: Integer, other_at: Integer, length: Integer) -> Integer:
    """Tell whether the same bytes are at two places."""
    same = True
    for i in range(length):
        same = same and data[at + i] == data[other_at + i]
    return same


@njit(cache=True, nogil=True)
def says(data: Bytes, at: Integer, length: Integer, text: tuple[int, ...]) -> Integer:
    """Tell whether a value is a text, but for the zeros and blanks that fill it up."""
    while length > 0 and (data[at + length - 1] == 0 or data[at + length - 1] == 32):
        length -= 1
    if length != len(text):
        return False
    same = True
    for i in range(length):
        same = same and data[at + i] == text[i]
    return same


@njit(cache=True, nogil=True)
def place_of(known: Integers, value: Integer) -> Integer:
    """Return the place of a number among ascending ones, or -1."""
    place = np.searchsorted(known, value)
    return place if place < known.size and known[place] == value else np.int64(-1)
