"""``make fuzz``: a hundred thousand damaged files, each of which must end in the tables or with a reason; counts as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

from tests.bench.machine import machine
from tests.fuzz.run import Counts, Fuzz, how_to_repeat
from tests.fuzz.whole import run_whole

_TELL_EVERY_S = 10.0


def main() -> int:
    """Run the bench; 1 if anything was found that must not be."""
    options = _options()
    data_root = None if options.own else _data_root()
    with Fuzz(seed=options.seed, data_root=data_root, workers=options.workers) as fuzz:
        untouched = fuzz.untouched()
        if options.only is not None:
            return _only(fuzz, options)
        numbers = range(options.first, options.first + options.mutants)
        until_s = time.monotonic() + 60 * options.minutes
        counts = fuzz.run(takewhile(lambda _: time.monotonic() < until_s, numbers), tell=_Progress(options.mutants))
        report: dict[str, Any] = {
            "machine": machine(),
            "seed": options.seed,
            "seeds": {
                "own": sum(1 for one in untouched if _is_own(one)),
                "real": sum(not _is_own(one) for one in untouched),
            },
            **counts.report(),
            "whole run": _whole(fuzz, options),
        }
    for finding in counts.findings:
        print(f"{finding.what}: {how_to_repeat(options.seed, finding.number, own=data_root is None)}", file=sys.stderr)
    text = json.dumps(report, indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")
    return int(bool(counts.findings or report["whole run"].get("findings")))


def _whole(fuzz: Fuzz, options: argparse.Namespace) -> dict[str, Any]:
    """Read the first mutants once more, all together, in a run from scan to tables."""
    if not options.whole:
        return {}
    numbers = range(options.first, options.first + options.whole)
    with tempfile.TemporaryDirectory(prefix="medpipe-fuzz-") as folder:
        found = run_whole(fuzz.named(numbers), Path(folder), workers=fuzz.workers)
    for what in found["findings"]:
        print(f"whole run of mutants {numbers.start} to {numbers.stop - 1}: {what}", file=sys.stderr)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop when they are over")
    parser.add_argument("--whole", type=int, default=2000, help="mutants that go through one whole run as well")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, help="sandboxes (default: one for each core)")
    parser.add_argument("--own", action="store_true", help="without seeds of the reference data")
    parser.add_argument("--only", type=int, help="read this one mutant and tell what becomes of it")
    parser.add_argument("--keep", type=Path, help="with --only: write the mutant here")
    parser.add_argument("-o", "--output", type=Path, help="also write the counts here")
    return parser.parse_args()


def _data_root() -> Path | None:
    named = os.environ.get("MEDPIPE_TEST_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    return root if (root / "expected.json").is_file() else None


def _is_own(name: str) -> bool:
    return name.startswith(("own/", "phantom/"))


def _only(fuzz: Fuzz, options: argparse.Namespace) -> int:
    mutant = fuzz.mutant(options.only)
    if options.keep is not None:
        options.keep.write_bytes(mutant.data)
    counts = fuzz.run([options.only])
    of = fuzz.seeds[mutant.seed].name if mutant.seed >= 0 else None
    print(json.dumps({"made by": mutant.made_by, "of": of, "bytes": len(mutant.data), **counts.report()}, indent=1))
    return int(bool(counts.findings))


class _Progress:
    """Tells now and then how far the run is and how long it will take."""

    def __init__(self, mutants: int) -> None:
        self._mutants = mutants
        self._found = 0
        self._began_s = self._told_s = time.monotonic()

    def __call__(self, counts: Counts) -> None:
        for finding in counts.findings[self._found :]:
            print(f"{finding.number}: {finding.what}", file=sys.stderr, flush=True)
        self._found = len(counts.findings)
        now_s = time.monotonic()
        if now_s - self._told_s < _TELL_EVERY_S:
            return
        self._told_s = now_s
        rate = counts.mutants / (now_s - self._began_s)
        left_s = (self._mutants - counts.mutants) / rate
        print(
            f"{counts.mutants} of {self._mutants}, {rate:.0f}/s, {left_s / 60:.1f} min left, "
            f"{len(counts.findings)} found",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    raise SystemExit(main())
