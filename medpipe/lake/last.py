"""The last publication of a recipe, as what the next one may take over."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medpipe.contracts.schema import TableSchema
from medpipe.errors import IntegrityError, SecurityError
from medpipe.lake.arrow import arrow_schema, place_of, readable
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.manifest import Entry, file_entry, manifest_digest, read_manifest
from medpipe.lake.parts import Part, PartsList, RangeEntry, read_parts, same_columns
from medpipe.lake.store import LocalStore
from medpipe.ranges import Range

FOLDER_DIGITS = 16
"""Digits of the digest of all its files in the name of a publication."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """What was published before.

    Attributes
    ----------
    root : Path
        Its folder on this host.
    list : PartsList
    entries : mapping of str to Entry
        Of its manifest, by path.
    """

    root: Path
    list: PartsList
    entries: Mapping[str, Entry]

    @classmethod
    def open(cls, store: LocalStore, folder: str) -> Last | None:
        """Return a publication, or None if it is not there or cannot be relied on."""
        try:
            entries = read_manifest(store, folder)
            if not folder.endswith(f"-{manifest_digest(entries)[:FOLDER_DIGITS]}"):
                return None
            by_path = {entry.path: entry for entry in entries}
            return cls(root=store.absolute(folder), list=read_parts(store, folder), entries=by_path)
        except (IntegrityError, SecurityError):
            return None

    def range(self, bits: int, number: int, *, state: str) -> RangeEntry | None:
        """Return what it holds of a range, if that was derived from the same state."""
        if self.list.bits != bits or self.list.ranges[number].state != state:
            return None
        return self.list.ranges[number]

    def has_columns(self, schema: TableSchema) -> bool:
        """Tell whether it has a table with just these columns."""
        known = self.list.schemas.get(schema.name)
        return known is not None and same_columns(known, schema)

    def parts_of(self, table: str, modality: str, node: Range) -> Sequence[Part]:
        """Return the parts with rows of a table and modality that lie in a range, in order."""
        found = [part for part in self.list.parts if (part.table, part.modality) == (table, modality)]
        return [part for part in found if part.low <= node.high and node.low <= part.high]

    def is_sound(self, *, linked: Iterable[str], read: Iterable[str]) -> bool:
        """Check files: those to be linked by their size, those to be read by their digest."""
        try:
            if any((self.root / file).stat().st_size != self.entries[file].size for file in linked):
                return False
            return all(file_entry(self.root / file, self.root) == self.entries.get(file) for file in read)
        except OSError:
            return False

    def rows(
        self, schema: TableSchema, parts: Iterable[Part], ranges: Iterable[Range]
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield the rows of parts that lie in ranges, in order, each with the number of its range."""
        wanted = list(ranges)
        for part in parts:
            with readable(f"part {part.file}"), pq.ParquetFile(self.root / part.file) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group).cast(arrow_schema(schema))
                    for one in wanted:
                        some = within(schema, table, one)
                        if some.num_rows:
                            yield one.number, some


def latest_publication(lake: Lake, recipe_name: str) -> str | None:
    """Return the folder of a recipe's current publication, or None."""
    pointer = LAYOUT.latest(recipe_name)
    return lake.store.get(pointer).decode(errors="replace").strip() if lake.store.exists(pointer) else None


def within(schema: TableSchema, table: pa.Table, node: Range) -> pa.Table:
    """Return the sorted rows whose places lie in a range."""
    if not node.bits:
        return table
    places = place_of(schema, table)
    rows = range(table.num_rows)
    first = bisect_left(rows, node.low, key=lambda row: places[row].as_py())
    # no digit comes after "f"
    end = bisect_left(rows, f"{node.high}g", key=lambda row: places[row].as_py())
    return table.slice(first, end - first)
