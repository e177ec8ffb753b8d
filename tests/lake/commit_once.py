"""Commits one of everything, again and again, in children that are killed at named points.

Called with a folder of lakes and ``lake=failpoint`` (or ``lake=``) for each; prints one line
``lake signal`` for each. One process imports once and forks, so that many kills are quick.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.contracts.tables import VOLUMES
from medpipe.keys import digest
from medpipe.lake import export, query  # noqa: F401  # imported before the forks
from medpipe.lake.committed import Committed
from medpipe.lake.failpoints import VARIABLE
from medpipe.lake.index import write_index
from medpipe.lake.lake import Lake, is_lake
from medpipe.lake.segments import SegmentWriter
from medpipe.lake.snapshot import make_snapshot, write_snapshot
from medpipe.lake.tables import publish_tables
from medpipe.lake.volumes import put_volume
from medpipe.privacy.secret import Secret
from medpipe.types import Geometry, Volume

CASES = 3


def commit(root: Path) -> None:
    """Make the lake if need be, and commit volumes, segments, an index, a snapshot and tables."""
    secret = Secret(bytes(range(32)))
    lake = Lake.open(root, secret=secret) if is_lake(root) else _create(root, secret)
    with lake.driver():
        lake.private.put("locators/s", b"where things are")
        rows = [put_volume(lake, digest(["volume", number]), _volume(number)) for number in range(2)]
        committed = Committed.load(lake)
        results = [_result(number) for number in range(CASES)]
        with SegmentWriter(lake, "run-1", "writer", most_cases=2) as writer:
            for result in results:
                if committed.case(result.case.case_key) is None:
                    writer.add(result)
        committed.refresh()
        found = [{"volume_key": row["store"][-32:], "store": row["store"], "shape": row["shape"]} for row in rows]
        write_index(lake, "s", {"volumes": found})
        snapshot = make_snapshot(
            recipe_name="demo",
            recipe_digest="ab",
            planned=[(result.case.case_key, result.case.volume_key) for result in results],
            committed=committed,
            skipped={},
        )
        write_snapshot(lake, snapshot, run="run-1")
        publish_tables(lake, recipe_name="demo", snapshot=snapshot.id, tables={"volumes": (VOLUMES, found)})


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
