"""From rows to Arrow tables and Parquet bytes: the same content gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medpipe.contracts.schema import TableSchema
from medpipe.errors import IntegrityError, SecurityError

Row = Mapping[str, Any]

IDENTIFYING = frozenset(
    {"path", "sop_instance_uid", "series_instance_uid", "study_instance_uid", "patient_id"},
)
"""Columns that must be null unless the lake is an identified one."""

_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "list<int64>": pa.list_(pa.int64()),
    "list<float64>": pa.list_(pa.float64()),
    "list<string>": pa.list_(pa.string()),
}
_ROW_GROUP_ROWS = 1 << 16
_ROW_GROUP_BYTES = 48 << 20
_BYTES_PER_VALUE = {"string": 40, "list<int64>": 40, "list<float64>": 150, "list<string>": 20}
_LEAST_ROWS = 1 << 10


class Columns(NamedTuple):
    """Rows of a table by column, all of one length; at least one."""

    values: Mapping[str, Sequence[Any]]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows."""
        return (dict(zip(self.values, row, strict=True)) for row in zip(*self.values.values(), strict=True))


def arrow_schema(schema: TableSchema) -> pa.Schema:
    """Return the Arrow schema of a table, with its name and version as metadata."""
    fields = [pa.field(field.name, _TYPES[field.type]) for field in schema.fields]
    return pa.schema(fields, metadata={"medpipe.table": schema.name, "medpipe.version": str(schema.version)})


def table_from(data: bytes) -> pa.Table:
    """Return the table in a Parquet file that is in memory, read in this thread alone.

    A thread of Arrow's pool may let go of the bytes after the table was returned; if the process
    ends just then, it dies of it (pyarrow 26: 26 of 216 short processes).
    """
    with pq.ParquetFile(pa.BufferReader(data), pre_buffer=False) as file:
        return file.read(use_threads=False)


def to_table(schema: TableSchema, rows: Iterable[Row] | Columns) -> pa.Table:
    """Return rows as an Arrow table, sorted by the schema's order with nulls first.

    A row without a series stands where its own key does (``schema.own``).

    Parameters
    ----------
    schema : TableSchema
    rows : iterable of mapping, or Columns
        A column that a row leaves out is null; NaN stays NaN.

    Raises
    ------
    IntegrityError
        If a row has a column the schema has not, a value of another type or an infinity.
    """
    arrow = arrow_schema(schema)
    held: list[Row] = []
    if isinstance(rows, Columns):
        _refuse_unknown(schema, rows.values)
        said = rows.values
        count = len(next(iter(said.values())))
        columns = [_column(schema, field, said.get(field.name) or [None] * count) for field in arrow]
    else:
        held = list(rows)
        _refuse_unknown(schema, set().union(*held))
        columns = [_column(schema, field, [row.get(field.name) for row in held]) for field in arrow]
    table = pa.Table.from_arrays(columns, schema=arrow)
    order = _order(schema, table, lambda: list(rows.rows()) if isinstance(rows, Columns) else held)
    return table if order is None else table.take(order)


def merged(schema: TableSchema, tables: Iterable[pa.Table]) -> pa.Table:
    """Return tables of :func:`to_table` as the one it would have made of all their rows.

    No row of one may have the sort keys of a row of another.
    """
    # the first gives the schema: what was read from Parquet names the values of lists otherwise
    table = pa.concat_tables([arrow_schema(schema).empty_table(), *tables]).combine_chunks()
    return table.take(_sorted(_keys(schema, table)))


def place_of(schema: TableSchema, table: pa.Table) -> pa.ChunkedArray:
    """Return the key each row is sorted in by: its series', or its own where it has none."""
    if not schema.own:
        return table["series_key"]
    return pc.coalesce(table["series_key"], table[schema.own])


def refuse_identifiers(table: pa.Table, *, privacy: str, name: str) -> None:
    """Refuse a table with identifying values in a pseudonymized lake.

    Raises
    ------
    SecurityError
        Names the column, never a value.
    """
    if privacy == "identified":
        return
    for column in sorted(IDENTIFYING.intersection(table.column_names)):
        if table[column].null_count < table.num_rows:
            raise SecurityError(f"{name}.{column}: identifies a patient in a pseudonymized lake; refused, report it")


