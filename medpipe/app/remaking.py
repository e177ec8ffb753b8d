"""Making the index of one range anew: its headers, changed; its stacks, rows and locators."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from medpipe.app.hosting import Incoming, host_tokens, incoming_digest, objects_bytes, wanted_tokens
from medpipe.app.reading import Reader
from medpipe.app.refused import PASSING, Retrying
from medpipe.app.rows import IndexedRows, Naming, day_of, index_rows, with_companions
from medpipe.app.scan_state import RangeState, SourceState, blob_prefix
from medpipe.archive.assemble import Assembly, assemble
from medpipe.archive.companions import Reference, matched, references_of
from medpipe.archive.header import Header
from medpipe.archive.stacks import Stack
from medpipe.errors import Rejected
from medpipe.lake.index import INDEX_TABLES, TOMBSTONES, put_shard
from medpipe.lake.lake import Lake
from medpipe.ranges import Range, range_of

Json = dict[str, Any]


class Edit(NamedTuple):
    """A change in a range: what, of which file, and the header of one that comes in."""

    kind: str
    path: str
    header: Json | None = None

    def to_line(self) -> bytes:
        """Return the edit as a line."""
        return json.dumps(self, separators=(",", ":")).encode()


REMOVE, BURY, REVIVE, PUT = "remove", "bury", "revive", "put"
"""Take a header out; the same and leave a tombstone; lift a tombstone; put a header in."""


@dataclass(slots=True, kw_only=True)
class Content:
    """What is sealed of a range: headers by path, pixel digests, tombstones by instance."""

    headers: dict[str, Json] = field(default_factory=dict)
    pixels: dict[str, list[str]] = field(default_factory=dict)
    tombstones: dict[str, list[Any]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the content as bytes, to be sealed."""
        pixels = {path: found for path, found in self.pixels.items() if path in self.headers}
        plain = {"headers": list(self.headers.values()), "pixels": pixels, "tombstones": self.tombstones}
        return json.dumps(plain, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Content:
        """Read what :meth:`to_bytes` wrote."""
        plain = json.loads(data)
        headers = {header["path"]: header for header in plain.pop("headers")}
        return cls(headers=headers, **plain)


@dataclass(slots=True, kw_only=True)
class Remade:
    """A range as it is now.

    Attributes
    ----------
    state : RangeState
        Without companions, which depend on other ranges.
    shards : mapping of str to str
        Digest of the shard of each table that has rows.
    hosts, days : mapping of str to int
        Marks: series that can have companions, first study days of patients.
    wanted : mapping of str to int
        Marks: what the companion objects in the range look for.
    """

    state: RangeState
    shards: Mapping[str, str]
    hosts: Mapping[str, int]
    days: Mapping[str, int]
    wanted: Mapping[str, int]


class Remaker:
    """Makes ranges of a source anew.

    Parameters
    ----------
    lake : Lake
    naming : Naming
    before : SourceState
        What was kept of the source, perhaps cut otherwise.
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
        bits: int,
        scan: int,
        reader: Reader,
        retrying: Retrying,
    ) -> None:
        self._lake = lake
        self._naming = naming
        self._before = before
        self._bits = bits
        self._scan = scan
        self._reader = reader
        self._retrying = retrying
        self._is_passing = False
        self._refused: dict[str, str] = {}

    def remake(self, within: Range, edits: Iterable[bytes]) -> Remade:
        """Apply edits to a range and write its shards and blobs."""
        content = self._content(within)
        self._apply(content, [Edit(*json.loads(line)) for line in edits])
        content.headers = dict(sorted(content.headers.items()))
        headers = [Header.from_json(found) for found in content.headers.values()]
        self._is_passing, self._refused = False, {}
        assembly = assemble(headers, lambda path: self._pixels(content, path))
        found = index_rows(self._naming, headers, assembly)
        tables = {**found.tables, TOMBSTONES.name: list(self._tombstone_rows(content))}
        shards = {name: put_shard(self._lake, self._naming.source, name, within, tables[name]) for name in INDEX_TABLES}
        objects = references_of(assembly.stacks, headers)
        return Remade(
            state=self._state(within, content, found, assembly, objects),
            shards={name: one for name, one in shards.items() if one is not None},
            hosts=host_tokens(assembly.stacks, self._naming.pseudonyms),
            days=_first_days(found.dates),
            wanted=wanted_tokens(objects, self._naming.pseudonyms),
        )

    def with_companions(self, within: Range, state: RangeState, found: Incoming) -> RangeState:
        """Return a range's state with the companions that objects of all ranges give it."""
        changed: dict[str, Json] = {}
        if found and state.locators is not None:
            volumes = json.loads(self._lake.private.get(state.locators))["volumes"]
            stacks = {key: Stack.from_json(locator["stack"]) for key, locator in volumes.items()}
            by_identity = matched(list(stacks.values()), found)
            for key, stack in stacks.items():
                objects = by_identity.get(stack.identity)
                if objects:
                    changed[key] = with_companions(volumes[key], [(one.path, one.bytes_digest) for one in objects])
        blob = self._put("companions", within, changed) if changed else None
        return replace(state, companions=blob, incoming=incoming_digest(found))

    def _content(self, within: Range) -> Content:
        """Return what was kept of the range, out of ranges that may have been cut otherwise."""
        content = Content()
        cut_anew = self._before.bits != self._bits
        for number in within.cut(self._before.bits):
            kept = self._before.ranges.get(number)
            if kept is None or kept.headers is None:
                continue
            held = Content.from_bytes(self._lake.private.get(kept.headers))
            if cut_anew:
                held = self._part(held, within)
            content.headers |= held.headers
            content.pixels |= held.pixels
            content.tombstones |= held.tombstones
        return content

    def _part(self, content: Content, within: Range) -> Content:
        headers = {
            path: header
            for path, header in content.headers.items()
            if range_of(self._naming.place(Header.from_json(header)), within.bits) == within
        }
        tombstones = {
            key: one for key, one in content.tombstones.items() if range_of(one[0] or key, within.bits) == within
        }
        return Content(headers=headers, pixels=content.pixels, tombstones=tombstones)

    def _apply(self, content: Content, edits: Sequence[Edit]) -> None:
        # a file that changed within the range goes out before it comes in
        for edit in edits:
            if edit.kind == REVIVE:
                content.tombstones.pop(self._naming.instance(edit.path), None)
            elif edit.kind != PUT:
                header = content.headers.pop(edit.path, None)
                if header is not None and edit.kind == BURY:
                    series = self._naming.series(Header.from_json(header))
                    content.tombstones[self._naming.instance(edit.path)] = [series, self._scan]
        for edit in edits:
            if edit.kind == PUT and edit.header is not None:
                content.headers[edit.path] = edit.header

    def _pixels(self, content: Content, path: str) -> str:
        version = content.headers[path]["version"]
        known, found, code, conditions = (*content.pixels.get(path, ("", "", "")), "")[:4]
        if known != version or (code and self._retrying.is_due(code, conditions)):
            found, code = self._reader.pixels(path)
            conditions = self._retrying.conditions
            if code in PASSING:
                self._is_passing = True
                raise Rejected(code)
            content.pixels[path] = [version, found, code, *([conditions] if code else [])]
        if code:
            self._refused[code] = conditions
            raise Rejected(code)
        return str(found)

    def _state(
        self,
        within: Range,
        content: Content,
        found: IndexedRows,
        assembly: Assembly,
        objects: Sequence[Reference],
    ) -> RangeState:
        holds = bool(content.headers or content.tombstones)
        kept = {"volumes": found.locators, "dates": found.dates}
        return RangeState(
            headers=self._put_bytes("headers", within, content.to_bytes()) if holds else None,
            locators=self._put("locators", within, kept) if found.dates or found.locators else None,
            objects=self._put_bytes("objects", within, objects_bytes(objects)) if objects else None,
            rows={name: len(rows) for name, rows in found.tables.items()} | {TOMBSTONES.name: len(content.tombstones)},
            outcomes=dict(sorted(Counter(row["outcome"] for row in found.tables["instances"]).items())),
            kinds=dict(sorted(Counter(stack.kind for stack in assembly.stacks).items())),
            refused=sum(stack.refused for stack in assembly.stacks),
            must_repeat=self._is_passing,
            refused_pixels=dict(sorted(self._refused.items())),
        )

    def _put(self, kind: str, within: Range, value: Any) -> str:
        return self._put_bytes(kind, within, json.dumps(value, separators=(",", ":")).encode())

    def _put_bytes(self, kind: str, within: Range, data: bytes) -> str:
        return self._lake.private.put_content(blob_prefix(self._naming.source, kind, within), data)

    def _tombstone_rows(self, content: Content) -> Iterator[Json]:
        for key, (series, scan) in content.tombstones.items():
            yield {"instance_key": key, "series_key": series, "source": self._naming.source, "scan": scan}


def _first_days(dates: Mapping[str, tuple[str, str]]) -> dict[str, int]:
    first: dict[str, int] = {}
    for patient, date in dates.values():
        day = day_of(date)
        if day is not None:
            first[patient] = min(day, first.get(patient, day))
    return first
