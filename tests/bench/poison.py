"""``python -m tests.bench.poison``: what bad inputs cost their neighbours.

The same cases run clean and with one in a hundred replaced by a bad one: a segfault, an abort,
a hang, endless memory, a panic of a Rust codec, a call of ``_exit``. Bad ones must end as
exactly so many rows with their codes, all others as if they were not there.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.engine import Engine, EngineSpec, Event, make_engine
from tests.bench.machine import machine
from tests.engine.engine_toys import PanicException, case_result
from tests.engine.tasks import task

EXPECTED = {
    "segfault": "E_CRASH",
    "abort": "E_CRASH",
    "hang": "E_TIMEOUT",
    "eat": "E_OOM",
    "panic": "E_CODEC_PANIC",
    "leave": "E_CRASH",
}
CAP_BYTES = 300 << 20
HOST_BYTES = 1600 << 20


def bad_rows(cases: int, count: int, seed: int) -> dict[int, str]:
    """Return the kind of bad input by row: all kinds in turn, at rows drawn by the seed."""
    rows = random.Random(seed).sample(range(cases), count)
    return {row: tuple(EXPECTED)[place % len(EXPECTED)] for place, row in enumerate(rows)}


class Bench:
    """An engine with scripts by shard: what each row of a run does.

    Parameters
    ----------
    folder : Path
    case_s : float
        Seconds of a good case.
    is_spinning : bool
        Whether good cases use the processor for that long, or sleep.
    forks : bool
        Whether sandboxes are forked.
    hang_s : float
        Deadline of cases that hang; others have 60 s.
    """

    def __init__(self, folder: Path, *, case_s: float, is_spinning: bool, forks: bool, hang_s: float) -> None:
        self.folder = folder
        self.hang_s = hang_s
        self.trace = folder / "trace"
        self.spec = EngineSpec(
            kind="dask",
            session="tests.bench.poison:open_session",
            init={"folder": str(folder), "case_s": case_s, "spins": is_spinning},
            sink="tests.engine.engine_toys:open_sink",
            sink_init={"folder": str(folder)},
            workers=2,
            memory_bytes=HOST_BYTES,
            sandbox_bytes=CAP_BYTES,
            forks=forks,
            seal_s=0.5,
        )

    def run(self, engine: Engine, cases: int, bad: dict[int, str]) -> dict[str, Any]:
        """Run so many cases, the bad ones among them, and return what became of them."""
        (self.folder / "bad").write_text(json.dumps(bad), encoding="ascii")
        self.trace.write_text("", encoding="ascii")
        events: list[Event] = []
        begun_s = time.monotonic()
        deadlines_s = {row: self.hang_s for row, kind in bad.items() if kind == "hang"}
        engine.run((task(row, deadline_s=deadlines_s.get(row, 60.0)) for row in range(cases)), events.append)
        wall_s = time.monotonic() - begun_s
        begun = Counter(int(line) for line in self.trace.read_text(encoding="ascii").split())
        ended = Counter(event.row for event in events)
        wrong = [event.row for event in events if event.code != EXPECTED.get(bad.get(event.row, ""), "")]
        return {
            "wall_s": round(wall_s, 2),
            "codes": dict(sorted(Counter(event.code for event in events if event.code).items())),
            "rows_missing_or_double": sum(1 for row in range(cases) if ended[row] != 1),
            "rows_with_another_code": len(wrong),
            "innocents_run_twice": sum(1 for row in range(cases) if row not in bad and begun[row] != 1),
            "guilty_run_twice": sum(1 for row in bad if begun[row] > 1),
        }


def open_session(init: dict[str, Any]) -> Poisoned:
    """Open the session, with the imports a real one has."""
    import medpipe.work.session  # noqa: F401

    return Poisoned(init)


class Poisoned:
    """Does for each row what the file of bad rows says."""

    def __init__(self, init: dict[str, Any]) -> None:
        self._folder = Path(init["folder"])
        self._case_s: float = init["case_s"]
        self._spins: bool = init["spins"]

    def call(self, kind: str, payload: dict[str, Any], mark: Any) -> dict[str, Any]:
        """Run a case, good or bad."""
        del kind
        row: int = payload["row"]
        mark("read", str(row))
        with (self._folder / "trace").open("a", encoding="ascii") as trace:
            trace.write(f"{row}\n")
        bad = json.loads((self._folder / "bad").read_text(encoding="ascii")).get(str(row))
        getattr(self, f"_{bad or 'work'}")()
        return case_result(row).to_json()

    def _work(self) -> None:
        if not self._spins:
            time.sleep(self._case_s)
        end_s = time.process_time() + self._case_s
        while self._spins and time.process_time() < end_s:
            sum(range(1000))

    def _segfault(self) -> None:
        ctypes.string_at(0)

    def _abort(self) -> None:
        os.abort()

    def _hang(self) -> None:
        ctypes.PyDLL(None).sleep(3600)

    def _eat(self) -> None:
        eaten = []
        while True:
            eaten.append(np.ones(4_000_000))

    def _panic(self) -> None:
        raise PanicException("called unwrap on None")

    def _leave(self) -> None:
        os._exit(7)


def compare(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Run clean and poisoned by turns on one engine; return the figures."""
    bench = Bench(folder, case_s=asked.case_s, is_spinning=asked.spin, forks=not asked.spawn, hang_s=asked.hang_s)
    count = max(1, round(asked.cases * asked.share))
    clean, poisoned = [], []
    with make_engine(bench.spec) as engine:
        bench.run(engine, 40, {})
        for turn in range(asked.rounds):
            clean.append(bench.run(engine, asked.cases, {}))
            poisoned.append(bench.run(engine, asked.cases, bad_rows(asked.cases, count, asked.seed + turn)))
    ratios = [bad["wall_s"] / good["wall_s"] for good, bad in zip(clean, poisoned, strict=True)]
    return {
        "cases": asked.cases,
        "bad": count,
        "case_s": asked.case_s,
        "hang_s": asked.hang_s,
        "spins": asked.spin,
        "forks": not asked.spawn,
        "cap_mib": CAP_BYTES >> 20,
        "more_wall_time": round(statistics.median(ratios) - 1, 4),
        "clean": clean,
        "poisoned": poisoned,
    }


def main(arguments: Sequence[str]) -> int:
    """Measure and print figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.poison", description=__doc__)
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--case-s", type=float, default=0.075)
    parser.add_argument("--hang-s", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--spin", action="store_true", help="good cases compute instead of sleeping")
    parser.add_argument("--spawn", action="store_true", help="start each sandbox from nothing")
    with tempfile.TemporaryDirectory(prefix="medpipe-poison-") as folder:
        figures = compare(Path(folder), parser.parse_args(arguments))
    print(json.dumps({"machine": machine(), **figures}, indent=1))
    wrong = ("rows_missing_or_double", "rows_with_another_code", "innocents_run_twice")
    return int(any(run[name] for run in [*figures["clean"], *figures["poisoned"]] for name in wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
