"""The index of sources: what the scan and the assembly found, cut by ranges of keys.

A generation of a source says which shard holds the rows of which table and range; shards are
named by their content, so that generations share those that did not change. A pointer names
the current generation. All of it can be deleted: a scan makes it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medpipe.contracts.schema import Field, TableSchema
from medpipe.contracts.tables import INSTANCES, MEMBERS, SERIES, VOLUMES
from medpipe.errors import IntegrityError, LakeError
from medpipe.keys import bytes_digest, canonical, digest
from medpipe.lake.arrow import (
    Columns,
    Row,
    arrow_schema,
    merged,
    parquet_bytes,
    place_of,
    readable,
    refuse_identifiers,
    table_from,
    to_table,
)
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.ranges import RANGE_DIGITS, Range

_DIGITS = 32

TOMBSTONES = TableSchema(
    "tombstones",
    1,
    "a file that was taken out of the index because it is gone",
    (
        Field("instance_key", "string", "identity the file had"),
        Field("series_key", "string", "series it belonged to, or null"),
        Field("source", "string", "id of the archive source"),
        Field("scan", "int64", "number of the source's scan that took it out"),
    ),
    ("series_key", "instance_key"),
    "instance_key",
)

INDEX_TABLES: dict[str, TableSchema] = {
    schema.name: schema for schema in (INSTANCES, MEMBERS, SERIES, VOLUMES, TOMBSTONES)
}
"""The tables an index has."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Which shards a source's index has.

    Attributes
    ----------
    bits : int
        There are ``2 ** bits`` ranges.
    shards : mapping of str to mapping of int to str
        By table and number of the range, the digest of the shard; ranges without rows have none.
    rows : mapping of str to int
        Rows by table.
    private : mapping of str to str
        Keyed digests of what is sealed beside it, by name: equal generations are equal there too.
    """

    bits: int
    shards: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the generation as JSON values."""
        shards = {
            name: [self.shards.get(name, {}).get(number) for number in range(1 << self.bits)] for name in INDEX_TABLES
        }
        return {
            "generation_version": 1,
            "bits": self.bits,
            "shards": shards,
            "rows": dict(self.rows),
            "private": dict(self.private),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Generation:
        """Read what :meth:`to_json` wrote."""
        shards = {
            name: {number: one for number, one in enumerate(digests) if one is not None}
            for name, digests in found["shards"].items()
        }
        return cls(bits=found["bits"], shards=shards, rows=found["rows"], private=found["private"])

    @cached_property
    def id(self) -> str:
        """Digest of the content: equal for equal indexes."""
        return digest(self.to_json())[:_DIGITS]

    def paths(self, source: str) -> set[str]:
        """Return the files of the generation, its own among them."""
        shards = {
            LAYOUT.index_shard(source, name, Range(self.bits, number).name, one)
            for name, digests in self.shards.items()
            for number, one in digests.items()
        }
        return {LAYOUT.index_generation(source, self.id), *shards}


def put_shard(lake: Lake, source: str, name: str, within: Range, rows: Iterable[Row] | Columns) -> str | None:
    """Write the rows of a table and range; return the shard's digest, or None without rows.

    Raises
    ------
    LakeError
        For a table an index has not.
    SecurityError
        For identifying values in a pseudonymized lake.
    StoppedError
        If the disk is full.
    """
    return _put_table(lake, source, name, within, to_table(_schema(name), rows))


def edit_shard(
    lake: Lake,
    source: str,
    generation: Generation,
    name: str,
    number: int,
    *,
    coming: Iterable[Row] | Columns,
    column: str,
    going: Iterable[str],
) -> tuple[str | None, list[Row]]:
    """Write a shard of a generation in which some rows went and some came.

    It holds the same bytes as if all of its rows had come to :func:`put_shard`.

    Parameters
    ----------
    lake : Lake
    source : str
    generation : Generation
        It has the shard as it is before.
    name : str
        Name of the table.
    number : int
        The range's.
    coming : iterable of mapping, or Columns
        The rows that come.
    column : str
        Column that tells which rows go.
    going : iterable of str
        Its values in those rows.

    Returns
    -------
    str or None
        The shard's digest; None without rows.
    list of dict
        The rows that went.

    Raises
    ------
    IntegrityError
        If the shard is damaged or gone.
    SecurityError
        For identifying values in a pseudonymized lake.
    StoppedError
        If the disk is full.
    """
    schema = _schema(name)
    fresh = to_table(schema, coming)
    held = read_shard(lake, source, generation, name, number)
    goes = pc.is_in(held[column], value_set=pa.array(sorted(going), pa.string()))
    gone = held.filter(goes).to_pylist()
    # as text: a zero below zero equals zero and has other bytes
    if repr(gone) == repr(fresh.to_pylist()):
        return generation.shards.get(name, {}).get(number), gone
    table = merged(schema, [held.filter(pc.invert(goes)), fresh])
    return _put_table(lake, source, name, Range(generation.bits, number), table), gone


def _put_table(lake: Lake, source: str, name: str, within: Range, table: pa.Table) -> str | None:
    if not table.num_rows:
        return None
    refuse_identifiers(table, privacy=lake.privacy, name=name)
    data = parquet_bytes(table)
    found = bytes_digest(data)[:_DIGITS]
    lake.store.put_if_absent(LAYOUT.index_shard(source, name, within.name, found), data)
    return found


def put_generation(lake: Lake, source: str, generation: Generation) -> None:
    """Write a generation whose shards are written."""
    text = canonical(generation.to_json()).encode("ascii")
    lake.store.put_if_absent(LAYOUT.index_generation(source, generation.id), text)


def point_to(lake: Lake, source: str, generation: str) -> None:
    """Make a generation the current one, unless it is."""
    path = LAYOUT.index_pointer(source)
    if not lake.store.exists(path) or _current(lake, source) != generation:
        lake.store.swap_pointer(path, f"{generation}\n".encode())


def index_sources(lake: Lake) -> list[str]:
    """Return the ids of all sources that have an index, sorted."""
    folder = lake.store.absolute(LAYOUT.index_sources())
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in names if lake.store.exists(LAYOUT.index_pointer(name)))


