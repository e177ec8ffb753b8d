"""Index and tables of a small lake, written and read at once by what the product does range by range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import pyarrow as pa

from medpipe.lake.arrow import Row
from medpipe.lake.index import (
    INDEX_TABLES,
    Generation,
    index_sources,
    point_to,
    put_generation,
    put_shard,
    read_generation,
    read_shard,
)
from medpipe.lake.lake import Lake
from medpipe.lake.publication import Publication, Tables, last_publication, new_publication
from medpipe.lake.summaries import RangeSummary
from medpipe.ranges import Range, range_of


def write_index(lake: Lake, source: str, tables: Mapping[str, Iterable[Row]], *, bits: int = 0) -> str:
    """Replace the index of a source; return the id of its generation."""
    rows: dict[str, int] = {}
    shards: dict[str, dict[int, str]] = {}
    for name, found in tables.items():
        by_range: defaultdict[int, list[Row]] = defaultdict(list)
        for row in found:
            by_range[range_of(_place(name, row), bits).number if bits else 0].append(row)
        put = {number: put_shard(lake, source, name, Range(bits, number), one) for number, one in by_range.items()}
        shards[name] = {number: one for number, one in put.items() if one is not None}
        rows[name] = sum(map(len, by_range.values()))
    generation = Generation(bits=bits, shards=shards, rows=rows)
    put_generation(lake, source, generation)
    point_to(lake, source, generation.id)
    return generation.id


def read_index(lake: Lake, name: str, *, source: str | None = None, columns: list[str] | None = None) -> pa.Table:
    """Return a table of the index of one source, or of all of them."""
    nothing = read_shard(lake, "", Generation(bits=0), name, 0)
    known = index_sources(lake)
    found = [nothing]
    for one in known if source is None else [source] if source in known else []:
        opened = read_generation(lake, one)
        found += [read_shard(lake, one, opened, name, number) for number in sorted(opened.shards.get(name, {}))]
    table = pa.concat_tables(found)
    return table if columns is None else table.select(columns)


def publish_tables(lake: Lake, *, recipe_name: str, snapshot: str, tables: Tables) -> Publication:
    """Publish tables whose rows are all at hand."""
    cut = {name: schema for name, (schema, _) in tables.items() if schema.is_cut}
    singles = {name: table for name, table in tables.items() if name not in cut}
    for last in (last_publication(lake, recipe_name), None):
        with new_publication(lake, recipe_name, schemas=cut, bits=0, basis="", last=last) as new:
            new.add(0, "", RangeSummary(), {name: tables[name][1] for name in cut})
            publication = new.publish(snapshot, singles)
        if publication is not None:
            return publication
    raise AssertionError("tables that stand on nothing published before were refused")


def _place(name: str, row: Row) -> str:
    return str(row.get("series_key") or row[INDEX_TABLES[name].own or "series_key"])
