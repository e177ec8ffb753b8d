"""The index of a source, brought from one state to the next: ranges made anew, then all valid at one stroke."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version

from medpipe.app.hosting import COMING_BYTES, Hosting, incoming_digest
from medpipe.app.reading import Reader
from medpipe.app.refused import Retrying
from medpipe.app.remaking import Remade, Remaker
from medpipe.app.rows import Naming
from medpipe.app.scan_state import Chunk, RangeState, SourceState, blob_prefix, remove_garbage, whole_generation
from medpipe.keys import digest
from medpipe.lake.failpoints import hit
from medpipe.lake.index import INDEX_TABLES, Generation, point_to, put_generation
from medpipe.lake.lake import Lake
from medpipe.lake.marks import Marks
from medpipe.lake.sealed_spool import SealedSpool
from medpipe.ranges import Range, bits_for

RANGE_INSTANCES = 2048
"""Files a range holds at most, on average, when keys are cut."""

ROWS_VERSION = 6
"""Raised when the same headers give other rows: then all ranges are made anew from what is kept."""


def rules() -> str:
    """Return a digest of what makes rows of headers."""
    try:
        made_by = version("medpipe")
    except PackageNotFoundError:
        made_by = ""
    return digest([made_by, ROWS_VERSION, {name: schema.version for name, schema in INDEX_TABLES.items()}])[:16]


def bits_of(state: SourceState, files: int) -> int:
    """Return how finely to cut a source of so many files: as before, unless it has outgrown that by two."""
    most = 2 * RANGE_INSTANCES << state.bits
    return state.bits if state.ranges and files <= most else bits_for(files, most=RANGE_INSTANCES)


@dataclass(slots=True, kw_only=True)
class Indexer:
    """Makes the next state of a source.

    Attributes
    ----------
    lake : Lake
    naming : Naming
    before : SourceState
    reader : Reader
    retrying : Retrying
    on_range : callable
        Called after each range that was made anew.
    """

    lake: Lake
    naming: Naming
    before: SourceState
    reader: Reader
    retrying: Retrying
    on_range: Callable[[], None]
    _shards: dict[str, dict[int, str]] = field(default_factory=dict)
    _ranges: dict[int, RangeState] = field(default_factory=dict)

    def numbers(self, bits: int, edited: Iterable[int]) -> list[int]:
        """Return the ranges that have to be made anew."""
        if self._kept(bits) is not None:
            repeated = (number for number, one in self.before.ranges.items() if self._is_repeated(one))
            return sorted({*edited, *repeated})
        return list(range(1 << bits))

    def advance(
        self,
        bits: int,
        numbers: Sequence[int],
        edits: Callable[[int], Iterator[bytes]],
        *,
        chunks: tuple[Chunk, ...],
        files: int,
        asked_of: int,
        headers_version: int,
        layout: str,
    ) -> SourceState:
        """Make ranges anew and make the result the state of the source.

        Parameters
        ----------
        bits : int
            How finely keys are cut from now on.
        numbers : sequence of int
            What :meth:`numbers` returned.
        edits : callable
            Returns the edits of a range.
        chunks : tuple of Chunk
            The new list of files.
        files : int
            Files in it that are not gone.
        asked_of : int
            Files there were when a deletion was proposed that is not accepted, or 0.
        headers_version : int
            Version at which all headers were read, or are noted to be read again.
        layout : str
            Digest of the rules for names by which they were.
        """
        kept = self._kept(bits)
        if kept is not None:
            self._shards = {name: dict(shards) for name, shards in kept.shards.items()}
            self._ranges = dict(self.before.ranges)
        scan = self.before.scan + 1
        remaker = Remaker(
            self.lake,
            self.naming,
            self.before,
            kept=kept,
            bits=bits,
            scan=scan,
            reader=self.reader,
            retrying=self.retrying,
        )
        state = replace(
            self.before,
            scan=scan,
            rules=rules(),
            reader=headers_version,
            layout=layout,
            bits=bits,
            chunks=chunks,
            files=files,
            asked_of=asked_of,
        )
        over_all = _OverAll(self.lake, self.before, are_all_new=kept is None)
        for number in numbers:
            self._keep(number, remaker.remake(Range(bits, number), edits(number)), over_all)
            self.on_range()
        hosting = over_all.hosting(self.naming, self._ranges)
        self._match(
            remaker, bits, set(numbers) if kept is None else hosting.touched(numbers, self.before.ranges), hosting
        )
        return self._commit(replace(over_all.saved(state, hosting), ranges=self._ranges))

    def _is_repeated(self, state: RangeState) -> bool:
        refused = state.refused_pixels.items()
        return state.must_repeat or any(self.retrying.is_due(code, conditions) for code, conditions in refused)

    def _kept(self, bits: int) -> Generation | None:
        """Return the generation whose ranges are still what they were where nothing was edited, if there is one."""
        before = self.before
        is_same = before.bits == bits and before.rules == rules() and bool(before.generation)
        return whole_generation(self.lake, before) if is_same else None

    def _keep(self, number: int, remade: Remade, over_all: _OverAll) -> None:
        for name in INDEX_TABLES:
            shards = self._shards.setdefault(name, {})
            shards.pop(number, None)
            if name in remade.shards:
                shards[number] = remade.shards[name]
        self._ranges.pop(number, None)
        if remade.state.headers is not None:
            self._ranges[number] = remade.state
        over_all.add(number, remade)

    def _match(self, remaker: Remaker, bits: int, touched: set[int], hosting: Hosting) -> None:
        """Give companions to the volumes of ranges to which other objects come than before."""
        with self.lake.store.attempt("match") as folder:
            coming = SealedSpool(self.lake.private, folder / "coming", limit_bytes=COMING_BYTES)
            hosting.bring(touched, coming)
            for number in sorted(touched & self._ranges.keys()):
                state, found = self._ranges[number], hosting.brought(coming.take(number))
                if incoming_digest(found) != state.incoming:
                    self._ranges[number] = remaker.with_companions(Range(bits, number), state, found)

    def _commit(self, state: SourceState) -> SourceState:
        generation = state.generation_of(self._shards)
        state = replace(state, ranges=dict(sorted(state.ranges.items())), generation=generation.id)
        put_generation(self.lake, state.source, generation)
        if replace(state, scan=self.before.scan) == self.before:
            state = self.before
        else:
            hit("scan.before_state")
            self.lake.refuse_if_superseded()
            state.save(self.lake)
            hit("scan.after_state")
        point_to(self.lake, state.source, generation.id)
        hit("scan.after_pointer")
        remove_garbage(self.lake, state)
        return state


class _OverAll:
    """What is kept over all ranges: what objects look for, hosts, first days."""

    def __init__(self, lake: Lake, before: SourceState, *, are_all_new: bool) -> None:
        self._lake = lake
        self._before = before
        self._are_all_new = are_all_new
        self._wanted: dict[int, Mapping[str, int]] = {}
        self._hosts: dict[int, Mapping[str, int]] = {}
        self._days: dict[int, Mapping[str, int]] = {}

    def add(self, number: int, remade: Remade) -> None:
        """Take what a range has now, where that is not what it had."""
        every = ((self._wanted, remade.wanted), (self._hosts, remade.hosts), (self._days, remade.days))
        for found, one in every:
            if one is not None:
                found[number] = one

    def hosting(self, naming: Naming, ranges: Mapping[int, RangeState]) -> Hosting:
        """Return what brings objects and hosts together; all ranges were added."""
        return Hosting(
            private=self._lake.private,
            pseudonyms=naming.pseudonyms,
            hosts_before=self._old(self._before.hosts),
            hosts=self._now(self._before.hosts, self._hosts),
            wanted=self._now(self._before.objects, self._wanted),
            ranges=ranges,
        )

    def saved(self, state: SourceState, hosting: Hosting) -> SourceState:
        """Write it, and return the state that names it."""
        return replace(
            state,
            objects=self._put("objects", hosting.wanted),
            hosts=self._put("hosts", hosting.hosts),
            dates=self._put("dates", self._now(self._before.dates, self._days)),
        )

    def _now(self, blob: str | None, found: Mapping[int, Mapping[str, int]]) -> Marks:
        # where all ranges are new the old marks may be of another kind
        if self._are_all_new:
            return Marks().replaced(None, found)
        return self._old(blob).replaced(found.keys(), found) if found else self._old(blob)

    def _old(self, blob: str | None) -> Marks:
        return Marks() if blob is None else Marks.from_bytes(self._lake.private.need(blob))

    def _put(self, kind: str, marks: Marks) -> str | None:
        data = marks.to_bytes()
        return self._lake.private.put_content(blob_prefix(self._before.source, kind), data) if data else None
