"""What an engine costs per case: cases that do nothing, on Dask with two sandboxes and serial."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from medpipe.engine import Engine, Event, make_engine
from tests.bench.paired import WALL, Bench, Clock
from tests.engine.tasks import engine_spec, task, told

CASES = 400
WORKERS = 2


def tree_cpu_s() -> float:
    """Return the CPU seconds of this process and all below it that still live."""
    total = time.process_time()
    for process in psutil.Process().children(recursive=True):
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
    return total


TREE = Clock("tree cpu", tree_cpu_s)
"""CPU of driver, scheduler, worker and sandboxes together, in steps of 10 ms."""


def benches(folder: Path) -> Iterator[Bench]:
    """Yield the comparison by the clock on the wall, and by CPU time of all processes."""
    script = ["ok"] * CASES
    for name in ("dask", "serial"):
        (folder / name).mkdir()
    with (
        make_engine(engine_spec("dask", folder / "dask", script, workers=WORKERS)) as cluster,
        make_engine(engine_spec("serial", folder / "serial", script)) as alone,
    ):
        for clock in (WALL, TREE):
            yield Bench(
                subject="engine, empty cases",
                size=f"{CASES} cases, {WORKERS} sandboxes",
                ours=lambda: _run(cluster),
                peer="serial engine",
                theirs=lambda: _run(alone),
                difference=lambda ours, theirs: float(len(ours ^ theirs) + abs(CASES - len(ours))),
                items=CASES,
                item="case",
                clock=clock,
            )


def _run(engine: Engine) -> set[tuple[object, ...]]:
    events: list[Event] = []
    engine.run(map(task, range(CASES)), events.append)
    return {told(event) for event in events}
