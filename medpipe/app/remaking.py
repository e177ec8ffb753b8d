"""Making the index of one range anew: its headers, changed; its stacks, rows and locators.

Only units with a file that changed are assembled; the rows of all others are taken over.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import xor

from medpipe.app.content import Content, Edit, Json, Locators
from medpipe.app.hosting import Incoming, host_tokens, incoming_digest, objects_bytes, objects_from, wanted_tokens
from medpipe.app.reading import Look, Reader
from medpipe.app.refused import PASSING, Retrying
from medpipe.app.rows import IndexedRows, Naming, Rows, column_of, day_of, index_rows, with_companions
from medpipe.app.scan_state import RangeState, SourceState, blob_prefix
from medpipe.archive.assemble import Assembly, assemble
from medpipe.archive.companions import Reference, each_once, matched, references_of
from medpipe.archive.duplicates import Looks, to_look_into
from medpipe.archive.header import Header
from medpipe.archive.stacks import Stack
from medpipe.errors import Rejected
from medpipe.keys import pair_digest
from medpipe.lake.index import TOMBSTONES, Generation, edit_shard, put_shard
from medpipe.lake.lake import Lake
from medpipe.ranges import Range, range_of

_TOKEN_DIGITS = 16


@dataclass(slots=True, kw_only=True)
class Remade:
    """A range as it is now.

    Attributes
    ----------
    state : RangeState
        Without companions, which depend on other ranges.
    shards : mapping of str to str
        Digest of the shard of each table that has rows.
    hosts, days : mapping of str to int, or None
        Marks: series that can have companions, first study days of patients; None: as before.
    wanted : mapping of str to int, or None
        Marks: what the companion objects in the range look for; None: as before.
    """

    state: RangeState
    shards: Mapping[str, str]
    hosts: Mapping[str, int] | None
    days: Mapping[str, int] | None
    wanted: Mapping[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going:
    """What the index has of the units that are made anew."""

    state: RangeState
    generation: Generation
    paths: frozenset[str]
    instances: frozenset[str]
    series: frozenset[str]
    tombstones: Json
    hosts: Mapping[str, Sequence[str]]
    contents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What was made of headers: of all in a range, or of those of some units."""

    headers: Sequence[Header]
    assembly: Assembly
    found: IndexedRows


