"""Series and companions that lie in several archives, brought together as if these were one.

A series may lie in two archives whole, or a part of it in each; a segmentation may lie in
another archive than the images it was made on. What a case reads then has paths whose first
part is the id of a source.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from msgspec import structs

from medpipe.app.content import Content
from medpipe.app.hosting import Incoming, host_tokens, incoming_digest, objects_from, series_token, tokens_of
from medpipe.app.rows import Naming, index_rows, rows_of, with_companions
from medpipe.app.source_index import Row, SourceIndex
from medpipe.archive.assemble import Outcome, assemble
from medpipe.archive.companions import Reference, each_once, matched
from medpipe.archive.duplicates import Looks
from medpipe.archive.header import Header
from medpipe.archive.stacks import Stack
from medpipe.errors import Rejected
from medpipe.keys import digest
from medpipe.lake.marks import Array, Marks, mark_of
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.ranges import Range

_OTHER = Outcome("duplicate", "S_OTHER_SOURCE")


class Joined(Protocol):
    """Rows and locators of a range, as :class:`medpipe.app.index.Index` has them."""

    instances: list[Row]
    members: list[Row]
    series: list[Row]
    volumes: list[Row]
    locators: dict[str, dict[str, Any]]


class Joiner:
    """Joins the indexes of several sources, range by range.

    Of a series that several sources hold each instance is taken once: from the source that has
    more images of the series, of equal ones from the one that was scanned first at a later time
    (an archive that was moved has its files there), and what that one lacks from the next. The
    stacks are assembled anew of all that was taken. Objects find their hosts in all sources.

    Parameters
    ----------
    sources : sequence of SourceIndex
        More than one, in the order of their first scans.
    pseudonyms : Pseudonyms
    """

    def __init__(self, sources: Sequence[SourceIndex], pseudonyms: Pseudonyms) -> None:
        self._sources = sources
        self._pseudonyms = pseudonyms
        self._hosts = [_marks(one, one.state.hosts) for one in sources]
        self._wanted = [_marks(one, one.state.objects) for one in sources]
        self._crossing = self._crossings()

    def contents(self) -> list[str]:
        """Return for each source a digest of the names and bytes of its files."""
        return [
            digest([[number, state.contents] for number, state in one.state.ranges.items()]) for one in self._sources
        ]

    def facts(self, within: Range) -> list[Any]:
        """Return what joining a range depends on beside the indexes of the sources."""
        kept = [
            (place, number, one) for place, source in enumerate(self._sources) for number, one in source.ranges(within)
        ]
        return [[one.contents, self._crossing.get((place, number), "")] for place, number, one in kept]

    def join(self, index: Joined, dates: dict[str, Sequence[str]], within: Range) -> None:
        """Join what the sources have of a range; `dates` are those of the series, by key."""
        holders: defaultdict[str, set[str]] = defaultdict(set)
        for row in index.instances:
            if row["series_key"] is not None:
                holders[row["series_key"]].add(row["source"])
        shared = {key for key, found in holders.items() if len(found) > 1}
        if shared:
            _Joining(self._sources, self._pseudonyms).join(index, dates, within, shared)
        places = ((place, number) for place, one in enumerate(self._sources) for number, _ in one.ranges(within))
        if shared or any(place in self._crossing for place in places):
            self._bring_companions(index)
            roots = {one.state.source: one.state.root for one in self._sources}
            index.locators = {key: _rooted(one, roots) for key, one in index.locators.items()}

    # companions ---------------------------------------------------------------------------------

    def _crossings(self) -> dict[tuple[int, int], str]:
        """Return a digest of the objects that may come from another source, by source and range they come to."""
        tokens = [
            np.intersect1d(wanted.rows["token"], hosts.rows["token"])
            for one, wanted in enumerate(self._wanted)
            for other, hosts in enumerate(self._hosts)
            if one != other
        ]
        crossing = np.unique(np.concatenate(tokens))
        found: dict[tuple[int, int], str] = {}
        for source in range(len(self._sources)):
            for one in self._objects(source, crossing):
                mark = incoming_digest([(one, self._named(one, ()))])
                for place in self._places(one):
                    found[place] = digest([found.get(place, ""), source, mark])
        return found

    def _places(self, one: Reference) -> set[tuple[int, int]]:
        """Return where there is what an object looks for, by source and range."""
        tokens = list(tokens_of(self._pseudonyms, one))
        hosts = enumerate(self._hosts)
        return {(place, number) for place, marks in hosts for token in tokens for number in marks.ranges_of(token)}

    def _objects(self, source: int, sought: Array) -> Iterator[Reference]:
        """Yield the objects of a source that look for one of some marks."""
        one, marks = self._sources[source], {int(mark) for mark in sought}
        for number in self._wanted[source].ranges_with(sought):
            blob = one.state.ranges[number].objects
            for found in [] if blob is None else objects_from(one.lake.private.need(blob)):
                if any(mark_of(token) in marks for token in tokens_of(self._pseudonyms, found)):
                    yield found

    def _named(self, one: Reference, own: Collection[str]) -> tuple[str, ...]:
        """Return those of an object's series that can have companions, in any source or by some tokens."""
        tokens = {uid: series_token(self._pseudonyms, uid) for uid in one.series}
        return tuple(
            uid for uid, token in tokens.items() if token in own or any(one.ranges_of(token) for one in self._hosts)
        )

    def _bring_companions(self, index: Joined) -> None:
        named = {one.state.root: one.state.source for one in self._sources}
        stacks = {key: Stack.from_json(one["stack"]) for key, one in index.locators.items()}
        by_identity = matched(list(stacks.values()), self._incoming(host_tokens(stacks.values(), self._pseudonyms)))
        for key, stack in stacks.items():
            locator = _alone(index.locators[key])
            root = locator.pop("root", None)
            if root is not None:
                locator = _renamed(locator, f"{named[root]}/".__add__)
            found = with_companions(locator, by_identity.get(stack.identity, ()))
            index.locators[key] = {**locator, **found}

    def _incoming(self, tokens: Collection[str]) -> Incoming:
        sought = np.array(sorted({mark_of(token) for token in tokens}), dtype=np.uint64)
        taken: list[Reference] = []
        seen: set[str] = set()
        # what was scanned first at a later time comes first, as for images
        for place in reversed(range(len(self._sources))):
            source = self._sources[place].state.source
            fresh = [one for one in self._objects(place, sought) if one.sop_instance_uid not in seen]
            taken += [replace(one, path=f"{source}/{one.path}") for one in fresh]
            seen |= {one.sop_instance_uid for one in fresh} - {""}
        return [(one, self._named(one, tokens)) for one in each_once(taken)]


