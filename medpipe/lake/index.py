"""The index: what the scan and the assembly found, per archive source.

A generation is a folder of Parquet tables named by its content; a pointer names the current
one. It can be deleted and made again by a scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medpipe.contracts.tables import INSTANCES, MEMBERS, SERIES, VOLUMES, TableSchema
from medpipe.errors import LakeError
from medpipe.lake.arrow import Row, arrow_schema, parquet_bytes, readable, refuse_identifiers, to_table
from medpipe.lake.durable import ensure_folder, storage_faults, write_file
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.manifest import manifest_digest, publish_with_manifest, write_manifest

INDEX_TABLES: dict[str, TableSchema] = {schema.name: schema for schema in (INSTANCES, MEMBERS, SERIES, VOLUMES)}
"""The tables an index has."""


def write_index(lake: Lake, source: str, tables: Mapping[str, Iterable[Row]]) -> str:
    """Replace the index of a source, all tables at once.

    Parameters
    ----------
    lake : Lake
    source : str
        Id of the archive source.
    tables : mapping of str to iterable of mapping
        Rows by table; a table left out is empty.

    Returns
    -------
    str
        Id of the generation: a digest of its content.

    Raises
    ------
    LakeError
        For a table an index has not.
    SecurityError
        For identifying values in a pseudonymized lake.
    StoppedError
        If the disk is full; the old index stays.
    """
    unknown = sorted(set(tables) - set(INDEX_TABLES))
    if unknown:
        raise LakeError(f"an index has no table {', '.join(unknown)} (it has {', '.join(INDEX_TABLES)})")
    with storage_faults(f"the index of {source}"), lake.store.attempt("index") as attempt:
        ensure_folder(attempt)
        for name, schema in INDEX_TABLES.items():
            table = to_table(schema, tables.get(name, ()))
            refuse_identifiers(table, privacy=lake.privacy, name=name)
            write_file(attempt / f"{name}.parquet", parquet_bytes(table))
        entries = write_manifest(attempt)
        generation = manifest_digest(entries)[:32]
        publish_with_manifest(lake.store, attempt, LAYOUT.index_generation(source, generation), entries)
    lake.store.swap_pointer(LAYOUT.index_pointer(source), f"{generation}\n".encode())
    return generation


def index_sources(lake: Lake) -> list[str]:
    """Return the ids of all sources that have an index, sorted."""
    paths = (path.split("/") for path in lake.store.list(LAYOUT.index_sources()))
    return sorted({parts[1] for parts in paths if parts[2:] == ["CURRENT"]})


def read_index(
    lake: Lake,
    name: str,
    *,
    source: str | None = None,
    generation: str | None = None,
    columns: list[str] | None = None,
) -> pa.Table:
    """Return a table of the index.

    Parameters
    ----------
    lake : Lake
    name : {"instances", "members", "series", "volumes"}
    source : str, optional
        One source; all of them, one after the other, if left out.
    generation : str, optional
        A generation of that source; the current one if left out.
    columns : list of str, optional
        Only these columns.

    Returns
    -------
    pyarrow.Table
        ``to_pylist()`` gives rows. Empty if nothing was scanned.

    Raises
    ------
    LakeError
        For a table an index has not.
    IntegrityError
        If a file of it is damaged.
    """
    if name not in INDEX_TABLES:
        raise LakeError(f"an index has no table {name} (it has {', '.join(INDEX_TABLES)})")
    known = index_sources(lake)
    wanted = known if source is None else [source] if source in known else []
    schema = arrow_schema(INDEX_TABLES[name])
    empty = schema.empty_table() if columns is None else schema.empty_table().select(columns)
    found = [_read(lake, one, name, generation or _current(lake, one), columns) for one in wanted]
    return pa.concat_tables([empty, *found])


def _current(lake: Lake, source: str) -> str:
    return lake.store.get(LAYOUT.index_pointer(source)).decode().strip()


def _read(lake: Lake, source: str, name: str, generation: str, columns: list[str] | None) -> Any:
    path = LAYOUT.index_table(source, generation, name)
    with readable(f"index of {source}"):
        return pq.read_table(
            lake.store.absolute(path), columns=columns, partitioning=None, page_checksum_verification=True
        )