class Remaker:
    """Makes ranges of a source anew.

    Parameters
    ----------
    lake : Lake
    naming : Naming
    before : SourceState
        What was kept of the source, perhaps cut otherwise.
    kept : Generation or None
        Whose rows are still right where nothing changed, if there is one.
    bits : int
        How finely keys are cut from now on.
    scan : int
        Number of this scan.
    reader : Reader
        For pixels where two files claim to be one.
    retrying : Retrying
        When pixels are read again that were refused.
    """

    def __init__(
        self,
        lake: Lake,
        naming: Naming,
        before: SourceState,
        *,
        kept: Generation | None,
        bits: int,
        scan: int,
        reader: Reader,
        retrying: Retrying,
    ) -> None:
        self._lake = lake
        self._naming = naming
        self._before = before
        self._kept = kept
        self._bits = bits
        self._scan = scan
        self._reader = reader
        self._retrying = retrying
        self._is_passing = False
        self._refused: dict[str, str] = {}

    def remake(self, within: Range, edits: Iterable[bytes]) -> Remade:
        """Apply edits to a range and write its shards and blobs."""
        content = self._content(within)
        changes = [Edit.from_line(line) for line in edits]
        units = content.touched(changes)
        going = self._going(within, content, units)
        content.apply(changes, self._naming, scan=self._scan)
        headers = content.headers(None if going is None else units)
        self._is_passing, self._refused = False, {}
        self._look_into(content, to_look_into(headers))
        assembly = assemble(headers, self._looks(content))
        made = _Made(headers=headers, assembly=assembly, found=index_rows(self._naming, headers, assembly))
        self._host(content, units, going, assembly)
        return self._remade(within, content, going, made)

    def with_companions(self, within: Range, state: RangeState, found: Incoming) -> RangeState:
        """Return a range's state with the companions that objects of all ranges give it."""
        changed: dict[str, Json] = {}
        if found and state.locators is not None:
            volumes = json.loads(self._lake.private.need(state.locators))["volumes"]
            stacks = {key: Stack.from_json(locator["stack"]) for key, locator in volumes.items()}
            by_identity = matched(list(stacks.values()), found)
            for key, stack in stacks.items():
                objects = by_identity.get(stack.identity)
                if objects:
                    changed[key] = with_companions(volumes[key], objects)
        blob = self._put("companions", within, json.dumps(changed, separators=(",", ":")).encode()) if changed else None
        return replace(state, companions=blob, incoming=incoming_digest(found))

    # what was kept ------------------------------------------------------------------------------

    def _content(self, within: Range) -> Content:
        """Return what was kept of the range, out of ranges that may have been cut otherwise."""
        content = Content()
        cut_anew = self._before.bits != self._bits
        for number in within.cut(self._before.bits):
            kept = self._before.ranges.get(number)
            if kept is None or kept.headers is None:
                continue
            held = Content.from_bytes(self._lake.private.need(kept.headers))
            if not cut_anew:
                return held
            self._add_part(content, held, within)
        return content

    def _add_part(self, content: Content, held: Content, within: Range) -> None:
        for path in held.lines:
            header = held.header(path)
            if range_of(self._naming.place(header), within.bits) == within:
                content.take(header)
        content.wholes |= held.wholes
        content.pixels |= held.pixels
        for key, one in held.tombstones.items():
            if range_of(one[0] or key, within.bits) == within:
                content.tombstones[key] = one

    def _going(self, within: Range, content: Content, units: Collection[str]) -> _Going | None:
        """Return what goes of a range before some units come again; None where all are made anew."""
        state = self._before.ranges.get(within.number)
        # which units had pixels refused is not kept
        if self._kept is None or state is None or state.must_repeat or state.refused_pixels:
            return None
        headers = content.headers(units)
        return _Going(
            state=state,
            generation=self._kept,
            paths=frozenset(header.path for header in headers),
            instances=frozenset(self._naming.instance(header.path) for header in headers),
            series=frozenset(key for key in map(self._naming.series, headers) if key is not None),
            tombstones=dict(content.tombstones),
            hosts=dict(content.hosts),
            contents=int(state.contents or "0", 16) ^ _contents(headers),
        )

    def _looks(self, content: Content) -> Looks:
        def whole(path: str) -> str:
            return self._known(content, content.wholes, path, lambda: self._reader.wholes([path])[0])

        def pixels(path: str) -> str:
            return self._known(content, content.pixels, path, lambda: self._reader.pixels(path))

        return Looks(whole, pixels)

    def _look_into(self, content: Content, paths: Iterable[str]) -> None:
        """Take the digests of whole files, many at once."""
        asked = [path for path in paths if self._is_due(content, content.wholes, path)]
        for path, found in zip(asked, self._reader.wholes(asked) if asked else (), strict=True):
            self._note(content, content.wholes, path, found)

    def _known(self, content: Content, held: dict[str, list[str]], path: str, look: Callable[[], Look]) -> str:
        if self._is_due(content, held, path):
            found = look()
            if found.code in PASSING:
                self._is_passing = True
                raise Rejected(found.code)
            self._note(content, held, path, found)
        _, name, code, conditions = (*held[path], "")[:4]
        if code:
            self._refused[code] = conditions
            raise Rejected(code)
        return name

    def _is_due(self, content: Content, held: Mapping[str, list[str]], path: str) -> bool:
        known, _, code, conditions = (*held.get(path, ("", "", "")), "")[:4]
        return known != content.header(path).version or bool(code and self._retrying.is_due(code, conditions))

    def _note(self, content: Content, held: dict[str, list[str]], path: str, found: Look) -> None:
        if found.code not in PASSING:
            conditions = [self._retrying.conditions] if found.code else []
            held[path] = [content.header(path).version, *found, *conditions]

    # what is there now --------------------------------------------------------------------------

    def _host(self, content: Content, units: Collection[str], going: _Going | None, assembly: Assembly) -> None:
        stacks: defaultdict[str, list[Stack]] = defaultdict(list)
        for stack in assembly.stacks:
            stacks[content.units[stack.members[0].path]].append(stack)
        for unit in [*content.hosts] if going is None else units:
            content.hosts.pop(unit, None)
        for unit, found in stacks.items():
            tokens = sorted(token[:_TOKEN_DIGITS] for token in host_tokens(found, self._naming.pseudonyms))
            if tokens:
                content.hosts[unit] = tokens

    def _remade(self, within: Range, content: Content, going: _Going | None, made: _Made) -> Remade:
        shards, removed = self._shards(within, content, going, made.found)
        locators, are_dates_new = self._locators(going, removed["volumes"], made.found)
        objects = self._objects(going, made)
        blob = objects_bytes(objects) if objects else None
        holds = bool(content.lines or content.tombstones)
        tables = made.found.tables
        state = RangeState(
            headers=self._put("headers", within, content.to_bytes()) if holds else None,
            locators=self._put("locators", within, locators.to_bytes()) if locators.dates or locators.volumes else None,
            objects=None if blob is None else self._put("objects", within, blob),
            rows=_rows(going, removed, tables) | {TOMBSTONES.name: len(content.tombstones)},
            outcomes=_counted(
                going.state.outcomes if going else {}, removed["instances"], tables["instances"], "outcome"
            ),
            kinds=_counted(going.state.kinds if going else {}, removed["volumes"], tables["volumes"], "kind"),
            refused=(going.state.refused if going else 0) + _refused(tables["volumes"]) - _refused(removed["volumes"]),
            must_repeat=self._is_passing,
            refused_pixels=dict(sorted(self._refused.items())),
            contents=f"{(going.contents if going else 0) ^ _contents(made.headers):x}",
        )
        has_same_objects = going is not None and going.state.objects == state.objects
        has_same_hosts = going is not None and going.hosts == content.hosts
        return Remade(
            state=state,
            shards=shards,
            hosts=None if has_same_hosts else {token: 0 for found in content.hosts.values() for token in found},
            days=_first_days(locators) if going is None or are_dates_new else None,
            wanted=None if has_same_objects else wanted_tokens(objects, self._naming.pseudonyms),
        )

    def _shards(
        self, within: Range, content: Content, going: _Going | None, found: IndexedRows
    ) -> tuple[dict[str, str], dict[str, list[Json]]]:
        """Write the shards; return them by table, and the rows that went."""
        source, removed = self._naming.source, {name: list[Json]() for name in found.tables}
        shards: dict[str, str | None] = {}
        for name, rows in found.tables.items():
            if going is None:
                shards[name] = put_shard(self._lake, source, name, within, rows)
                continue
            column, keys = ("instance_key", going.instances) if name == "instances" else ("series_key", going.series)
            shards[name], gone = edit_shard(
                self._lake, source, going.generation, name, within.number, coming=rows, column=column, going=keys
            )
            removed[name] = [dict(row) for row in gone]
        if going is not None and going.tombstones == content.tombstones:
            shards[TOMBSTONES.name] = going.generation.shards.get(TOMBSTONES.name, {}).get(within.number)
        else:
            rows = list(self._tombstone_rows(content))
            shards[TOMBSTONES.name] = put_shard(self._lake, source, TOMBSTONES.name, within, rows)
        return {name: one for name, one in shards.items() if one is not None}, removed

    def _locators(self, going: _Going | None, removed: Sequence[Json], found: IndexedRows) -> tuple[Locators, bool]:
        """Return the locators and whether any date is another."""
        locators = Locators()
        if going is not None and going.state.locators is not None:
            locators = Locators.from_bytes(self._lake.private.need(going.state.locators))
        locators.replace((row["volume_key"] for row in removed), found.locators)
        return locators, locators.replace_dates(() if going is None else going.series, found.dates)

    def _objects(self, going: _Going | None, made: _Made) -> list[Reference]:
        held: list[Reference] = []
        if going is not None and going.state.objects is not None:
            held = objects_from(self._lake.private.need(going.state.objects))
        # copies lie in the same unit as what they are copies of
        left = [one for one in held if going is None or one.path not in going.paths]
        return each_once([*left, *references_of(made.assembly.stacks, made.headers)])

    def _put(self, kind: str, within: Range, data: bytes) -> str:
        return self._lake.private.put_content(blob_prefix(self._naming.source, kind, within), data)

    def _tombstone_rows(self, content: Content) -> Iterator[Json]:
        for key, (series, scan) in content.tombstones.items():
            yield {"instance_key": key, "series_key": series, "source": self._naming.source, "scan": scan}


