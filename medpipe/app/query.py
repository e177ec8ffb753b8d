"""``medpipe query`` and ``export``: the published tables, read-only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medpipe.lake.export import export_table
from medpipe.lake.lake import Lake
from medpipe.lake.query import sql


def query_lake(root: Path, text: str, *, recipe: str | None = None) -> tuple[list[str], list[list[Any]]]:
    """Return the column names and rows of a query.

    Raises
    ------
    LakeError
        If the folder is no lake or nothing is published.
    ConfigError
        If the query cannot be run.
    """
    found = sql(Lake.open(root), text, recipe=recipe)
    columns = [column.to_pylist() for column in found.columns]
    return list(found.column_names), [list(row) for row in zip(*columns, strict=True)]


def export_lake(root: Path, table: str, out: Path, *, recipe: str | None = None) -> int:
    """Write a table to a .csv, .xlsx or .parquet file; return its number of rows."""
    return export_table(Lake.open(root), table, out, recipe=recipe)
