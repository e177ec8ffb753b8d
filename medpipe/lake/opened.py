"""The tables of one publication, opened: a reader opens only the parts that can hold what it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs

from medpipe.contracts.schema import TableSchema
from medpipe.errors import ConfigError, LakeError
from medpipe.lake.arrow import arrow_schema, readable
from medpipe.lake.parts import NO_MODALITY, Part, read_parts
from medpipe.lake.store import LocalStore
from medpipe.ranges import Range

Where = Mapping[str, str | int | bool]

_CHECKED = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)

_WHOLE = Range(0, 0)

_PLACED = frozenset({"series_key", "volume_key", "region_key"})
"""Keys whose first digits are those of the series."""

_NULLABLE = frozenset({("scores", "region_key"), ("views", "region_key")})


class OpenTables:
    """The tables of one publication, which stay the same while others are published.

    Parameters
    ----------
    store : LocalStore
    folder : str
        Of the publication.
    """

    def __init__(self, store: LocalStore, folder: str) -> None:
        self._root = store.absolute(folder)
        self._list = read_parts(store, folder)

    @property
    def names(self) -> list[str]:
        """Names of the tables, sorted."""
        return sorted(self._list.schemas)

    def dataset(self, name: str) -> Any:
        """Return a table as a dataset, whose filters leave out parts by what lies in them."""
        schema = self._list.schemas.get(name)
        if schema is None:
            raise LakeError(f"there is no table {name!r} (there are {', '.join(self.names)})")
        files = pafs.LocalFileSystem()
        fragments = [
            _CHECKED.make_fragment(
                str(self._root / part.file), filesystem=files, partition_expression=_guarantee(schema, part)
            )
            for part in self._list.parts
            if part.table == name
        ]
        return ds.FileSystemDataset(fragments, arrow_schema(schema), _CHECKED, files)

    def read(self, name: str, *, columns: list[str] | None = None, where: Where | None = None) -> pa.Table:
        """Return a table, as :func:`read_table` does."""
        table = self.dataset(name)
        for column in [*(columns or ()), *(where or ())]:
            if column not in table.schema.names:
                raise ConfigError(f"table {name} has no column {column!r}")
        with readable(f"table {name}"):
            return table.to_table(columns=columns, filter=_fits(where or {}))

    def rows(self, name: str, where: Where, *, columns: list[str] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a table with these values."""
        found: list[dict[str, Any]] = self.read(name, columns=columns, where=where).to_pylist()
        return found

    def each(self, name: str, where: Where) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table with these values, without holding them all."""
        with readable(f"table {name}"):
            for batch in self.dataset(name).to_batches(filter=_fits(where), batch_readahead=1, fragment_readahead=1):
                yield from batch.to_pylist()

    def within(self, name: str, one: Range, *, columns: list[str]) -> list[dict[str, Any]]:
        """Return some columns of a table's rows that lie in a range of keys."""
        schema, table = self._list.schemas[name], self.dataset(name)
        by_series = _lies_in("series_key", one)
        chosen = [by_series]
        if schema.own:
            # asked apart: only so are row groups left out by what they hold
            chosen.append(ds.field("series_key").is_null() & _lies_in(schema.own, one))
        with readable(f"table {name}"):
            found = pa.concat_tables([table.to_table(columns=columns, filter=one) for one in chosen])
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def starting(self, name: str, column: str, digits: str, *, columns: list[str]) -> list[dict[str, Any]]:
        """Return some columns of the rows whose key begins with some digits."""
        key = ds.field(column)
        with readable(f"table {name}"):
            table = self.dataset(name).to_table(columns=columns, filter=(key >= digits) & (key < f"{digits}g"))
        found: list[dict[str, Any]] = table.to_pylist()
        return found


def _fits(where: Where) -> Any:
    fits = [ds.field(column) == value for column, value in where.items()]
    return reduce(and_, fits) if fits else None


def _lies_in(column: str, one: Range) -> Any:
    key = ds.field(column)
    return (key >= one.low) & (key < f"{one.high}g")


def _guarantee(schema: TableSchema, part: Part) -> Any:
    """Return what holds for every row of a part."""
    if not part.modality:
        return ds.scalar(True)  # noqa: FBT003
    modality = ds.field("modality")
    holds = modality.is_null() if part.modality == NO_MODALITY else modality == part.modality
    if (part.low, part.high) == (_WHOLE.low, _WHOLE.high):
        return holds
    for name in _PLACED & {column.name for column in schema.fields}:
        key = ds.field(name)
        low, high = key >= part.low, key < f"{part.high}g"
        # each by itself with its nulls: only so Arrow can tell what a filter leaves out
        can_be_null = schema.own or (schema.name, name) in _NULLABLE
        holds = holds & ((low | key.is_null()) & (high | key.is_null()) if can_be_null else low & high)
    return holds