def _rows(going: _Going | None, removed: Mapping[str, Sequence[Json]], coming: Mapping[str, Rows]) -> dict[str, int]:
    held = {} if going is None else going.state.rows
    # every table has the column
    counts = {name: len(column_of(rows, "series_key")) for name, rows in coming.items()}
    return {name: held.get(name, 0) - len(removed[name]) + count for name, count in counts.items()}


def _counted(held: Mapping[str, int], removed: Iterable[Json], coming: Rows, column: str) -> dict[str, int]:
    counts = Counter(held)
    counts.subtract(row[column] for row in removed)
    counts.update(column_of(coming, column))
    return dict(sorted((+counts).items()))


def _refused(volumes: Rows) -> int:
    return sum(verdict == "refused" for verdict in column_of(volumes, "verdict"))


def _contents(headers: Iterable[Header]) -> int:
    """Return a number that changes with the names and bytes of files; files come and go by exclusive or."""
    return reduce(xor, [int(pair_digest(header.path, header.content), 16) for header in headers], 0)


def _first_days(locators: Locators) -> dict[str, int]:
    first: dict[str, int] = {}
    for patient, date in map(json.loads, locators.dates.values()):
        day = day_of(date)
        if day is not None:
            first[patient] = min(day, first.get(patient, day))
    return first
