"""``python -m tests.faults``: plant faults of every class in sound series; count what is told of them."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tests.bench.machine import machine
from tests.faults.classes import FAULTS, Fault, clean
from tests.faults.verdicts import judge


def main() -> int:
    """Print a table by class; 1 if a fault was taken without a word or too many sound series were told of."""
    options = _options()
    started_s = time.monotonic()
    lines = ["| class | instances | told rightly | told otherwise | silent |", "| --- | ---: | ---: | ---: | ---: |"]
    total: Counter[str] = Counter()
    for place, name in enumerate(sorted(FAULTS, key=lambda name: (FAULTS[name].is_harmless, name))):
        counts = count(FAULTS[name], options.instances, options.seed)
        total += counts
        lines.append(_line(f"{name} (harmless)" if FAULTS[name].is_harmless else name, counts))
        print(f"{place + 1}/{len(FAULTS)} {name}: {dict(counts)}", file=sys.stderr, flush=True)
    sound = Counter(judge(clean(number, options.seed)) for number in range(options.clean))
    alarms = sound["otherwise"] + sound["silent"]
    lines += [
        _line("**all classes**", total),
        "",
        f"Sound series: {options.clean}, false alarms {sound['otherwise']}, wrong without a word {sound['silent']}.",
        f"{len(FAULTS)} classes, {total.total()} instances, seed {options.seed}: {time.monotonic() - started_s:.0f} s.",
        f"{machine()}",
    ]
    text = "\n".join(lines)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")
    return int(bool(total["silent"] or total["otherwise"]) or alarms > options.clean / 100)


def count(one: Fault, instances: int, seed: int) -> Counter[str]:
    """Return how many instances of a class were judged how; what was not right is printed."""
    counts: Counter[str] = Counter()
    for number in range(instances):
        judgement = judge(one.instance(number, seed))
        counts[judgement] += 1
        if judgement != "right":
            print(f"{judgement}: FAULTS[{one.name!r}].instance({number}, {seed})", file=sys.stderr, flush=True)
    return counts


def _line(name: str, counts: Counter[str]) -> str:
    figures = (counts.total(), counts["right"], counts["otherwise"], counts["silent"])
    return "| " + " | ".join([name, *map(str, figures)]) + " |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--instances", type=int, default=20, help="instances of each class")
    parser.add_argument("--clean", type=int, default=1000, help="sound series")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="also write the table here")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
