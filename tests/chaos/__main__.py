"""``make chaos``: thousands of kills and losses of power, and every safeguard removed once; counts as JSON."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

from tests.bench.machine import machine
from tests.chaos.arena import AGAIN, RUN, SCANNING, Act, Arena
from tests.chaos.honesty import SAFEGUARDS
from tests.chaos.outage import Outages, record, replay
from tests.chaos.strikes import Bench, operation_trials, point_trials, random_kills

STATES_PER_RECORDING = 1000


def main() -> int:
    """Run the benches that were asked for; 1 if anything was found, or a safeguard is not missed."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="medpipe-chaos-") as folder:
        arena = Arena.make(Path(folder) / "arena")
        with Bench(arena) as bench:
            bench.forked(arena.prepare)
            report = {"machine": machine(), "seed": options.seed, **_benches(bench, options)}
    text = json.dumps(report, indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")
    found = [finding for part in report.values() if isinstance(part, dict) for finding in part.get("findings", ())]
    return int(bool(found) or not all(report["safeguards removed"]["missed"].values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=2000, help="kills at random instants")
    parser.add_argument("--hits", type=int, default=100, help="hits of each fail point that are struck")
    parser.add_argument("--every", type=int, default=1, help="strike each so manieth operation on the disk")
    parser.add_argument("--states", type=int, default=5000, help="states after a loss of power")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="also write the counts here")
    return parser.parse_args()


def _benches(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    benches: dict[str, Callable[[], dict[str, Any]]] = {
        "kills at fail points": lambda: bench.run(point_trials(bench, most=options.hits)).report(),
        "kills before operations": lambda: bench.run(operation_trials(bench, every=options.every)).report(),
        "kills at random instants": lambda: random_kills(bench, kills=options.kills, seed=options.seed).report(),
        "losses of power": lambda: _losses_of_power(bench, options.states, options.seed).report(),
        "safeguards removed": lambda: _safeguards(bench),
    }
    return {name: _timed(name, run) for name, run in benches.items()}


def _timed(name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    start_s = time.monotonic()
    report = run()
    report["seconds"] = round(time.monotonic() - start_s, 1)
    print(f"{name}: {json.dumps(report)}", file=sys.stderr, flush=True)
    return report


def _losses_of_power(bench: Bench, states: int, seed: int) -> Outages:
    """Lose power all along runs: from nothing, with one parameter changed, and after kills at any operation."""
    total, rng = Outages(), random.Random(seed)
    most = len(bench.operations(RUN))
    plots: Iterator[tuple[Act, tuple[int, ...]]] = chain(
        ((SCANNING, ()), (AGAIN, ())), ((RUN, (rng.randint(1, most),)) for _ in count())
    )
    while total.states < states:
        act, kills = next(plots)
        recording = record(bench, act=act, killed_before=kills)
        every = max(1, 2 * len(recording.log) // min(STATES_PER_RECORDING, states))
        total.add(replay(bench, recording, samples=1, seed=rng.randrange(every), every=every, resume_every=10))
    return total


def _safeguards(bench: Bench) -> dict[str, Any]:
    """Remove each safeguard; tell what was found of the kind that had to be."""
    found = {safeguard: safeguard.found(bench, removed=True) for safeguard in SAFEGUARDS}
    counts = {safeguard.mutation: Counter(kind for kind, _ in findings) for safeguard, findings in found.items()}
    missed = {safeguard.mutation: bool(safeguard.kinds & set(counts[safeguard.mutation])) for safeguard in SAFEGUARDS}
    return {"missed": missed, "found": {name: dict(kinds) for name, kinds in counts.items()}}


if __name__ == "__main__":
    raise SystemExit(main())
