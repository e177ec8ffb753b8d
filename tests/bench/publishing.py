"""Publishing a large table: ``python -m tests.bench.publishing`` (a million rows of 100 columns; minutes).

Says seconds, peak memory of this process and sizes of parts for a first publication, for one
after a change in 1 % of the ranges, and for a query of one series.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.contracts.schema import TableSchema
from medpipe.contracts.tables import features_schema
from medpipe.engine.boundary import peak_bytes
from medpipe.keys import digest
from medpipe.lake.lake import Lake
from medpipe.lake.last import Last
from medpipe.lake.publication import Publication, last_publication, new_publication
from medpipe.lake.query import read_table
from medpipe.lake.summaries import RangeSummary
from medpipe.privacy.secret import Secret
from medpipe.ranges import Range, all_ranges
from tests.bench.machine import describe, machine

COLUMNS = 100
ROWS_OF_SERIES = 4
CHANGED_SHARE = 0.01


def range_rows(one: Range, *, rows: int, version: int, columns: int = COLUMNS) -> list[dict[str, Any]]:
    """Return the rows of features in a range, those of another version with other values."""
    made = np.random.default_rng([one.number, version])
    names = [f"f{number:03d}" for number in range(columns)]
    values = made.normal(100.0, 30.0, (rows, columns)).tolist()
    found = []
    for number in range(rows):
        series = one.low + digest([one.number, number // ROWS_OF_SERIES])[4:32]
        place = {
            "series_key": series,
            "volume_key": series[:4] + digest([series])[4:32],
            "region_key": series[:4] + digest([series, number])[4:32],
            "region": f"roi_{number % ROWS_OF_SERIES}",
            "image": "original",
            "extraction": "radiomics",
            "extraction_digest": "ab" * 32,
            "status": "ok",
            "modality": "CT",
        }
        found.append(place | dict(zip(names, values[number], strict=True)))
    return found


class Publisher:
    """Publishes made rows and tells what it took."""

    def __init__(self, lake: Lake, *, rows: int, bits: int) -> None:
        self._lake, self._rows, self._bits = lake, rows, bits
        self._schema: TableSchema = features_schema(tuple(f"f{number:03d}" for number in range(COLUMNS)))
        self.making_s = 0.0
        self.made = 0

    def publish(self, versions: dict[int, int], *, last: Last | None) -> dict[str, Any]:
        """Publish; return seconds without the making of rows, and what was written."""
        started, self.making_s, self.made = time.perf_counter(), 0.0, 0
        with new_publication(
            self._lake, "bench", schemas={"features": self._schema}, bits=self._bits, basis="", last=last
        ) as new:
            for one in all_ranges(self._bits):
                version = versions.get(one.number, 1)
                if new.keep(one.number, str(version)) is None:
                    new.add(one.number, str(version), RangeSummary(), {"features": self._made(one, version)})
            spooled = time.perf_counter()
            publication = new.publish("ab" * 16, {})
        assert publication is not None, "nobody damages the bench's lake"
        ended = time.perf_counter()
        return {
            "seconds": round(ended - started - self.making_s, 2),
            "seconds of it for parts": round(ended - spooled, 2),
            "ranges made": self.made,
            "parts written": len(publication.written),
            "part sizes, MB": self._sizes(publication),
            "peak memory, MB": peak_bytes() >> 20,
        }

    def _made(self, one: Range, version: int) -> list[dict[str, Any]]:
        started = time.perf_counter()
        rows = range_rows(one, rows=self._rows >> self._bits, version=version)
        self.making_s += time.perf_counter() - started
        self.made += 1
        return rows

    def _sizes(self, publication: Publication) -> list[int]:
        folder = self._lake.store.absolute(publication.path)
        return sorted(path.stat().st_size >> 20 for path in folder.rglob("*.parquet"))


def measure(folder: Path, *, rows: int, bits: int) -> dict[str, Any]:
    """Publish, change some ranges, publish again, query; return the figures."""
    lake = Lake.create(folder / "lake", privacy="pseudonymized", secret=Secret(bytes(32)))
    publisher = Publisher(lake, rows=rows, bits=bits)
    facts: dict[str, Any] = {"baseline memory, MB": peak_bytes() >> 20}
    facts["first"] = publisher.publish({}, last=None)
    # neighbours, as one study after the other arrives, and all over, as they do in a hashed order
    changed = max(1, round((1 << bits) * CHANGED_SHARE))
    near = dict.fromkeys(range(changed), 2)
    facts["1 % of neighbours changed"] = publisher.publish(near, last=last_publication(lake, "bench"))
    spread = near | {number * ((1 << bits) // changed): 3 for number in range(changed)}
    facts["1 % all over changed"] = publisher.publish(spread, last=last_publication(lake, "bench"))
    facts["nothing changed"] = publisher.publish(spread, last=last_publication(lake, "bench"))
    facts["query of a series"] = _query(lake, Range(bits, (1 << bits) - 1))
    return facts


def _query(lake: Lake, one: Range) -> dict[str, Any]:
    series = one.low + digest([one.number, 0])[4:32]
    started = time.perf_counter()
    found = read_table(lake, "features", where={"modality": "CT", "series_key": series})
    return {"seconds": round(time.perf_counter() - started, 3), "rows": found.num_rows}


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.publishing", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=10, help="ranges are two to this power")
    parser.add_argument("--folder", type=Path, help="where to make the lake, in a folder of its own")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="medpipe-bench-", dir=asked.folder) as folder:
        facts = measure(Path(folder), rows=asked.rows, bits=asked.bits)
    if asked.json:
        sys.stdout.write(json.dumps({"machine": machine(), **facts}) + "\n")
        return 0
    for line in describe(machine()):
        sys.stdout.write(line + "\n")
    for name, fact in facts.items():
        sys.stdout.write(f"{name}: {fact}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
