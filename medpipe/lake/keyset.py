"""Millions of keys in little memory: enough to tell what is not among them."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

_DIGITS = 16


class KeySet:
    """A set of hexadecimal keys, of which the first 64 bits are held.

    Two keys with the same first 64 bits are taken for one. So a key may seem to be in the set
    that is not; one that is in it is always found.
    """

    def __init__(self) -> None:
        self._fresh = array("Q")
        self._sorted: np.ndarray[Any, np.dtype[np.uint64]] = np.empty(0, dtype=np.uint64)

    def add(self, key: str) -> None:
        """Take a key in."""
        self._fresh.append(int(key[:_DIGITS], 16))
        if len(self._fresh) > max(1 << 16, len(self._sorted)):
            self._settle()

    def __contains__(self, key: object) -> bool:
        """Tell whether a key was taken in."""
        if not isinstance(key, str):
            return False
        self._settle()
        number = np.uint64(int(key[:_DIGITS], 16))
        place = int(np.searchsorted(self._sorted, number))
        return place < len(self._sorted) and bool(self._sorted[place] == number)

    def __len__(self) -> int:
        self._settle()
        return len(self._sorted)

    def _settle(self) -> None:
        if self._fresh:
            fresh = np.frombuffer(self._fresh, dtype=np.uint64)
            self._sorted = np.union1d(self._sorted, fresh)
            self._fresh = array("Q")
