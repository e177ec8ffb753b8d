"""From rows to Arrow tables and Parquet bytes: the same content gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medpipe.contracts.tables import TableSchema
from medpipe.errors import IntegrityError, SecurityError

Row = Mapping[str, Any]

IDENTIFYING = frozenset(
    {"path", "sop_instance_uid", "series_instance_uid", "study_instance_uid", "patient_id"},
)
"""Columns that must be null unless the lake is an identified one."""

PART_BYTES = 256 << 20
"""Bytes of a part before compression."""

_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "list<int64>": pa.list_(pa.int64()),
    "list<float64>": pa.list_(pa.float64()),
}
_ROW_GROUP_ROWS = 1 << 16
_BYTES_PER_VALUE = {"string": 40, "list<int64>": 40, "list<float64>": 150}


def arrow_schema(schema: TableSchema) -> pa.Schema:
    """Return the Arrow schema of a table, with its name and version as metadata."""
    fields = [pa.field(field.name, _TYPES[field.type]) for field in schema.fields]
    return pa.schema(fields, metadata={"medpipe.table": schema.name, "medpipe.version": str(schema.version)})


def to_table(schema: TableSchema, rows: Iterable[Row]) -> pa.Table:
    """Return rows as an Arrow table, sorted by the schema's order with nulls first.

    Parameters
    ----------
    schema : TableSchema
    rows : iterable of mapping
        A column that a row leaves out is null; NaN stays NaN.

    Raises
    ------
    IntegrityError
        If a row has a column the schema has not, a value of another type or an infinity.
    """
    ordered = _sorted(schema, list(rows))
    arrow = arrow_schema(schema)
    columns = [_column(schema, field, ordered) for field in arrow]
    return pa.Table.from_arrays(columns, schema=arrow)


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


def parts(schema: TableSchema, table: pa.Table) -> Iterator[bytes]:
    """Yield the Parquet files of a table, about 256 MiB before compression each, at least one."""
    width = sum(_BYTES_PER_VALUE.get(field.type, 8) for field in schema.fields)
    step = max(_ROW_GROUP_ROWS, PART_BYTES // width // _ROW_GROUP_ROWS * _ROW_GROUP_ROWS)
    for start in range(0, max(1, table.num_rows), step):
        yield parquet_bytes(table.slice(start, step))


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file, with every setting of the writer fixed."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        version="2.6",
        data_page_version="1.0",
        row_group_size=_ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=1,
        use_dictionary=_names(table, pa.types.is_string),
        use_byte_stream_split=_names(table, pa.types.is_floating),
        write_statistics=True,
        # zstd frames hold no checksum: without these a rotten byte would be read as another number
        write_page_checksum=True,
        store_schema=True,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


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


def _names(table: pa.Table, test: Any) -> list[str]:
    return [field.name for field in table.schema if test(field.type)]


def _sorted(schema: TableSchema, rows: list[Row]) -> list[Row]:
    names = {field.name for field in schema.fields}
    for row in rows:
        if not names.issuperset(row):
            unknown = ", ".join(sorted(set(row) - names))
            raise IntegrityError(f"table {schema.name}: no such column: {unknown}; report it")

    def place(row: Row) -> list[tuple[bool, Any]]:
        return [(row.get(name) is not None, row.get(name)) for name in schema.order]

    ordered: list[Row] = []
    for _, equal in groupby(sorted(rows, key=place), key=place):
        # Rows the order leaves level are put in the order of their whole content, lest it be that of arrival.
        tied = list(equal)
        ordered += tied if len(tied) == 1 else sorted(tied, key=lambda row: _text(schema, row))
    return ordered


def _text(schema: TableSchema, row: Row) -> str:
    return repr([row.get(field.name) for field in schema.fields])


def _column(schema: TableSchema, field: pa.Field, rows: list[Row]) -> pa.Array:
    try:
        column = pa.array([row.get(field.name) for row in rows], type=field.type, from_pandas=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise IntegrityError(f"{schema.name}.{field.name}: a value is no {field.type}; report it") from None
    numbers = column.flatten() if pa.types.is_list(field.type) else column
    if pa.types.is_floating(numbers.type) and pc.any(pc.is_inf(numbers)).as_py():
        raise IntegrityError(f"{schema.name}.{field.name}: a value is infinite; report it")
    if pa.types.is_floating(field.type):
        # One NaN among the many bit patterns, since bytes are compared.
        return pc.if_else(pc.is_nan(column), pa.scalar(float("nan")), column)
    return column