class _Joining:
    """Series of a range that several sources have, while they are joined."""

    def __init__(self, sources: Sequence[SourceIndex], pseudonyms: Pseudonyms) -> None:
        self._sources = sources
        self._naming = _JoinedNaming(pseudonyms, identified=sources[0].lake.privacy == "identified")
        self._contents: dict[str, list[Content]] = {}
        self._outcomes: dict[str, Outcome] = {}

    def join(self, index: Joined, dates: dict[str, Sequence[str]], within: Range, shared: set[str]) -> None:
        """Put rows and locators of joined series in the place of those that sources have."""
        first: dict[str, str] = {}
        taken: list[Header] = []
        unproved: set[str] = set()
        for key, parts in self._parts(index.instances, within, shared).items():
            first[key] = parts[0].source
            headers, is_proved = self._taken(parts)
            taken += headers
            unproved |= set() if is_proved else {key}
        assembly = assemble(taken, Looks(partial(self._looked, "wholes"), partial(self._looked, "pixels")))
        stacks = (_doubted(one) if self._naming.series(one) in unproved else one for one in assembly.stacks)
        assembly = replace(assembly, stacks=tuple(stacks))
        self._outcomes |= {self._naming.instance(path): one for path, one in assembly.outcomes.items()}
        found = index_rows(self._naming, taken, assembly)
        for row in rows_of(found.tables["series"]):
            row["source"] = first[row["series_key"]]
        going = {row["volume_key"] for row in index.volumes if row["series_key"] in shared}
        for name in ("members", "series", "volumes"):
            kept = [row for row in getattr(index, name) if row["series_key"] not in shared]
            setattr(index, name, [*kept, *rows_of(found.tables[name])])
        index.instances = [self._instance(row) for row in index.instances]
        kept_locators = {key: one for key, one in index.locators.items() if key not in going}
        index.locators = {**kept_locators, **json.loads(json.dumps(found.locators))}
        dates |= found.dates

    def _parts(self, instances: Sequence[Row], within: Range, shared: set[str]) -> dict[str, list[_Part]]:
        """Return what each source has of the shared series; of each series, the part first that is taken first."""
        keys = {row["instance_key"]: row["series_key"] for row in instances if row["series_key"] in shared}
        found: defaultdict[str, list[_Part]] = defaultdict(list)
        for place, source in enumerate(self._sources):
            own: defaultdict[str, list[Header]] = defaultdict(list)
            for content in self._contents_of(source, within):
                for path in sorted(content.lines):
                    joined = f"{source.state.source}/{path}"
                    key = keys.get(self._naming.instance(joined))
                    if key is not None:
                        own[key].append(structs.replace(content.header(path), path=joined))
            for key, headers in own.items():
                found[key].append(_Part(source.state.source, place, headers))
        return {key: sorted(parts, key=lambda part: part.order) for key, parts in sorted(found.items())}

    def _contents_of(self, source: SourceIndex, within: Range) -> list[Content]:
        blobs = (kept.headers for _, kept in source.ranges(within))
        found = [Content.from_bytes(source.lake.private.need(blob)) for blob in blobs if blob is not None]
        return self._contents.setdefault(source.state.source, found)

    def _taken(self, parts: Sequence[_Part]) -> tuple[list[Header], bool]:
        """Return the headers of a series that are taken, and whether its parts agree; note of the others that they are not.

        Parts agree if each that gives images has, of those that were taken before, only the same ones.
        """
        taken: list[Header] = []
        is_proved = True
        seen: defaultdict[str, set[str]] = defaultdict(set)
        # a sound copy counts more than a broken one, wherever it lies
        for is_image in (True, False):
            for part in parts:
                ours = [header for header in part.headers if _is_image(header) == is_image]
                fresh = [header for header in ours if _name(header) not in seen]
                taken += fresh
                if is_image:
                    known = [header for header in ours if _name(header) in seen]
                    self._outcomes |= {self._naming.instance(one.path): _OTHER for one in known}
                    is_same = all(one.content in seen[_name(one)] for one in known)
                    is_proved = is_proved and (is_same or not fresh)
                for header in fresh:
                    seen[_name(header)].add(header.content)
        return taken, is_proved

    def _instance(self, row: Row) -> Row:
        outcome = self._outcomes.get(row["instance_key"])
        if outcome is None or (outcome == _OTHER and row["outcome"] == "duplicate"):
            return row
        return {**row, "outcome": outcome.outcome, "code": outcome.code or None}

    def _looked(self, kind: str, path: str) -> str:
        """Return a digest that the source took to compare files: copies are sought within a source only."""
        source, _, own = path.partition("/")
        for content in self._contents[source]:
            held: dict[str, list[str]] = getattr(content, kind)
            if own in held:
                _, found, code = held[own][:3]
                if code:
                    raise Rejected(code)
                return found
        raise Rejected("E_UNREADABLE")


