"""``make bench`` or ``python -m tests.bench [subjects]``: all comparisons, one line each."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from medpipe.engine.numeric import restart_pinned
from tests.bench import (
    chain,
    denoise,
    engines,
    features,
    gpu,
    gpu_texture,
    headers,
    radiomics,
    records,
    scans,
    stacks,
    texture,
    volumes,
    whole,
)
from tests.bench.machine import copy_bytes_per_s, describe, machine
from tests.bench.paired import ROUNDS, Bench, Figure, Skipped, line, measure

Subject = Callable[[Path], Iterator[Bench | Skipped]]

SUBJECTS: Mapping[str, Subject] = {
    "denoise": denoise.benches,
    "chain": chain.benches,
    "texture": texture.benches,
    "radiomics": radiomics.benches,
    "features": features.benches,
    "headers": headers.benches,
    "scan": scans.benches,
    "stacks": stacks.benches,
    "volumes": volumes.benches,
    "records": records.benches,
    "engines": engines.benches,
    "whole": whole.benches,
}


BY_HAND: Mapping[str, Subject] = {
    "gpu": gpu.benches,
    "gpu-texture": gpu_texture.benches,
    "scan-large": scans.large_benches,
}
"""Subjects that take minutes or a device: measured where they are asked for by name."""


def run_subjects(
    subjects: Mapping[str, Subject], say: Callable[[str], None], *, rounds: int = ROUNDS, bytes_per_s: float = 0.0
) -> tuple[list[Figure], list[Skipped]]:
    """Measure subjects one after the other, saying each line as it comes."""
    figures: list[Figure] = []
    skipped: list[Skipped] = []
    for benches in subjects.values():
        with tempfile.TemporaryDirectory(prefix="medpipe-bench-") as folder:
            for bench in benches(Path(folder)):
                if isinstance(bench, Skipped):
                    skipped.append(bench)
                    say(f"{bench.subject:<22} skipped: {bench.reason}")
                    continue
                figures.append(measure(bench, rounds=rounds, bytes_per_s=bytes_per_s))
                say(line(figures[-1]))
    return figures, skipped


def exit_code(figures: Sequence[Figure]) -> int:
    """Return 1 if any two outputs were not equal, else 0."""
    return 0 if all(figure.is_equal for figure in figures) else 1


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for, print it, and write it where asked."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    known = {**SUBJECTS, **BY_HAND}
    unknown = [name for name in asked.subjects if name not in known]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(known)}")
    started_s = time.monotonic()
    facts = {**machine(), "copy_gb_per_s": round(copy_bytes_per_s() / 1e9, 1)}
    _say("\n".join([*describe(facts), f"copy {facts['copy_gb_per_s']} GB/s; CPU ms: medpipe, peer, peer / medpipe"]))
    chosen = {name: known[name] for name in asked.subjects or SUBJECTS}
    figures, skipped = run_subjects(chosen, _say, rounds=asked.rounds, bytes_per_s=1e9 * facts["copy_gb_per_s"])
    unequal = [figure.subject for figure in figures if not figure.is_equal]
    ending = f"NOT EQUAL: {', '.join(unequal)}" if unequal else "all outputs equal"
    _say(f"{len(figures)} figures, {len(skipped)} skipped, {time.monotonic() - started_s:.0f} s: {ending}")
    if asked.json is not None:
        found = {
            "machine": facts,
            "figures": [figure.to_json() for figure in figures],
            "skipped": {one.subject: one.reason for one in skipped},
        }
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return exit_code(figures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", help=f"some of: {', '.join([*SUBJECTS, *BY_HAND])}")
    parser.add_argument("--json", type=Path, help="file for all figures, machine and versions")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds that count (default %(default)s)")
    return parser


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    restart_pinned()
    sys.exit(main(sys.argv[1:]))
