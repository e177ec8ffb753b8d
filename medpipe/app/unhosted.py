"""Segmentations and structure sets whose images are nowhere in the lake: they are told, over all sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np

from medpipe.app.hosting import objects_from, tokens_of
from medpipe.app.source_index import Row, SourceIndex
from medpipe.keys import bytes_digest
from medpipe.lake.marks import Array, Marks, mark_of
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.ranges import Range

_CODE: Final = "W_NO_IMAGE"


class Rows(Protocol):
    """Rows of a range, as :class:`medpipe.app.index.Index` has them."""

    instances: list[Row]
    members: list[Row]
    volumes: list[Row]


class Unhosted:
    """Finds the objects that no volume of any source is a host to.

    Parameters
    ----------
    sources : sequence of SourceIndex
    pseudonyms : Pseudonyms
    """

    def __init__(self, sources: Sequence[SourceIndex], pseudonyms: Pseudonyms) -> None:
        self._sources = sources
        self._pseudonyms = pseudonyms
        hosts = [_marks(one, one.state.hosts).rows["token"] for one in sources]
        there = np.unique(np.concatenate([Marks().rows["token"], *hosts]))
        self._unmet = [_without(_marks(one, one.state.objects), there) for one in sources]

    def facts(self, place: int, within: Range) -> list[Any]:
        """Return what the rows of a source's objects in a range depend on beside its index."""
        kept = ((number, one.objects) for number, one in self._sources[place].ranges(within))
        unmet = ((blob, self._unmet[place].within(number, number)) for number, blob in kept)
        return [[blob, bytes_digest(tokens.tobytes())] for blob, tokens in unmet if len(tokens)]

    def tell(self, index: Rows, within: Range) -> None:
        """Give the objects of a range without images their code: their volumes, or what is no volume itself."""
        found = {key for place in range(len(self._sources)) for key in self._found(place, within)}
        if not found:
            return
        volumes = {row["volume_key"] for row in index.members if row["instance_key"] in found}
        shown = {row["instance_key"] for row in index.members}
        index.volumes = [_flagged(row) if row["volume_key"] in volumes else row for row in index.volumes]
        index.instances = [
            {**row, "code": _CODE} if row["instance_key"] in found - shown and not row["code"] else row
            for row in index.instances
        ]

    def _found(self, place: int, within: Range) -> Iterator[str]:
        """Yield the instance keys of the objects of a source that lie in a range, or beside it, and have no host."""
        source = self._sources[place]
        for number, kept in source.ranges(within):
            unmet = {int(token) for token in self._unmet[place].within(number, number)}
            if not unmet or kept.objects is None:
                continue
            for one in objects_from(source.lake.private.need(kept.objects)):
                if all(mark_of(token) in unmet for token in tokens_of(self._pseudonyms, one)):
                    yield self._pseudonyms.key("instance", source.state.source, one.path)


def _flagged(row: Row) -> Row:
    flags = [*(row["flags"] or ()), _CODE]
    return {**row, "flags": flags, "code": flags[0]}


def _without(marks: Marks, tokens: Array) -> Marks:
    return Marks(marks.rows[~np.isin(marks.rows["token"], tokens)])


def _marks(source: SourceIndex, blob: str | None) -> Marks:
    return Marks() if blob is None else Marks.from_bytes(source.lake.private.need(blob))
