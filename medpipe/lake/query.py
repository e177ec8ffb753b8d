"""Reading published tables: as Arrow, by SQL, and out of the lake as a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from medpipe.contracts.schema import TableSchema
from medpipe.errors import ConfigError, IntegrityError, LakeError
from medpipe.lake.arrow import Row, arrow_schema, to_table
from medpipe.lake.durable import storage_faults
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.opened import OpenTables, Where
from medpipe.lake.tables import latest_publication

_READING = {"SELECT", "EXPLAIN", "PRAGMA", "MULTI"}
"""Statements that read; PIVOT is a MULTI."""

_ROTTEN = "checksum verification failed"
"""What Arrow says of a page with another checksum; DuckDB passes it on in an error of its own."""


def tables_path(lake: Lake, recipe: str | None = None) -> Path:
    """Return the folder of the published tables: the latest, or a recipe's latest.

    Raises
    ------
    LakeError
        If nothing was published yet.
    """
    if recipe is None:
        path = lake.store.absolute(LAYOUT.tables())
    else:
        path = lake.store.absolute(latest_publication(lake, recipe) or LAYOUT.latest(recipe))
    # Resolved once, so that a reader does not see two publications when the link is swapped.
    resolved = path.resolve()
    if not resolved.is_dir():
        of_recipe = "" if recipe is None else f" for recipe {recipe}"
        raise LakeError(f"{lake.root}: no tables are published{of_recipe} yet; end a run with medpipe run first")
    return resolved


def table_names(lake: Lake, recipe: str | None = None) -> list[str]:
    """Return the names of the published tables, sorted."""
    return open_tables(lake, recipe).names


def read_table(
    lake: Lake,
    name: str,
    *,
    recipe: str | None = None,
    columns: list[str] | None = None,
    where: Where | None = None,
) -> pa.Table:
    """Return a published table.

    Parameters
    ----------
    lake : Lake
    name : str
    recipe : str, optional
        The recipe's latest tables instead of the lake's.
    columns : list of str, optional
        Only these columns.
    where : mapping of str to value, optional
        Only rows with these values; parts that cannot have such a row are not opened.

    Raises
    ------
    LakeError
        If there is no such table.
    ConfigError
        If it has no such column.
    IntegrityError
        If its files are damaged.
    """
    return open_tables(lake, recipe).read(name, columns=columns, where=where)


def open_table(lake: Lake, name: str, *, recipe: str | None = None) -> Any:
    """Return a published table as a :class:`pyarrow.dataset.Dataset`, without reading its rows.

    Raises
    ------
    LakeError
        If there is no such table.
    IntegrityError
        If its files are damaged.
    """
    return open_tables(lake, recipe).dataset(name)


def open_tables(lake: Lake, recipe: str | None = None) -> OpenTables:
    """Open the published tables: the latest, or a recipe's latest.

    Raises
    ------
    LakeError
        If nothing was published yet.
    IntegrityError
        If the list of parts is damaged.
    """
    folder = tables_path(lake, recipe).relative_to(lake.store.root.resolve()).as_posix()
    return OpenTables(lake.store, folder)


def sql(lake: Lake, text: str, *, recipe: str | None = None) -> pa.Table:
    """Return the answer to one SQL query (DuckDB's dialect) over the published tables.

    Tables are read lazily, only the columns and row groups a query needs. The query sees
    nothing else: no files, no network, no extensions, no Python variables.

    Raises
    ------
    ConfigError
        If the text is no query, or the query is wrong; says what DuckDB says.
    LakeError
        If nothing was published yet.
    IntegrityError
        If the files it has to read are damaged.
    """
    tables = open_tables(lake, recipe)
    return _answer({name: tables.dataset(name) for name in tables.names}, text)


def filter_rows(tables: Mapping[str, tuple[TableSchema, Iterable[Row]]], text: str) -> list[dict[str, Any]]:
    """Return the answer to one SQL query over rows in memory, with the same limits as :func:`sql`.

    Parameters
    ----------
    tables : mapping of str to (TableSchema, iterable of mapping)
        Only the columns of the schema are seen.
    text : str

    Raises
    ------
    ConfigError
        If the text is no query, or the query is wrong.
    """
    known = {name: to_table(schema, _only(schema, rows)) for name, (schema, rows) in tables.items()}
    found: list[dict[str, Any]] = _answer(known, text).to_pylist()
    return found


def ask_parts(schemas: Mapping[str, TableSchema], parts: Iterable[Mapping[str, Iterable[Row]]], text: str) -> pa.Table:
    """Return the answer to one SQL query over rows that come in parts, with the same limits as :func:`sql`.

    The parts wait in a temporary folder, so that no more than one is in memory.

    Parameters
    ----------
    schemas : mapping of str to TableSchema
        Only the columns of a table's schema are seen.
    parts : iterable of mapping of str to iterable of mapping
        Rows by table.
    text : str

    Raises
    ------
    ConfigError
        If the text is no query, or the query is wrong.
    StoppedError
        If the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="medpipe-sql-") as folder, storage_faults(folder):
        places = {name: Path(folder) / f"{name}.parquet" for name in schemas}
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(pq.ParquetWriter(place, arrow_schema(schemas[name]), compression="zstd"))
                for name, place in places.items()
            }
            for part in parts:
                for name, rows in part.items():
                    writers[name].write_table(to_table(schemas[name], _only(schemas[name], rows)))
        return _answer({name: ds.dataset(place) for name, place in places.items()}, text)


def _only(schema: TableSchema, rows: Iterable[Row]) -> list[Row]:
    return [{field.name: row.get(field.name) for field in schema.fields} for row in rows]


def _answer(tables: Mapping[str, Any], text: str) -> pa.Table:
    with tempfile.TemporaryDirectory(prefix="medpipe-sql-") as spill, _connection(spill) as connection:
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("SET lock_configuration = true")
        try:
            _refuse_writing(connection, text)
            return connection.sql(text).to_arrow_table()
        except duckdb.Error as error:
            if _ROTTEN in str(error):
                raise IntegrityError("a table's files are damaged; medpipe verify names what to remove") from None
            raise ConfigError(f"the query cannot be answered: {error}") from None


def _connection(spill: str) -> duckdb.DuckDBPyConnection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
        "temp_directory": spill,
    }
    return duckdb.connect(":memory:", config=settings)


def _refuse_writing(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    statements = connection.extract_statements(text)
    if len(statements) != 1 or statements[0].type.name not in _READING:
        raise ConfigError("one query that reads is expected, such as SELECT * FROM volumes")
