"""Commits one of everything, again and again, in children that are killed at named points.

Called with a folder of lakes and ``lake=failpoint`` (or ``lake=``) for each; prints one line
``lake signal`` for each. One process imports once and forks, so that many kills are quick.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.contracts.tables import VOLUMES
from medpipe.keys import digest
from medpipe.lake import export, query  # noqa: F401  # imported before the forks
from medpipe.lake.failpoints import VARIABLE
from medpipe.lake.lake import Lake, is_lake
from medpipe.lake.publication import last_publication, new_publication
from medpipe.lake.results import Results
from medpipe.lake.segments import SegmentWriter
from medpipe.lake.snapshot import Snapshot, SnapshotRange, put_range, range_cases, write_snapshot
from medpipe.lake.summaries import CaseCounts, RangeSummary
from medpipe.lake.volumes import put_volume
from medpipe.privacy.secret import Secret
from medpipe.ranges import Range
from medpipe.types import Geometry, Volume
from tests.lake.at_once import write_index

CASES = 3
WHOLE = Range(0, 0)


def commit(root: Path) -> None:
    """Make the lake if need be, and commit volumes, segments, an index of each kind, a snapshot and tables."""
    secret = Secret(bytes(range(32)))
    lake = Lake.open(root, secret=secret) if is_lake(root) else _create(root, secret)
    with lake.driver():
        lake.private.put("locators/s", b"where things are")
        rows = [put_volume(lake, digest(["volume", number]), _volume(number)) for number in range(2)]
        found = Results.open(lake)
        found.absorb()
        known = found.load(WHOLE)
        results = [_result(number) for number in range(CASES)]
        with SegmentWriter(lake, "run-1", "writer", most_cases=2) as writer:
            for result in results:
                if known.case(result.case.case_key) is None:
                    writer.add(result)
        found.absorb()
        index = [_index_row(row) for row in rows]
        write_index(lake, "s", {"volumes": index})
        planned = [(result.case.case_key, result.case.volume_key) for result in results]
        cases = range_cases(planned, found.load(WHOLE), {})
        put_range(lake, cases)
        snapshot = Snapshot(recipe_name="demo", recipe_digest="ab", bits=WHOLE.bits, ranges=(cases.entry(0),))
        write_snapshot(lake, snapshot, run="run-1")
        _publish(lake, snapshot.id, cases.entry(0), index)


def _index_row(stored: dict[str, Any]) -> dict[str, Any]:
    key = stored["store"][-32:]
    return {
        "volume_key": key,
        "series_key": key,
        "modality": "CT",
        "store": stored["store"],
        "shape": stored["shape"],
    }


def _publish(lake: Lake, snapshot: str, entry: SnapshotRange, rows: list[dict[str, Any]]) -> None:
    last = last_publication(lake, "demo")
    schemas = {"volumes": VOLUMES}
    with new_publication(lake, "demo", schemas=schemas, bits=WHOLE.bits, basis="ab", last=last) as made:
        if made.keep(0, entry.digest) is None:
            summary = RangeSummary(cases=CaseCounts(*entry[1:]))
            made.add(0, entry.digest, summary, {"volumes": rows})
        made.publish(snapshot, {})


def _create(root: Path, secret: Secret) -> Lake:
    return Lake.create(root, privacy="pseudonymized", secret=secret)


def _volume(number: int) -> Volume:
    data = np.arange(8 * 9 * 10, dtype=np.float32).reshape(8, 9, 10) + number
    return Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=(1.0, 1.0, 1.0)))


def _result(number: int) -> CaseResult:
    key = digest(["product", number])
    case = CaseRecord(
        case_key=digest(["case", number]),
        volume_key=digest(["volume", number])[:32],
        route="ct",
        status="done",
        stage="done",
        products=(key,),
        run="run-1",
    )
    return CaseResult(case=case, products=(ProductRecord(key=key, kind="features", rows=({"value": 1.5},)),))


def _child(root: Path, failpoint: str) -> int:
    child = os.fork()
    if child == 0:
        if failpoint:
            os.environ[VARIABLE] = failpoint
        commit(root)
        os._exit(0)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        name, _, point = argument.partition("=")
        print(name, _child(Path(sys.argv[1], name), point), flush=True)
