"""Shards: cases of like memory in files of their own, the largest first, without sorting them all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

LEAST_CASES = 256
MOST_SHARDS = 500
MOST_WEIGHT = 4 << 20
"""Bytes of payload in a shard, about: a sandbox reads a shard whole."""

_STEPS_PER_OCTAVE = 4

Item = TypeVar("Item")


class Full(NamedTuple, Generic[Item]):
    """The items of a shard, and the class of their memory."""

    memory_class: int
    items: list[Item]


def memory_class(projected_bytes: int) -> int:
    """Return the quarter of an octave a projection lies in."""
    top = projected_bytes.bit_length()
    # the bits below the leading one say which quarter
    rest = (projected_bytes << 3 >> top) & 3 if top else 0
    return _STEPS_PER_OCTAVE * top + rest


def shard_size(cases: int) -> int:
    """Return how many cases a shard holds, so that a run has some hundreds of shards at most."""
    return max(LEAST_CASES, -(-cases // MOST_SHARDS))


class Packer(Generic[Item]):
    """Collects items by memory and gives them out in shards.

    Parameters
    ----------
    size : int
        Items in a shard at most.
    """

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._open: dict[int, list[Item]] = {}
        self._weights: dict[int, int] = {}

    def add(self, item: Item, *, projected_bytes: int, weight: int) -> Full[Item] | None:
        """Take an item; return a shard if it is full now."""
        kind = memory_class(projected_bytes)
        items = self._open.setdefault(kind, [])
        items.append(item)
        self._weights[kind] = self._weights.get(kind, 0) + weight
        if len(items) < self._size and self._weights[kind] < MOST_WEIGHT:
            return None
        self._weights[kind] = 0
        return Full(kind, self._open.pop(kind))

    def rest(self) -> Iterator[Full[Item]]:
        """Yield what is left, the largest memory first, shards of unlike memory filled up together."""
        left = [(kind, item) for kind in sorted(self._open, reverse=True) for item in self._open[kind]]
        each = sum(self._weights.values()) // max(1, len(left))
        step = max(1, min(self._size, MOST_WEIGHT // max(1, each)))
        for start in range(0, len(left), step):
            yield Full(left[start][0], [item for _, item in left[start : start + step]])
        self._open.clear()
        self._weights.clear()
