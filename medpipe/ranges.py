"""Ranges of keys: how index, results and tables are cut so that no step holds them whole.

The first four digits of a series key come from its study, those of a volume key from its
series. So the series of a study, their volumes and all that was computed of them lie in one
range, and a range can be planned, checked and published by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

RANGE_DIGITS = 4
"""Leading hexadecimal digits of a key that say where it lies."""

MOST_BITS = 4 * RANGE_DIGITS

RANGE_VOLUMES = 1024
"""Volumes a range holds at most, on average."""


class Range(NamedTuple):
    """One of ``2 ** bits`` equal ranges of keys, counted from 0 in the order of keys."""

    bits: int
    number: int

    @property
    def low(self) -> str:
        """First digits of the least key in the range."""
        return f"{self.number << (MOST_BITS - self.bits):0{RANGE_DIGITS}x}"

    @property
    def high(self) -> str:
        """First digits of the greatest key in the range."""
        return f"{((self.number + 1) << (MOST_BITS - self.bits)) - 1:0{RANGE_DIGITS}x}"

    @property
    def name(self) -> str:
        """Both ends, such as ``4000-7fff``."""
        return f"{self.low}-{self.high}"

    def __contains__(self, key: object) -> bool:
        """Tell whether a key lies in the range."""
        return isinstance(key, str) and self.low <= key[:RANGE_DIGITS] <= self.high

    def cut(self, bits: int) -> range:
        """Return the numbers of the ranges of so many bits that have keys in common with this one."""
        finer = bits - self.bits
        if finer < 0:
            return range(self.number >> -finer, (self.number >> -finer) + 1)
        return range(self.number << finer, (self.number + 1) << finer)

    def overlaps(self, other: Range) -> bool:
        """Tell whether a key could lie in both."""
        return self.low <= other.high and other.low <= self.high


def all_ranges(bits: int) -> Iterator[Range]:
    """Yield the ranges in the order of keys."""
    return (Range(bits, number) for number in range(1 << bits))


def range_of(key: str, bits: int) -> Range:
    """Return the range a key lies in."""
    return Range(bits, int(key[:RANGE_DIGITS], 16) >> (MOST_BITS - bits))


def bits_for(count: int, *, most: int = RANGE_VOLUMES) -> int:
    """Return the least number of bits with which ranges of ``count`` keys hold at most ``most`` on average."""
    bits = 0
    while bits < MOST_BITS and count > most << bits:
        bits += 1
    return bits


def own_digits(key: str) -> str:
    """Return what of a key does not say where it lies: of a series key, what its own UID gave."""
    return key[RANGE_DIGITS:]


def placed(key: str, beside: str) -> str:
    """Return a key with the leading digits of another, so that it lies in the same range."""
    return beside[:RANGE_DIGITS] + key[RANGE_DIGITS:]
