"""Which parts a publication must have, and which of them the last one has already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from medpipe.contracts.schema import TableSchema
from medpipe.lake.last import Last
from medpipe.lake.layout import LAYOUT
from medpipe.lake.parts import NO_MODALITY, Counted, RangeEntry, cut, most_rows, writer_name
from medpipe.ranges import MOST_BITS, Range


class Job(NamedTuple):
    """A part to be there."""

    table: str
    modality: str
    node: Range
    rows: int

    @property
    def file(self) -> str:
        """Path in the publication."""
        return LAYOUT.keyed_part(self.table, self.modality, self.node.name)


class PartJobs:
    """The parts that ranges of rows make.

    Parameters
    ----------
    schemas : mapping of str to TableSchema
    bits : int
        Of the ranges.
    ranges : mapping of int to RangeEntry
        All of them, by number.
    last : Last or None
    """

    def __init__(
        self, schemas: Mapping[str, TableSchema], *, bits: int, ranges: Mapping[int, RangeEntry], last: Last | None
    ) -> None:
        self._schemas, self._bits, self._ranges, self._last = schemas, bits, ranges, last

    def all(self) -> Iterator[Job]:
        """Yield the parts, tables as they come, in the order of modalities and keys."""
        ranges = [self._ranges[number] for number in range(1 << self._bits)]
        for name, schema in self._schemas.items():
            modalities = {modality for entry in ranges for modality in entry.contents.get(name, ())}
            for modality in sorted(modalities, key=lambda one: (one != NO_MODALITY, one)):
                counted = [one for number in range(len(ranges)) for one in self._counted(name, modality, number)]
                for part in cut(counted, most_rows(schema)):
                    yield Job(name, modality, part.range, part.rows)

    def _counted(self, table: str, modality: str, number: int) -> Iterator[Counted]:
        entry = self._ranges[number]
        fine = entry.fine.get(table, {}).get(modality)
        if fine is not None:
            for digits, rows in fine.items():
                yield Counted(Range(MOST_BITS, int(digits, 16)), rows)
        elif content := entry.content(table, modality):
            yield Counted(Range(self._bits, number), content.rows)

    def is_unchanged(self, job: Job) -> bool:
        """Tell whether the last publication has the part, made of the same rows in the same way."""
        last = self._last
        if last is None or last.list.bits != self._bits or last.list.writer != writer_name():
            return False
        if job.file not in last.entries or not last.has_columns(self._schemas[job.table]):
            return False
        return all(
            self._ranges[number].content(job.table, job.modality)
            == last.list.ranges[number].content(job.table, job.modality)
            for number in numbers_in(job.node, self._bits)
        )


def numbers_in(node: Range, bits: int) -> range:
    """Return the numbers of the ranges, of some bits, that share keys with a node."""
    if node.bits > bits:
        number = node.number >> (node.bits - bits)
        return range(number, number + 1)
    finer = bits - node.bits
    return range(node.number << finer, (node.number + 1) << finer)
