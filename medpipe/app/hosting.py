"""Which companion objects go with which volumes, over all ranges of a source.

A segmentation lies in the range of its own study; the series it was made on may lie in
another. So the objects of all ranges are kept in one list, and of every series that regions can
be drawn on a token says in which ranges it is.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from medpipe.archive.companions import Reference, each_once, is_host
from medpipe.archive.stacks import Stack
from medpipe.keys import digest
from medpipe.lake.marks import Marks
from medpipe.privacy.pseudonyms import Pseudonyms

Objects = Mapping[int, Sequence[Reference]]
"""Companion objects by the range they lie in."""

Incoming = Sequence[tuple[Reference, tuple[str, ...]]]
"""Objects that look for volumes in a range, each with those of its series that are anywhere."""


def host_tokens(stacks: Iterable[Stack], pseudonyms: Pseudonyms) -> dict[str, int]:
    """Return the tokens by which objects find the stacks of a range."""
    tokens: dict[str, int] = {}
    for stack in filter(is_host, stacks):
        if stack.series_uid:
            tokens[_series_token(pseudonyms, stack.series_uid)] = 0
        if stack.frame_of_reference_uid:
            tokens[_frame_token(pseudonyms, stack.study_uid, stack.frame_of_reference_uid)] = 0
    return tokens


def incoming(objects: Objects, hosts: Marks, pseudonyms: Pseudonyms) -> dict[int, Incoming]:
    """Return, by range, the objects that may go with volumes there."""
    found: defaultdict[int, list[tuple[Reference, tuple[str, ...]]]] = defaultdict(list)
    for one in each_once(reference for held in objects.values() for reference in held):
        places = {uid: hosts.ranges_of(_series_token(pseudonyms, uid)) for uid in one.series}
        named = tuple(uid for uid, ranges in places.items() if ranges)
        if not named:
            places = {uid: hosts.ranges_of(_frame_token(pseudonyms, one.study_uid, uid)) for uid in one.frames}
        for number in sorted({number for ranges in places.values() for number in ranges}):
            found[number].append((one, named))
    return dict(found)


def incoming_digest(found: Incoming) -> str:
    """Return a digest by which a range knows that other objects came to it; empty for none."""
    return digest([[asdict(one), list(named)] for one, named in found]) if found else ""


def objects_bytes(objects: Objects) -> bytes:
    """Return objects as bytes, to be sealed."""
    return json.dumps({number: [asdict(one) for one in held] for number, held in objects.items() if held}).encode()


def read_objects(data: bytes) -> dict[int, list[Reference]]:
    """Read what :func:`objects_bytes` wrote."""
    return {int(number): list(_references(held)) for number, held in json.loads(data).items()}


def _references(held: Iterable[Mapping[str, str | list[str]]]) -> Iterator[Reference]:
    for one in held:
        yield Reference(
            sop_instance_uid=str(one["sop_instance_uid"]),
            bytes_digest=str(one["bytes_digest"]),
            path=str(one["path"]),
            study_uid=str(one["study_uid"]),
            series=tuple(one["series"]),
            frames=tuple(one["frames"]),
        )


def _series_token(pseudonyms: Pseudonyms, series_uid: str) -> str:
    return pseudonyms.key("host of series", series_uid)


def _frame_token(pseudonyms: Pseudonyms, study_uid: str, frame_uid: str) -> str:
    return pseudonyms.key("host of frame", study_uid, frame_uid)
