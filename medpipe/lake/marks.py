"""Marks: 64-bit tokens by range, each with a number, in 14 bytes apiece.

They answer over all ranges what no range can answer alone: where a series has a volume, on
which day a patient's first study was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

_MARK = np.dtype([("range", "<u2"), ("token", "<u8"), ("value", "<i4")])
_DIGITS = 16

Array = np.ndarray[Any, np.dtype[Any]]


class Marks:
    """Marks in the order of ranges and tokens.

    Two tokens with the same first 64 bits are taken for one; among a million that happens
    once in ten million archives.

    Parameters
    ----------
    rows : array
        As :meth:`to_bytes` had them; none if left out.
    """

    def __init__(self, rows: Array | None = None) -> None:
        self._rows: Array = np.empty(0, dtype=_MARK) if rows is None else rows
        self._by_token: Array | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @classmethod
    def from_bytes(cls, data: bytes) -> Marks:
        """Read what :meth:`to_bytes` wrote."""
        return cls(np.frombuffer(data, dtype=_MARK))

    def to_bytes(self) -> bytes:
        """Return the marks as bytes: equal marks give equal bytes."""
        return self._rows.tobytes()

    def replaced(self, ranges: Collection[int] | None, found: Mapping[int, Mapping[str, int]]) -> Marks:
        """Return marks in which some ranges have others.

        Parameters
        ----------
        ranges : collection of int or None
            Ranges whose marks go; None stands for all.
        found : mapping of int to mapping of str to int
            By range, hexadecimal tokens with their numbers.
        """
        going = np.fromiter(ranges or (), dtype=np.int64)
        kept = self._rows[:0] if ranges is None else self._rows[~np.isin(self._rows["range"], going)]
        fresh = np.array(
            [(number, mark_of(token), value) for number, one in found.items() for token, value in one.items()],
            dtype=_MARK,
        )
        rows = np.concatenate([kept, fresh])
        return Marks(np.sort(rows, order=("range", "token", "value")))

    def ranges_of(self, token: str) -> list[int]:
        """Return the ranges that have a token, ascending."""
        rows = self._sorted()
        number = np.uint64(mark_of(token))
        start, stop = (int(np.searchsorted(rows["token"], number, side=side)) for side in ("left", "right"))
        return sorted({int(found) for found in rows["range"][start:stop]})

    def within(self, first: int, last: int) -> Array:
        """Return the tokens of the ranges from one to another, both included."""
        start = int(np.searchsorted(self._rows["range"], first, side="left"))
        stop = int(np.searchsorted(self._rows["range"], last, side="right"))
        return self._rows["token"][start:stop]

    def ranges_with(self, tokens: Array) -> list[int]:
        """Return the ranges that have any of some tokens, ascending."""
        return [int(found) for found in np.unique(self._rows["range"][np.isin(self._rows["token"], tokens)])]

    def tokens_of(self, ranges: Collection[int]) -> Array:
        """Return the tokens of some ranges."""
        return self._rows["token"][np.isin(self._rows["range"], np.fromiter(ranges, dtype=np.int64))]

    def differing(self, other: Marks, ranges: Collection[int]) -> Array:
        """Return the tokens that some range has here or in others, and not in both."""
        found = [np.setxor1d(self.within(number, number), other.within(number, number)) for number in ranges]
        return np.unique(np.concatenate([self._rows["token"][:0], *found]))

    def _sorted(self) -> Array:
        if self._by_token is None:
            self._by_token = self._rows[np.argsort(self._rows["token"], kind="stable")]
        return self._by_token

    @property
    def rows(self) -> Array:
        """The marks, with fields ``range``, ``token`` and ``value``."""
        return self._rows


def mark_of(token: str) -> int:
    """Return what marks keep of a hexadecimal token."""
    return int(token[:_DIGITS], 16)


class Least:
    """The least number of each token over several sets of marks."""

    def __init__(self, marks: Iterable[Marks]) -> None:
        rows = np.concatenate([np.empty(0, dtype=_MARK), *(one.rows for one in marks)])
        order = np.lexsort((rows["value"], rows["token"]))
        self._tokens, firsts = np.unique(rows["token"][order], return_index=True)
        self._values: Array = rows["value"][order][firsts]

    def of(self, token: str) -> int | None:
        """Return the least number of a token, or None."""
        number = np.uint64(mark_of(token))
        place = int(np.searchsorted(self._tokens, number))
        found = place < len(self._tokens) and self._tokens[place] == number
        return int(self._values[place]) if found else None

    def bytes_of(self, tokens: Array) -> bytes:
        """Return tokens that all have a number, with it, as bytes to take a digest of."""
        places = np.searchsorted(self._tokens, tokens)
        return bytes(tokens.tobytes() + self._values[places].tobytes())
