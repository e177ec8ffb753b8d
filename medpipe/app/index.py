"""The index of a lake as a run needs it: all sources merged, range by range, with what is private beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from medpipe.app.rows import day_of
from medpipe.app.scan_state import SourceState, known_sources, whole_generation
from medpipe.errors import LakeError
from medpipe.keys import bytes_digest, digest
from medpipe.lake.committed import Committed
from medpipe.lake.index import Generation, read_shard
from medpipe.lake.lake import Lake
from medpipe.lake.marks import Least, Marks
from medpipe.plan.cases import Case
from medpipe.ranges import Range
from medpipe.work.payload import case_payload

Row = dict[str, Any]

_TABLES = ("instances", "members", "series", "volumes")


@dataclass(slots=True, kw_only=True)
class Index:
    """Index rows of a range and the private locators of its volumes, all sources merged.

    Attributes
    ----------
    instances, members, series, volumes : list of dict
        Rows as the index tables hold them.
    versions : mapping of str to str
        Source version by volume key.
    locators : mapping of str to dict
        By volume key: stack, companions and root; private.
    """

    instances: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)
    series: list[Row] = field(default_factory=list)
    volumes: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    locators: dict[str, dict[str, Any]] = field(default_factory=dict)

    def candidates(self) -> list[Row]:
        """Return the volumes with what a recipe may choose them by."""
        parts = {row["series_key"]: row["body_part"] for row in self.series}
        return [{**row, "body_part": parts.get(row["series_key"])} for row in self.volumes]

    def payload(self, case: Case, committed: Committed) -> dict[str, Any]:
        """Return what a sandbox needs to run a case; private."""
        keys = sorted(key for key in committed.products_of(case.volume_key) if committed.has_product(key))
        return case_payload(case, self.locators[case.volume_key], [committed.product(key) for key in keys])


class LakeIndex:
    """The index of all sources of a lake, read range by range.

    Attributes
    ----------
    generations : tuple of str
        By source, its id and that of its generation; equal for equal indexes.
    n_volumes, n_instances : int
        Rows of all sources; a series that several sources hold is counted in each.
    """

    def __init__(self, sources: Sequence[_Source]) -> None:
        self._sources = sources
        self._first_days = Least(source.dates for source in sources)
        self.generations = tuple(f"{one.state.source}-{one.generation.id}" for one in sources)
        self.n_volumes = sum(one.generation.rows.get("volumes", 0) for one in sources)
        self.n_instances = sum(one.generation.rows.get("instances", 0) for one in sources)

    @classmethod
    def open(cls, lake: Lake) -> Self:
        """Open the index; only what says where things are is read.

        Raises
        ------
        LakeError
            If the index of a source lacks a file: any scan makes it again.
        """
        sources = (_open_source(lake, source) for source in known_sources(lake))
        return cls([source for source in sources if source is not None])

    def digest_of(self, within: Range) -> str:
        """Return a digest of everything :meth:`load` returns for a range.

        It may change although that does not, where a source is cut more coarsely.
        """
        return digest([[one.state.source, *one.facts(within, self._first_days)] for one in self._sources])

    def load(self, within: Range) -> Index:
        """Return the rows and locators of a range.

        A series that a source (by order of their ids) has already given is not taken from a
        later one; the later files are listed with ``S_OTHER_SOURCE``.

        Raises
        ------
        IntegrityError
            If a file of the index is damaged.
        """
        index = Index()
        for source in self._sources:
            taken = {row["series_key"] for row in index.series}
            tables = {name: source.rows(name, within) for name in _TABLES}
            fresh = _merge(index, tables, taken)
            self._add_private(index, source, within, fresh)
        return index

    def _add_private(self, index: Index, source: _Source, within: Range, fresh: _Fresh) -> None:
        dates: dict[str, list[str]] = {}
        for locators, companions in source.private(within):
            dates |= locators["dates"]
            for key in fresh.volumes & locators["volumes"].keys():
                found = {**locators["volumes"][key], **companions.get(key, {}), "root": source.state.root}
                index.locators[key] = found
                index.versions[key] = found["version"]
        for row in fresh.series:
            row["study_day"] = self._study_day(dates.get(row["series_key"]))

    def _study_day(self, dated: Sequence[str] | None) -> int | None:
        """Return the days since the patient's first study in the lake."""
        if dated is None:
            return None
        patient, text = dated
        day, first = day_of(text), self._first_days.of(patient)
        return None if day is None or first is None else day - first


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A source that is open for reading."""

    lake: Lake
    state: SourceState
    generation: Generation
    dates: Marks

    def facts(self, within: Range, first_days: Least) -> list[Any]:
        """Return what tells whether the rows of a range are the same: shards, sealed blobs, first days."""
        numbers = within.cut(self.state.bits)
        shards = [[name, number, one] for name in _TABLES for number, one in self._shards(name, numbers)]
        kept = [self.state.ranges[number] for number in numbers if number in self.state.ranges]
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
        for number in within.cut(self.state.bits):
            kept = self.state.ranges.get(number)
            if kept is None or kept.locators is None:
                continue
            companions = {} if kept.companions is None else json.loads(self.lake.private.need(kept.companions))
            yield json.loads(self.lake.private.need(kept.locators)), companions

    def _shards(self, name: str, numbers: range) -> Iterator[tuple[int, str]]:
        shards = self.generation.shards.get(name, {})
        return ((number, shards[number]) for number in numbers if number in shards)


def _open_source(lake: Lake, source: str) -> _Source | None:
    state = SourceState.load(lake, source)
    if state is None:
        return None
    generation = whole_generation(lake, state)
    if generation is None:
        raise LakeError(f"the index of {source} lacks a file: any medpipe scan into this lake makes it again")
    dates = Marks() if state.dates is None else Marks.from_bytes(lake.private.need(state.dates))
    return _Source(lake=lake, state=state, generation=generation, dates=dates)


class _Fresh(NamedTuple):
    """What a source adds to those before it: keys of volumes, rows of series."""

    volumes: set[str]
    series: list[Row]


def _merge(index: Index, tables: Mapping[str, list[Row]], taken: set[str]) -> _Fresh:
    series = [row for row in tables["series"] if row["series_key"] not in taken]
    volumes = [row for row in tables["volumes"] if row["series_key"] not in taken]
    keys = {row["volume_key"] for row in volumes}
    index.instances += [_instance(row, taken) for row in tables["instances"]]
    index.members += [row for row in tables["members"] if row["volume_key"] in keys]
    index.series += series
    index.volumes += volumes
    return _Fresh(keys, series)


def _instance(row: Row, taken: set[str]) -> Row:
    if row["outcome"] == "used" and row["series_key"] in taken:
        return {**row, "outcome": "duplicate", "code": "S_OTHER_SOURCE"}
    return row