@dataclass(frozen=True, slots=True)
class _Part:
    """What a source has of a series."""

    source: str
    place: int
    headers: Sequence[Header]

    @property
    def order(self) -> tuple[int, int]:
        """What parts are sorted by: the first is taken first."""
        return -len({_name(header) for header in self.headers if _is_image(header)}), -self.place


class _JoinedNaming(Naming):
    """Names files whose paths begin with the id of their source."""

    def __init__(self, pseudonyms: Pseudonyms, *, identified: bool) -> None:
        super().__init__(source="", pseudonyms=pseudonyms, identified=identified)

    def instance(self, path: str) -> str:
        """Return the key of a file."""
        source, _, own = path.partition("/")
        return self.pseudonyms.key("instance", source, own)

    def instances(self, paths: Iterable[str]) -> list[str]:
        """Return the keys of files."""
        return list(map(self.instance, paths))


def _is_image(header: Header) -> bool:
    return header.has_pixels and not header.code


def _doubted(stack: Stack) -> Stack:
    """Return a stack with a flag if its files are of more than one source."""
    if len({path.partition("/")[0] for path in stack.paths}) == 1:
        return stack
    flags = (*stack.flags, "W_PARTS")
    return replace(stack, code=flags[0], flags=flags)


def _name(header: Header) -> str:
    return header.sop_instance_uid or header.head_digest


def _marks(source: SourceIndex, blob: str | None) -> Marks:
    return Marks() if blob is None else Marks.from_bytes(source.lake.private.need(blob))


def _alone(locator: Row) -> Row:
    """Return a locator without its companions."""
    digests = {path: locator["digests"][path] for path, _ in locator["stack"]["members"]}
    kept = {name: one for name, one in locator.items() if name != "labels"}
    return {**kept, "companions": [], "digests": digests}


def _renamed(locator: Row, name: Callable[[str], str]) -> Row:
    """Return a locator whose files bear other paths."""
    members = [[name(path), frame] for path, frame in locator["stack"]["members"]]
    labels = locator.get("labels", {})
    return {
        **locator,
        "stack": {**locator["stack"], "members": members},
        "companions": [name(path) for path in locator["companions"]],
        "digests": {name(path): one for path, one in locator["digests"].items()},
        **({"labels": {name(path): one for path, one in labels.items()}} if labels else {}),
    }


def _rooted(locator: Row, roots: Mapping[str, str]) -> Row:
    """Return a locator with the folders its files lie in; with plain paths where that is one."""
    if "root" in locator:
        return locator
    sources = sorted({path.partition("/")[0] for path in locator["digests"]})
    if len(sources) > 1:
        return {**locator, "roots": {source: roots[source] for source in sources}}
    return {**_renamed(locator, lambda path: path.partition("/")[2]), "root": roots[sources[0]]}
