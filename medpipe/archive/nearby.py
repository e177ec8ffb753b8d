"""Vectors that are near each other, found without comparing each with each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from typing import Final, Generic, TypeVar

_MOST_CELLS: Final = 2.0**53
"""So far out, floats lie further apart than the reach: only equal ones are near."""

Thing = TypeVar("Thing")


class Nearby(Generic[Thing]):
    """Things at places, put into cells of a grid.

    Parameters
    ----------
    reach : float
        What is no further away along any axis is found.
    """

    def __init__(self, reach: float) -> None:
        self._reach = reach
        self._cells: defaultdict[tuple[float, ...], list[tuple[int, Thing]]] = defaultdict(list)
        self._count = 0

    def add(self, place: Sequence[float], thing: Thing) -> None:
        """Take a thing."""
        self._cells[tuple([self._cell(value) for value in place])].append((self._count, thing))
        self._count += 1

    def around(self, place: Sequence[float]) -> list[Thing]:
        """Return the things that may be within reach, the last first; none that is within reach is left out."""
        # a little further than the reach: differences are rounded
        far = 1.25 * self._reach
        sides = [{*map(self._cell, (value - far, value, value + far))} for value in place]
        found = [one for cell in product(*sides) for one in self._cells.get(cell, ())]
        return [thing for _, thing in sorted(found, key=lambda one: -one[0])]

    def _cell(self, value: float) -> float:
        # cells much longer than the reach: of most places one is enough
        size = 4 * self._reach
        return value // size if abs(value) < _MOST_CELLS * size else value
