"""Segments: sealing case results and reading them back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.keys import digest
from medpipe.lake.lake import Lake
from medpipe.lake.segments import SegmentWriter, list_segments, read_segment
from medpipe.privacy.secret import Secret
from tests.bench.paired import Bench

CASES = 1024
FEATURES = 130


def benches(folder: Path) -> Iterator[Bench]:
    """Yield the figures: sealing and reading, each checked record by record."""
    lake = Lake.create(folder / "lake", privacy="pseudonymized", secret=Secret(bytes(32)))
    results = [_result(number) for number in range(CASES)]
    run = itertools.count()

    def seal() -> str:
        name = f"run-{next(run)}"
        with SegmentWriter(lake, name, "writer", most_s=3600.0) as writer:
            for result in results:
                writer.add(result)
        return name

    def read(name: str) -> list[CaseResult]:
        segments = [segment for segment in list_segments(lake) if f"/{name}/" in f"/{segment}"]
        return [result for segment in segments for result in read_segment(lake, segment)]

    size = f"{CASES} cases, {FEATURES} values each"
    yield Bench(
        subject="segments, seal",
        size=size,
        ours=seal,
        difference=lambda name, _: _unequal(read(name), results),
        items=CASES,
        item="case",
    )
    sealed = seal()
    yield Bench(
        subject="segments, read",
        size=size,
        ours=lambda: read(sealed),
        difference=lambda found, _: _unequal(found, results),
        items=CASES,
        item="case",
    )


def _unequal(found: list[CaseResult], wanted: list[CaseResult]) -> float:
    if len(found) != len(wanted):
        return float(abs(len(found) - len(wanted)))
    return float(sum(one != other for one, other in zip(found, wanted, strict=True)))


def _result(number: int) -> CaseResult:
    row = {f"feature_{place}": (number + 1) / (place + 3) for place in range(FEATURES)}
    product = ProductRecord(key=digest(["product", number]), kind="features", rows=({"region": "body", **row},))
    case = CaseRecord(
        case_key=digest(["case", number]),
        volume_key=digest(["volume", number])[:32],
        route="ct",
        status="done",
        stage="done",
        content_digest=digest(["content", number]),
        source_version=digest(["version", number]),
        products=(product.key,),
    )
    return CaseResult(case=case, products=(product,))
