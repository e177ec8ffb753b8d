"""Parts: how a table is cut into files, and the list that says what lies in each.

A table is cut by modality, and within one by the digits of the series key: a node of a binary
trie is split while its rows are too many for one file. So the borders depend on the rows only,
not on the ranges they were computed in or on what was published before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from medpipe.contracts.schema import Field, TableSchema
from medpipe.errors import IntegrityError
from medpipe.keys import bytes_digest, canonical
from medpipe.lake.layout import LAYOUT
from medpipe.lake.manifest import read_manifest
from medpipe.lake.store import LocalStore
from medpipe.lake.summaries import RangeSummary
from medpipe.ranges import RANGE_DIGITS, Range

PART_BYTES = 400 << 20
"""Estimated bytes of a part on the disk above which it is split in two."""

NO_MODALITY = "NA"
"""Stands in the name of a part for rows without a modality; DICOM has no such modality."""

PARTS_LIST = LAYOUT.parts_list("").rpartition("/")[2]

_WRITER_VERSION = 1
_DISK_BYTES = {"float64": 7, "int64": 2, "bool": 1, "list<int64>": 4, "list<float64>": 24, "list<string>": 2}
_KEY_BYTES, _WORD_BYTES = 16, 1
_KEYS = {
    "instance_key": 1,
    "volume_key": 1,
    "region_key": 1,
    "subject": 1,
    "case_key": 2,
    "content_digest": 2,
    "mask_digest": 2,
}
"""Texts that no two rows share, or only neighbours, in units of 128 bits."""


class Part(NamedTuple):
    """A file of a table: the rows of a modality whose places lie in a range."""

    table: str
    file: str
    modality: str
    low: str
    high: str
    rows: int


class Content(NamedTuple):
    """Rows of a table and modality in a range: how many, and a digest of them."""

    rows: int
    digest: str


Contents = dict[str, dict[str, Content]]
"""By table and modality."""


@dataclass(slots=True, kw_only=True)
class RangeEntry:
    """What a publication holds of one range.

    Attributes
    ----------
    state : str
        Digest of what its rows were derived from.
    summary : RangeSummary
    contents : dict
    fine : dict
        By table and modality, rows by the first digits of their places, where they are too many
        for one part.
    """

    state: str
    summary: RangeSummary
    contents: Contents = field(default_factory=dict)
    fine: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    def content(self, table: str, modality: str) -> Content | None:
        """Return what there is of a table and modality."""
        return self.contents.get(table, {}).get(modality)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsList:
    """The list of a publication's parts and ranges.

    Attributes
    ----------
    writer : str
        What the bytes of a part depend on beside its rows.
    basis : str
        Digest of what all rows depend on beside the states of the ranges.
    snapshot : str
    bits : int
    ranges : tuple of RangeEntry
        By number.
    schemas : mapping of str to TableSchema
    parts : tuple of Part
    """

    writer: str
    basis: str
    snapshot: str
    bits: int
    ranges: tuple[RangeEntry, ...]
    schemas: Mapping[str, TableSchema]
    parts: tuple[Part, ...]

    def to_bytes(self) -> bytes:
        """Return the list as it stands in its file."""
        value = {
            "writer": self.writer,
            "basis": self.basis,
            "snapshot": self.snapshot,
            "bits": self.bits,
            "ranges": [[one.state, one.summary.to_json(), one.contents, one.fine] for one in self.ranges],
            "schemas": {name: _schema_json(schema) for name, schema in self.schemas.items()},
            "parts": [list(part) for part in self.parts],
        }
        return canonical(value).encode("ascii")


def read_parts(store: LocalStore, folder: str) -> PartsList:
    """Return the list of a publication.

    Raises
    ------
    IntegrityError
        If it is missing or damaged.
    """
    entries = {entry.path: entry for entry in read_manifest(store, folder)}
    try:
        data = store.get(LAYOUT.parts_list(folder))
        value: Any = json.loads(data) if bytes_digest(data) == entries[PARTS_LIST].sha256 else None
        return PartsList(
            writer=value["writer"],
            basis=value["basis"],
            snapshot=value["snapshot"],
            bits=value["bits"],
            ranges=tuple(_range_entry(*entry) for entry in value["ranges"]),
            schemas={name: _schema(name, entry) for name, entry in value["schemas"].items()},
            parts=tuple(Part(*part) for part in value["parts"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise IntegrityError(
            f"{folder}: its list of parts is missing or damaged; remove the folder and run again"
        ) from None


def writer_name() -> str:
    """Return what the bytes of a part depend on beside its rows; another writer shares no parts."""
    return f"{_WRITER_VERSION}, at most {PART_BYTES} bytes, Arrow {pa.__version__}"


def most_rows(schema: TableSchema) -> int:
    """Return how many rows a part of a table holds at most, unless one study has more."""
    return max(1, PART_BYTES // sum(map(_disk_bytes, schema.fields)))


def same_columns(one: TableSchema, other: TableSchema) -> bool:
    """Tell whether two schemas have the same columns and order; what is said of them may differ."""
    return _schema_json(one) == _schema_json(other)


class Counted(NamedTuple):
    """Rows of a table and modality in a range."""

    range: Range
    rows: int


def cut(counted: Iterable[Counted], most: int) -> Iterator[Counted]:
    """Yield the ranges of keys of a table's parts, in order, each with its rows.

    Parameters
    ----------
    counted : iterable of Counted
        In order and apart from each other. One with more than `most` rows becomes a part of its
        own, since nothing is known of where in it they lie.
    most : int
        Rows of a part.
    """
    yield from _split(Range(0, 0), [one for one in counted if one.rows], most)


def _split(node: Range, inside: Sequence[Counted], most: int) -> Iterator[Counted]:
    rows = sum(one.rows for one in inside)
    if not rows:
        return
    if rows <= most or all(one.range.bits <= node.bits for one in inside):
        yield Counted(node, rows)
        return
    for number in (2 * node.number, 2 * node.number + 1):
        half = Range(node.bits + 1, number)
        yield from _split(half, [one for one in inside if half.overlaps(one.range)], most)


def by_digits(places: Iterable[str]) -> dict[str, int]:
    """Return how many rows begin with which digits.

    Raises
    ------
    IntegrityError
        If a place is no key.
    """
    found = Counter(place[:RANGE_DIGITS] for place in places)
    try:
        for digits in found:
            int(digits.ljust(RANGE_DIGITS, "x"), 16)
    except ValueError:
        raise IntegrityError("a row's key does not begin with hexadecimal digits; report it") from None
    return dict(sorted(found.items()))


def _disk_bytes(column: Field) -> int:
    """Estimate what a value takes once it is encoded and compressed."""
    if column.type == "string":
        return max(_WORD_BYTES, _KEY_BYTES * _KEYS.get(column.name, 0))
    return _DISK_BYTES[column.type]


def _range_entry(state: str, summary: list[Any], contents: Any, fine: Any) -> RangeEntry:
    found = {
        table: {modality: Content(*content) for modality, content in entry.items()} for table, entry in contents.items()
    }
    return RangeEntry(state=state, summary=RangeSummary.from_json(summary), contents=found, fine=fine)


def _schema_json(schema: TableSchema) -> list[Any]:
    return [schema.version, [[column.name, column.type] for column in schema.fields], list(schema.order), schema.own]


def _schema(name: str, value: list[Any]) -> TableSchema:
    version, fields, order, own = value
    return TableSchema(name, version, "", tuple(Field(column, kind, "") for column, kind in fields), tuple(order), own)
