"""Which companion objects go with which volumes, over all ranges of a source.

A segmentation lies in the range of its own study; the series it was made on may lie in
another. So of every series that regions can be drawn on a token says in which ranges it is, and
of every range which tokens its objects look for. After a change only the objects that changed
are looked at, and those that look for something in a range made anew.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medpipe.app.scan_state import RangeState
from medpipe.archive.companions import Reference, each_once, is_host
from medpipe.archive.stacks import Stack
from medpipe.keys import digest
from medpipe.lake.marks import Marks, mark_of
from medpipe.lake.private import Private
from medpipe.lake.sealed_spool import SealedSpool
from medpipe.privacy.pseudonyms import Pseudonyms

COMING_BYTES = 32 << 20
"""Bytes of objects, on their way to their hosts, held in memory before they are put aside."""

Incoming = Sequence[tuple[Reference, tuple[str, ...]]]
"""Objects that look for volumes in a range, each with those of its series that are anywhere."""


def host_tokens(stacks: Iterable[Stack], pseudonyms: Pseudonyms) -> dict[str, int]:
    """Return the tokens by which objects find the stacks of a range."""
    tokens: dict[str, int] = {}
    for stack in filter(is_host, stacks):
        if stack.series_uid:
            tokens[series_token(pseudonyms, stack.series_uid)] = 0
        if stack.frame_of_reference_uid:
            tokens[_frame_token(pseudonyms, stack.study_uid, stack.frame_of_reference_uid)] = 0
    return tokens


def wanted_tokens(objects: Iterable[Reference], pseudonyms: Pseudonyms) -> dict[str, int]:
    """Return the tokens of all that objects look for; for one that names nothing, a token that no host has."""
    nothing = pseudonyms.key("host of nothing")
    return {token: 0 for one in objects for token in (*tokens_of(pseudonyms, one),) or (nothing,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """Brings objects to the ranges in which their hosts are.

    Attributes
    ----------
    private : Private
    pseudonyms : Pseudonyms
    hosts_before, hosts : Marks
        What can have companions, by range: before the scan, and now.
    wanted : Marks
        What objects look for, by the range they lie in, now.
    ranges : mapping of int to RangeState
        Now; they name the objects.
    """

    private: Private
    pseudonyms: Pseudonyms
    hosts_before: Marks
    hosts: Marks
    wanted: Marks
    ranges: Mapping[int, RangeState]

    def touched(self, anew: Collection[int], before: Mapping[int, RangeState]) -> set[int]:
        """Return the ranges to which other objects may come than before, those made anew among them."""
        moved = {one for number in anew for one in self._changed(before.get(number), self.ranges.get(number))}
        tokens = self.hosts.differing(self.hosts_before, anew)
        sought = {int(token) for token in tokens}
        for number in self.wanted.ranges_with(tokens):
            held = self._objects(self.ranges[number])
            moved |= {one for one in held if any(mark_of(token) in sought for token in tokens_of(self.pseudonyms, one))}
        return {*anew, *(number for one in moved for number in self._anywhere(one))}

    def bring(self, numbers: Collection[int], coming: SealedSpool) -> None:
        """Put every object that looks for volumes in some ranges there."""
        going = set(numbers)
        for number in self.wanted.ranges_with(self.hosts.tokens_of(numbers)):
            for one in self._objects(self.ranges[number]):
                places, named = self._places(one)
                line = json.dumps([asdict(one), named]).encode() if places & going else b""
                for place in places & going:
                    coming.add(place, line)

    def brought(self, lines: Iterable[bytes]) -> Incoming:
        """Return what :meth:`bring` put into a range, in order and each object once."""
        found = {_reference(one): tuple(named) for one, named in map(json.loads, lines)}
        return [(one, found[one]) for one in each_once(found)]

    def _places(self, one: Reference) -> tuple[set[int], tuple[str, ...]]:
        """Return the ranges with hosts of an object, and those of its series that have one anywhere."""
        by_series = {uid: self.hosts.ranges_of(series_token(self.pseudonyms, uid)) for uid in one.series}
        named = tuple(uid for uid, ranges in by_series.items() if ranges)
        if named:
            return {number for ranges in by_series.values() for number in ranges}, named
        tokens = (_frame_token(self.pseudonyms, one.study_uid, uid) for uid in one.frames)
        return {number for token in tokens for number in self.hosts.ranges_of(token)}, named

    def _anywhere(self, one: Reference) -> set[int]:
        tokens = tokens_of(self.pseudonyms, one)
        both = (self.hosts_before, self.hosts)
        return {number for token in tokens for marks in both for number in marks.ranges_of(token)}

    def _changed(self, before: RangeState | None, now: RangeState | None) -> set[Reference]:
        held = [None if one is None else one.objects for one in (before, now)]
        if held[0] == held[1]:
            return set()
        return self._objects(before) ^ self._objects(now)

    def _objects(self, state: RangeState | None) -> set[Reference]:
        if state is None or state.objects is None:
            return set()
        return set(objects_from(self.private.need(state.objects)))


def incoming_digest(found: Incoming) -> str:
    """Return a digest by which a range knows that other objects came to it; empty for none."""
    return digest([[asdict(one), list(named)] for one, named in found]) if found else ""


def objects_bytes(objects: Iterable[Reference]) -> bytes:
    """Return objects as bytes, to be sealed."""
    return json.dumps([asdict(one) for one in objects]).encode()


def objects_from(data: bytes) -> list[Reference]:
    """Read what :func:`objects_bytes` wrote."""
    return [_reference(one) for one in json.loads(data)]


def _reference(found: Mapping[str, Any]) -> Reference:
    lists = {name: tuple(found.get(name, ())) for name in ("series", "frames", "labels")}
    return Reference(**{**found, **lists})


def tokens_of(pseudonyms: Pseudonyms, one: Reference) -> Iterator[str]:
    """Yield the tokens of all that an object looks for."""
    for uid in one.series:
        yield series_token(pseudonyms, uid)
    for uid in one.frames:
        yield _frame_token(pseudonyms, one.study_uid, uid)


def series_token(pseudonyms: Pseudonyms, series_uid: str) -> str:
    """Return the token by which objects find a series."""
    return pseudonyms.key("host of series", series_uid)


def _frame_token(pseudonyms: Pseudonyms, study_uid: str, frame_uid: str) -> str:
    return pseudonyms.key("host of frame", study_uid, frame_uid)
