"""``python -m tests.bench.million_engine [--cases N]``: what the engine alone costs at a million cases.

Cases do next to nothing, so what is left is the engine's own: submitting, sandbox calls,
sealing, events. Memory is that of the driver's process, in which the scheduler runs as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from medpipe.engine import EngineSpec, Event, make_engine
from tests.bench.engines import tree_cpu_s
from tests.bench.machine import machine
from tests.engine.tasks import task

CASES = 1_000_000
POINTS = 20


@dataclass
class Curve:
    """Memory and time as cases end."""

    every: int
    begun_s: float = field(default_factory=time.monotonic)
    ended: Counter[str] = field(default_factory=Counter)
    points: list[dict[str, float]] = field(default_factory=list)

    def note(self, event: Event) -> None:
        """Count a case, and measure every so many."""
        self.ended[event.status] += 1
        if self.ended.total() % self.every == 0:
            self.measure()

    def measure(self) -> None:
        """Write down where the run is, and what its processes hold."""
        me = psutil.Process()
        below = sum(process.memory_info().rss for process in me.children(recursive=True))
        point = {
            "cases": self.ended.total(),
            "wall_s": round(time.monotonic() - self.begun_s, 1),
            "driver_mib": round(me.memory_info().rss / 2**20, 1),
            "below_mib": round(below / 2**20, 1),
        }
        self.points.append(point)
        sys.stderr.write(f"{point}\n")


def run(cases: int, workers: int, folder: Path) -> dict[str, Any]:
    """Run so many cases and return the figures."""
    spec = EngineSpec(
        kind="dask",
        session="tests.bench.million_engine:open_session",
        init={},
        sink="tests.bench.million_engine:open_sink",
        sink_init={"folder": str(folder)},
        workers=workers,
        memory_bytes=800_000_000,
    )
    with make_engine(spec) as engine:
        engine.run(map(task, range(1000)), lambda _: None)
        curve = Curve(every=max(1, cases // POINTS))
        cpu_start_s = tree_cpu_s()
        engine.run(map(task, range(cases)), curve.note)
        wall_s, cpu_s = time.monotonic() - curve.begun_s, tree_cpu_s() - cpu_start_s
    half = [point["driver_mib"] for point in curve.points if point["cases"] >= cases / 2]
    return {
        "cases": cases,
        "ended": dict(curve.ended),
        "workers": workers,
        "wall_s": round(wall_s, 1),
        "wall_ms_per_case": round(1e3 * wall_s / cases, 3),
        "cpu_ms_per_case": round(1e3 * cpu_s / cases, 3),
        "driver_peak_mib": max(point["driver_mib"] for point in curve.points),
        "driver_growth_last_half_mib": round(half[-1] - half[0], 1),
        "curve": curve.points,
    }


def open_session(init: dict[str, Any]) -> Trivial:
    """Open the session of cases that do nothing."""
    del init
    return Trivial()


class Trivial:
    """Answers each case with a small record."""

    def call(self, kind: str, payload: dict[str, Any], mark: Any) -> dict[str, Any]:
        """Return a case that is done."""
        from tests.engine.engine_toys import case_result

        del kind
        mark("read", str(payload["row"]))
        return case_result(payload["row"]).to_json()


def open_sink(init: dict[str, Any]) -> CountingSink:
    """Open a sink that writes one line per flush."""
    return CountingSink(Path(init["folder"]))


class CountingSink:
    """Keeps no results: the lake's cost is another bench's subject."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "flushes").open("a", encoding="ascii")
        self._taken = 0

    def add(self, result: Any) -> None:
        """Count a result."""
        del result
        self._taken += 1

    def flush(self) -> None:
        """Write the count down."""
        self._file.write(f"{self._taken}\n")
        self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        self._file.close()


def main(arguments: Sequence[str]) -> int:
    """Measure and print figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.million_engine", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="medpipe-million-") as folder:
        figures = run(asked.cases, asked.workers, Path(folder))
    print(json.dumps({"machine": machine(), **figures}, indent=1))
    return 0 if figures["ended"] == {"done": asked.cases} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
