"""Projected against real memory, case by case.

``python -m tests.bench.memory_table --studies 24`` makes a phantom archive and runs it,
``--archive FOLDER`` runs another, ``--lake LAKE`` only reads the cases of a lake that is there.
``--gib 4`` writes one CT stack of so many GiB as float32 and runs it in a sandbox that may have
``--cap-mb`` in all, original and filtered image kept.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medpipe import open_lake
from medpipe.synth import make_archive
from tests.archive.conftest import make_slice, to_bytes
from tests.bench.machine import machine

MIB = 1 << 20
MOST_ABOVE = 0.25
MOST_MEDIAN = 0.20
SIDE = 1024

STACK_RECIPE = """
name = "slabs"

[[route]]
name = "ct"
image = [ { op = "median" }, { op = "gaussian", sigma_mm = 0.8 }, { op = "window", preset = "soft_tissue" } ]
keep = [ "original", "final" ]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A case: what was projected for it and what it took, bytes."""

    route: str
    kind: str
    shape: tuple[int, ...]
    outcome: str
    code: str
    projected: int
    peak: int

    @property
    def error(self) -> float:
        """How far the projection is above (or below) the peak, as a share of the peak."""
        return (self.projected - self.peak) / self.peak

    @property
    def above(self) -> float:
        """How far the peak is above its projection, as a share of the projection."""
        return self.peak / self.projected - 1.0


def lines_of(lake: Path) -> list[Line]:
    """Return the cases of a lake's published tables that took memory, largest first."""
    tables = open_lake(lake)
    volumes = {row["volume_key"]: row for row in tables.table("volumes").to_pylist()}
    lines = [_line(row, volumes[row["volume_key"]]) for row in tables.table("cases").to_pylist() if row["peak_bytes"]]
    return sorted(lines, key=lambda line: (-line.peak, line.route, line.shape))


def summary(lines: Sequence[Line]) -> dict[str, Any]:
    """Return the figures the projection is held to."""
    return {
        "cases": len(lines),
        "most above its projection": round(max(line.above for line in lines), 3),
        "median of |error|": round(statistics.median(abs(line.error) for line in lines), 3),
        "out of memory": sum(line.code in {"E_OOM", "E_MEMORY"} for line in lines),
        "largest peak, MiB": max(line.peak for line in lines) // MIB,
    }


def holds(facts: dict[str, Any]) -> bool:
    """Tell whether the projection kept its word."""
    kept = facts["most above its projection"] <= MOST_ABOVE and facts["median of |error|"] <= MOST_MEDIAN
    return kept and facts["out of memory"] == 0


def write_stack(folder: Path, gib: float) -> None:
    """Write a CT stack that takes so many GiB as float32, slices of SIDE x SIDE."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 60, (SIDE + 64, SIDE + 64)).astype(np.uint16)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    body = np.where((y / 400) ** 2 + (x / 430) ** 2 < 1, 1000, 0).astype(np.uint16)
    for place in range(round(gib * 2**30 / (4 * SIDE**2))):
        top, left = place * 7 % 64, place * 13 % 64
        pixels = noise[top : top + SIDE, left : left + SIDE] + body
        slice_ = make_slice(pixels, position=(0, 0, round(0.6 * place, 3)), InstanceNumber=place + 1)
        (folder / f"{place:05}.dcm").write_bytes(to_bytes(slice_))


def run(archive: Path, lake: Path, recipe: str, *, site: Path | None = None) -> None:
    """Run a recipe over an archive on Dask, as a user would."""
    command = [sys.executable, "-m", "medpipe", "run", str(archive), "--lake", str(lake), "-r", recipe]
    command += ["--engine", "dask", *([] if site is None else ["--site", str(site)])]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(lake.parent / "config")}
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in {0, 2}:
        raise SystemExit(f"medpipe run ended with {done.returncode}")


def main() -> int:
    """Print the table, its summary as JSON, and return 0 if the projection kept its word."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="memory-table-") as folder:
        lake = asked.lake or _made(asked, Path(folder))
        lines = lines_of(lake)
    for line in lines:
        shape = "x".join(map(str, line.shape))
        sizes = f"{line.projected // MIB:6} {line.peak // MIB:6} {line.error:+7.0%}"
        print(f"{line.route:8} {line.kind:12} {shape:18} {sizes}  {line.outcome} {line.code}")
    facts = summary(lines)
    print(json.dumps({**facts, "holds": holds(facts), "machine": machine()}, indent=1))
    return 0 if holds(facts) else 1


def _made(asked: argparse.Namespace, folder: Path) -> Path:
    archive, lake = asked.archive or folder / "archive", folder / "lake"
    if asked.gib:
        write_stack(archive, asked.gib)
        (folder / "slabs.toml").write_text(STACK_RECIPE, encoding="utf-8")
        limits = f"workers = 1\n[limits]\nmemory_mb = {asked.cap_mb}\ncase_s = 7200\n"
        (folder / "site.toml").write_text(limits, encoding="utf-8")
        run(archive, lake, str(folder / "slabs.toml"), site=folder / "site.toml")
        return lake
    if asked.archive is None:
        make_archive(archive, studies=asked.studies, seed=0)
        archive /= "archive"
    run(archive, lake, "whole-archive")
    return lake


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lake", type=Path, default=None)
    parser.add_argument("--archive", type=Path, default=None)
    parser.add_argument("--studies", type=int, default=24)
    parser.add_argument("--gib", type=float, default=0.0)
    parser.add_argument("--cap-mb", type=int, default=2048)
    return parser.parse_args()


def _line(case: dict[str, Any], volume: dict[str, Any]) -> Line:
    return Line(
        route=case["route"],
        kind=volume["kind"],
        shape=tuple(volume["shape"]),
        outcome=case["outcome"],
        code=case["code"] or "",
        projected=case["projected_bytes"],
        peak=case["peak_bytes"],
    )


if __name__ == "__main__":
    sys.exit(main())
