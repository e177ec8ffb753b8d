"""What a table is: its columns with type and meaning, and the order of its rows."""

from __future__ import annotations

from typing import Literal, NamedTuple

ColumnType = Literal["string", "int64", "float64", "bool", "list<int64>", "list<float64>", "list<string>"]


class Field(NamedTuple):
    """A column of a table: name, type and meaning."""

    name: str
    type: ColumnType
    doc: str


class TableSchema(NamedTuple):
    """A table: what a row is, its columns, and the columns it is sorted by.

    Attributes
    ----------
    own : str
        Column that stands for ``series_key`` in a row that belongs to no series: where the row
        is sorted in, and in which part it lies.
    """

    name: str
    version: int
    row: str
    fields: tuple[Field, ...]
    order: tuple[str, ...]
    own: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether the table is published in parts by modality and series key."""
        return self.order[:2] == ("modality", "series_key")
