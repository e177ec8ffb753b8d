"""The index of one source, open for reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from medpipe.app.scan_state import RangeState, SourceState, whole_generation
from medpipe.errors import LakeError
from medpipe.keys import bytes_digest
from medpipe.lake.index import Generation, read_shard
from medpipe.lake.lake import Lake
from medpipe.lake.marks import Least, Marks
from medpipe.ranges import Range

Row = dict[str, Any]

TABLES = ("instances", "members", "series", "volumes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceIndex:
    """A source that is open for reading.

    Attributes
    ----------
    lake : Lake
    state : SourceState
    generation : Generation
    dates : Marks
        Patients' first days.
    """

    lake: Lake
    state: SourceState
    generation: Generation
    dates: Marks

    @classmethod
    def open(cls, lake: Lake, source: str) -> Self | None:
        """Open a source, or return None where no scan of it has ended.

        Raises
        ------
        LakeError
            If its index lacks a file.
        """
        state = SourceState.load(lake, source)
        if state is None:
            return None
        generation = whole_generation(lake, state)
        if generation is None:
            raise LakeError(f"the index of {source} lacks a file: any medpipe scan into this lake makes it again")
        dates = Marks() if state.dates is None else Marks.from_bytes(lake.private.need(state.dates))
        return cls(lake=lake, state=state, generation=generation, dates=dates)

    def facts(self, within: Range, first_days: Least) -> list[Any]:
        """Return what tells whether the rows of a range are the same: shards, sealed blobs, first days."""
        numbers = within.cut(self.state.bits)
        shards = [[name, number, one] for name in TABLES for number, one in self._shards(name, numbers)]
        kept = [one for _, one in self.ranges(within)]
        days = first_days.bytes_of(self.dates.within(numbers[0], numbers[-1]))
        return [shards, [[one.locators, one.companions] for one in kept], bytes_digest(days)]

    def rows(self, name: str, within: Range) -> list[Row]:
        """Return the rows of a table in a range."""
        found: list[Row] = []
        for number in within.cut(self.state.bits):
            table = read_shard(self.lake, self.state.source, self.generation, name, number, within=within)
            found += table.to_pylist()
        return found

    def private(self, within: Range) -> Iterator[tuple[Row, Row]]:
        """Yield what is sealed of a range: locators and dates, and what companions change."""
        for _, kept in self.ranges(within):
            if kept.locators is None:
                continue
            companions = {} if kept.companions is None else json.loads(self.lake.private.need(kept.companions))
            yield json.loads(self.lake.private.need(kept.locators)), companions

    def ranges(self, within: Range) -> Iterator[tuple[int, RangeState]]:
        """Yield what is kept of the source's own ranges that have keys in common with a range."""
        for number in within.cut(self.state.bits):
            if number in self.state.ranges:
                yield number, self.state.ranges[number]

    def _shards(self, name: str, numbers: range) -> Iterator[tuple[int, str]]:
        shards = self.generation.shards.get(name, {})
        return ((number, shards[number]) for number in numbers if number in shards)