def group_rows(schema: TableSchema) -> int:
    """Return how many rows a row group of a table has: some 48 MiB before compression."""
    width = sum(_BYTES_PER_VALUE.get(field.type, 8) for field in schema.fields)
    return min(_ROW_GROUP_ROWS, max(_LEAST_ROWS, 1 << (_ROW_GROUP_BYTES // width).bit_length() - 1))


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file, with every setting of the writer fixed."""
    sink = pa.BufferOutputStream()
    with parquet_writer(sink, table.schema) as writer:
        writer.write_table(table, row_group_size=_ROW_GROUP_ROWS)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def write_parquet(path: Path, schema: TableSchema, tables: Iterable[pa.Table]) -> int:
    """Write tables, one after the other, as one Parquet file; return the number of rows.

    How the rows come in tables does not show in the file, and no more than two row groups are
    held at a time.
    """
    size, rows = group_rows(schema), 0
    with parquet_writer(str(path), arrow_schema(schema)) as writer:
        for group in _regrouped(tables, size):
            writer.write_table(group, row_group_size=size)
            rows += group.num_rows
    return rows


def parquet_writer(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """Return a writer of a Parquet file with every setting fixed."""
    return pq.ParquetWriter(
        sink,
        schema,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=1,
        use_dictionary=_names(schema, pa.types.is_string),
        use_byte_stream_split=_names(schema, pa.types.is_floating),
        write_statistics=True,
        # zstd frames hold no checksum: without these a rotten byte would be read as another number
        write_page_checksum=True,
        store_schema=True,
    )


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn a Parquet file that cannot be read into an alarm.

    Raises
    ------
    IntegrityError
        Names `what`; :class:`FileNotFoundError` passes.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException):
        raise IntegrityError(f"{what}: its files are damaged; medpipe verify names what to remove") from None


def _names(schema: pa.Schema, test: Any) -> list[str]:
    return [field.name for field in schema if test(field.type)]


def _regrouped(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Yield tables of ``size`` rows, each in one piece, so that its pages do not show where it was cut."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= size:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, size).combine_chunks()
            waiting, rows = [whole.slice(size)], rows - size
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def _refuse_unknown(schema: TableSchema, names: Iterable[str]) -> None:
    unknown = set(names) - {field.name for field in schema.fields}
    if unknown:
        raise IntegrityError(f"table {schema.name}: no such column: {', '.join(sorted(unknown))}; report it")


def _order(schema: TableSchema, table: pa.Table, rows: Callable[[], list[Row]]) -> pa.Array | None:
    """Return where each row goes; None where they stand right."""
    if table.num_rows < 2:
        return None
    keys = _keys(schema, table)
    order = _sorted(keys)
    tied = _tied(keys.take(order))
    return order if tied is None else pa.array(_untied(schema, order.to_pylist(), tied, rows()))


def _keys(schema: TableSchema, table: pa.Table) -> pa.Table:
    """Return the columns rows are sorted by."""
    return pa.table(
        {name: place_of(schema, table) if name == "series_key" and schema.own else table[name] for name in schema.order}
    )


def _sorted(keys: pa.Table) -> pa.Array:
    """Return where each row goes; those with the same keys stay as they are."""
    columns = dict(zip(keys.column_names, keys.columns, strict=True))
    # nulls first, by a column of its own: releases of Arrow differ in how it is asked for
    valid = {f"{name} is there": column.is_valid() for name, column in columns.items() if column.null_count}
    names = [one for name in columns for one in (f"{name} is there", name) if one in columns or one in valid]
    return pc.sort_indices(pa.table({**columns, **valid}), sort_keys=[(name, "ascending") for name in names])


def _tied(keys: pa.Table) -> Any:
    """Tell of each row but the first whether its keys are those of the row before; None if none are."""
    tied: Any = None
    # the last column tells rows apart best
    for column in reversed(keys.columns):
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        alike = pc.or_(pc.fill_null(pc.equal(before, after), False), pc.and_(before.is_null(), after.is_null()))  # noqa: FBT003
        tied = alike if tied is None else pc.and_(tied, alike)
        if not pc.any(tied).as_py():
            return None
    return tied


def _untied(schema: TableSchema, order: list[int], tied: Any, rows: list[Row]) -> list[int]:
    """Put rows that the order leaves level in the order of their whole content, lest it be that of arrival."""
    found: list[int] = []
    level = [order[0]]
    for place, is_tied in zip(order[1:], tied.to_pylist(), strict=True):
        if not is_tied:
            found += sorted(level, key=lambda at: _text(schema, rows[at]))
            level = []
        level.append(place)
    return found + sorted(level, key=lambda at: _text(schema, rows[at]))


def _text(schema: TableSchema, row: Row) -> str:
    return repr([row.get(field.name) for field in schema.fields])


def _column(schema: TableSchema, field: pa.Field, values: Sequence[Any]) -> pa.Array:
    try:
        column = pa.array(values, type=field.type, from_pandas=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise IntegrityError(f"{schema.name}.{field.name}: a value is no {field.type}; report it") from None
    numbers = column.flatten() if pa.types.is_list(field.type) else column
    if pa.types.is_floating(numbers.type) and pc.any(pc.is_inf(numbers)).as_py():
        raise IntegrityError(f"{schema.name}.{field.name}: a value is infinite; report it")
    if pa.types.is_floating(field.type):
        # One NaN among the many bit patterns, since bytes are compared.
        return pc.if_else(pc.is_nan(column), pa.scalar(float("nan")), column)
    return column