def read_generation(lake: Lake, source: str, generation: str | None = None) -> Generation:
    """Return a generation of a source, the current one if none is named.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    IntegrityError
        If it is damaged.
    """
    wanted = generation or _current(lake, source)
    data = lake.store.get(LAYOUT.index_generation(source, wanted))
    try:
        found = Generation.from_json(json.loads(data))
        if found.id == wanted and canonical(found.to_json()).encode("ascii") == data:
            return found
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise _damaged(source)


def read_shard(
    lake: Lake, source: str, generation: Generation, name: str, number: int, *, within: Range | None = None
) -> pa.Table:
    """Return the rows of a table that lie in a range of the generation, or in a part of it.

    Raises
    ------
    IntegrityError
        If the shard is damaged or gone.
    """
    schema = _schema(name)
    found = generation.shards.get(name, {}).get(number)
    if found is None:
        return arrow_schema(schema).empty_table()
    own = Range(generation.bits, number)
    try:
        data = lake.store.get(LAYOUT.index_shard(source, name, own.name, found))
    except FileNotFoundError:
        raise _damaged(source) from None
    if bytes_digest(data)[:_DIGITS] != found:
        raise _damaged(source)
    with readable(f"index of {source}"):
        table = table_from(data)
    return table if within is None or within.bits <= own.bits else _cut(schema, table, within)


def _cut(schema: TableSchema, table: pa.Table, within: Range) -> pa.Table:
    places = pc.utf8_slice_codeunits(place_of(schema, table), 0, RANGE_DIGITS)
    return table.filter(pc.and_(pc.greater_equal(places, within.low), pc.less_equal(places, within.high)))


def _schema(name: str) -> TableSchema:
    if name not in INDEX_TABLES:
        raise LakeError(f"an index has no table {name} (it has {', '.join(INDEX_TABLES)})")
    return INDEX_TABLES[name]


def _current(lake: Lake, source: str) -> str:
    return lake.store.get(LAYOUT.index_pointer(source)).decode(errors="replace").strip()


def _damaged(source: str) -> IntegrityError:
    return IntegrityError(f"index of {source}: its files are damaged; delete the lake's index folder and scan again")
