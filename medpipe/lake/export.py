"""Published tables as files for other programs: CSV, Excel, Parquet."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import xlsxwriter

from medpipe.errors import ConfigError
from medpipe.lake.arrow import readable
from medpipe.lake.durable import storage_faults
from medpipe.lake.lake import Lake
from medpipe.lake.query import open_table

_FORMULA = r"^[=+\-@\t\r]"
_XLSX_ROWS, _XLSX_COLUMNS, _XLSX_TEXT = 1_048_576, 16_384, 32_767


def export_table(lake: Lake, name: str, out_path: Path, *, recipe: str | None = None) -> int:
    """Write a published table to a file; the suffix says how.

    In CSV and Excel a text that a spreadsheet would take for a formula (it begins with ``=``,
    ``+``, ``-``, ``@``, a tab or a carriage return) is preceded by an apostrophe, and lists are
    JSON. Null is an empty cell, NaN the word ``nan``. Parquet keeps every value as it is.

    Parameters
    ----------
    lake : Lake
    name : str
    out_path : Path
        Ends in ``.csv``, ``.xlsx`` or ``.parquet``; replaced if it exists.
    recipe : str, optional
        The recipe's latest tables instead of the lake's.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    ConfigError
        For another suffix, a folder that does not exist, or a table too large for Excel.
    LakeError
        If there is no such table.
    IntegrityError
        If its files are damaged.
    StoppedError
        If the disk is full; nothing half-written stays.
    """
    check_name(out_path)
    return write_table(open_table(lake, name, recipe=recipe), out_path)


def check_name(out_path: Path) -> None:
    """Refuse a file that no table can be written to.

    Raises
    ------
    ConfigError
        For another suffix than those of :func:`export_table`, or a folder that does not exist.
    """
    if out_path.suffix.lower() not in _WRITERS:
        raise ConfigError(f"{out_path.name}: the name must end in {', '.join(_WRITERS)}")
    if not out_path.parent.is_dir():
        raise ConfigError(f"{out_path.parent} is no folder: make it first")


def write_table(table: Any, out_path: Path) -> int:
    """Write a :class:`pyarrow.dataset.Dataset` or a :class:`pyarrow.Table` to a file as :func:`export_table` does; return its rows.

    Raises
    ------
    ConfigError
        For another suffix, a folder that does not exist, or a table too large for Excel.
    StoppedError
        If the disk is full; nothing half-written stays.
    """
    check_name(out_path)
    write = _WRITERS[out_path.suffix.lower()]
    held = ds.dataset(table) if isinstance(table, pa.Table) else table
    aside = out_path.with_name(f".{out_path.name}.{uuid.uuid4().hex}")
    try:
        with storage_faults(str(out_path)):
            rows = write(held, aside)
            aside.replace(out_path)
    finally:
        aside.unlink(missing_ok=True)
    return rows


def _batches(table: Any) -> Iterator[Any]:
    """Yield a table's rows; what is read from the disk and what is written to it fail apart."""
    with readable("the table"):
        yield from table.to_batches()


def _write_parquet(table: Any, path: Path) -> int:
    rows = 0
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for batch in _batches(table):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _write_csv(table: Any, path: Path) -> int:
    rows = 0
    with pcsv.CSVWriter(path, _plain(table.schema.empty_table()).schema) as writer:
        for batch in _batches(table):
            writer.write_table(_plain(pa.Table.from_batches([batch])))
            rows += batch.num_rows
    return rows


def _write_xlsx(table: Any, path: Path) -> int:
    rows: int = table.count_rows()
    if rows >= _XLSX_ROWS or len(table.schema) > _XLSX_COLUMNS:
        raise ConfigError(f"{rows} rows of {len(table.schema)} columns do not fit a sheet of Excel: export csv instead")
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(str(path), options) as book:
        # A file that names no time is the same whenever it is written.
        book.set_properties({"created": dt.datetime(2000, 1, 1, tzinfo=dt.UTC)})
        sheet = book.add_worksheet()
        header = _plain(table.schema.empty_table()).column_names
        sheet.write_row(0, 0, header)
        place = 0
        for batch in _batches(table):
            plain = _plain(pa.Table.from_batches([batch]))
            for values in zip(*(column.to_pylist() for column in plain.columns), strict=True):
                place += 1
                _write_cells(sheet, place, values)
    return rows


def _write_cells(sheet: Any, row: int, values: tuple[Any, ...]) -> None:
    for place, value in enumerate(values):
        if isinstance(value, str):
            if len(value) > _XLSX_TEXT:
                raise ConfigError(f"a value of column {place + 1} is too long for a cell of Excel: export csv instead")
            sheet.write_string(row, place, value)
        elif isinstance(value, bool):
            sheet.write_boolean(row, place, value)
        elif isinstance(value, float) and math.isnan(value):
            sheet.write_string(row, place, "nan")
        elif value is not None:
            sheet.write_number(row, place, value)


def _plain(table: pa.Table) -> pa.Table:
    """Return a table of numbers, truth values and harmless text."""
    names = [f"'{name}" if name[:1] in "=+-@" else name for name in table.column_names]
    return pa.table([_plain_column(column) for column in table.columns], names=names)


def _plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_list(column.type):
        texts = [None if value is None else json.dumps(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, type=pa.string())])
    if pa.types.is_string(column.type):
        risky = pc.match_substring_regex(column, _FORMULA)
        return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)
    return column


_WRITERS: dict[str, Callable[[Any, Path], int]] = {
    ".csv": _write_csv,
    ".xlsx": _write_xlsx,
    ".parquet": _write_parquet,
}
