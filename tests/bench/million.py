"""A million cases: scan, plan, run, record and publish synthetic volumes, and what it costs to have them.

``python -m tests.bench.million --cases 1000000 --out FOLDER --json FIGURES.json``

Files are made up where they would be listed and parsed, cases do next to nothing; all else is
what a run is: the index, plans and sealed payloads, Dask with sandboxes, segments, the index of
results, snapshot and tables. Then a run with nothing to do, and one after 1 % of the studies
changed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import psutil

import medpipe.app.run
import medpipe.app.scanning
from medpipe.app.prepare import RunRequest
from medpipe.app.run import run_archive
from medpipe.app.run_report import RunReport
from medpipe.app.site import Site
from medpipe.archive.frames import Plane
from medpipe.archive.header import Header
from medpipe.contracts.protocols import Item
from medpipe.engine.boundary import peak_bytes
from medpipe.engine.spec import EngineSpec
from medpipe.keys import bytes_digest

RECIPE = """
name = "million"

[[route]]
name = "all"
regions = [ { op = "body" } ]
features = [ { name = "radiomics", op = "ibsi", families = ["statistics", "morphology", "glcm"], bins = 32 } ]
"""
MODALITIES = ("CT", "CT", "CT", "CT", "CT", "CT", "MR", "MR", "MR", "PT")
_CHANGED_OF = 100
"""One of so many studies changes in the last run."""


class MadeUp:
    """An archive of single slices, one a study, that exists only here; changes are counted by generation."""

    files = 0
    generation = 0

    def __init__(self, root: object, site: object = None) -> None:
        del root, site

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def scan(self) -> Iterator[Item]:
        """Yield the files."""
        for number in range(MadeUp.files):
            yield Item(path=f"{number // 1000:06d}/{number:09d}.dcm", size=700, version=f"{_generation(number)}")

    def headers(self, items: Iterable[tuple[Item, object]]) -> Iterator[tuple[Header, dict[str, Any]]]:
        """Yield what a file's header would say."""
        for item, _ in items:
            header = _header(int(item.path[-13:-4]), item)
            yield header, header.to_json()


def _generation(number: int) -> int:
    # a stretch of the archive changes: every hundredth study by its number
    return MadeUp.generation if number % _CHANGED_OF == 7 else 0


def _header(number: int, item: Item) -> Header:
    modality = MODALITIES[number % len(MODALITIES)]
    uid = f"1.2.3.{number}"
    classes = {"CT": "2", "MR": "4", "PT": "128"}
    return Header(
        path=item.path,
        size=item.size,
        version=item.version,
        head_digest=bytes_digest(f"{number}-{item.version}".encode()),
        head_bytes=item.size,
        transfer_syntax="1.2.840.10008.1.2.1",
        sop_class_uid=f"1.2.840.10008.5.1.4.1.1.{classes[modality]}",
        sop_instance_uid=f"{uid}.1.1",
        study_uid=uid,
        series_uid=f"{uid}.1",
        patient_id=f"patient {number // 3}",
        frame_of_reference_uid=f"{uid}.2",
        modality=modality,
        rows=4,
        columns=4,
        bits_allocated=16,
        bits_stored=16,
        high_bit=15,
        photometric="MONOCHROME2",
        pixel_keyword="PixelData",
        pixel_bytes=32,
        top=Plane(position=(0.0, 0.0, 0.0), orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), spacing_mm=(1.0, 1.0)),
        facts={"study_date": f"20{number % 20:02d}0{number % 9 + 1}1{number % 9}", "manufacturer": "GE MEDICAL"},
    )


class Watch:
    """Stages with their seconds, and the memory of this process (driver and scheduler) and of its children."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.stages: list[dict[str, Any]] = []
        self.curve: list[tuple[float, str, int, int]] = []
        self._done = 0
        self._ended = threading.Event()
        self._me = psutil.Process()
        threading.Thread(target=self._measure, daemon=True).start()

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage."""
        self.end_stage()
        self.stages.append({"stage": name, "from_s": self._now(), "total": total})
        print(f"{self._now():8.1f} s  {name} ({total})", flush=True)

    def end_stage(self) -> None:
        """Close the stage at hand."""
        if self.stages and "seconds" not in self.stages[-1]:
            self.stages[-1]["seconds"] = round(self._now() - self.stages[-1]["from_s"], 1)

    def advance(self, steps: int = 1) -> None:
        """Count a step; tell now and then."""
        self._done += steps
        if self._done % 50_000 == 0:
            print(f"{self._now():8.1f} s  {self._done} steps, {self.curve[-1][2] >> 20} MiB", flush=True)

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)

    def close(self) -> None:
        """Stop measuring."""
        self.end_stage()
        self._ended.set()

    def _now(self) -> float:
        return round(time.monotonic() - self.started_s, 1)

    def _measure(self) -> None:
        while not self._ended.wait(1.0):
            below = 0
            for child in self._me.children(recursive=True):
                try:
                    below += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            name = self.stages[-1]["stage"] if self.stages else "start"
            self.curve.append((self._now(), name, self._me.memory_info().rss, below))


def _spec(request: Any, prepared: Any, run: Any) -> EngineSpec:
    return replace(_REAL_SPEC(request, prepared, run), session="tests.bench.million_session:open_session")


_REAL_SPEC = medpipe.app.run._engine_spec


def _report(name: str, report: RunReport, watch: Watch) -> dict[str, Any]:
    watch.close()
    peaks = [rss for _, _, rss, _ in watch.curve] or [0]
    cases = [(at, rss) for at, stage, rss, _ in watch.curve if stage == "cases"]
    half = [rss for at, rss in cases if cases and at >= (cases[0][0] + cases[-1][0]) / 2]
    figures = {
        "run": name,
        "seconds": round(report.seconds, 1),
        "executed": report.executed,
        "planned": report.planned,
        "ms_per_case": round(1000 * report.seconds / max(1, report.planned), 3),
        "peak_driver_mib": max(peaks) >> 20,
        "peak_children_mib": max([below for *_, below in watch.curve] or [0]) >> 20,
        "growth_over_last_half_of_cases_mib": (half[-1] - half[0]) / 2**20 if half else 0.0,
        "stages": watch.stages,
        "parts_written": list(report.published.written),
    }
    print(json.dumps({key: value for key, value in figures.items() if key != "stages"}), flush=True)
    figures["curve"] = [
        [at, stage, rss >> 20, below >> 20] for at, stage, rss, below in watch.curve[:: max(1, len(watch.curve) // 400)]
    ]
    return figures


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    (given.out / "archive").mkdir(parents=True)
    (given.out / "archive" / "placeholder").touch()
    (given.out / "recipe.toml").write_text(RECIPE)
    os.environ["XDG_CONFIG_HOME"] = str(given.out / "config")
    medpipe.app.scanning.FolderSource = MadeUp  # type: ignore[assignment,misc]
    medpipe.app.scanning.Reader = MadeUp  # type: ignore[assignment,misc]
    medpipe.app.run._engine_spec = _spec
    MadeUp.files = given.cases
    request = RunRequest(
        recipe=str(given.out / "recipe.toml"),
        archives=(given.out / "archive",),
        lake=given.out / "lake",
        site=Site(engine="dask", workers=given.workers),
    )
    runs = []
    for name, generation in (("first", 0), ("nothing new", 0), ("1 % changed", 1)):
        MadeUp.generation = generation
        watch = Watch()
        runs.append(_report(name, run_archive(request, watch), watch))
    parts = {
        f"{path.parent.name}/{path.name}": path.stat().st_size >> 20
        for path in sorted((given.out / "lake" / "tables").resolve().rglob("*.parquet"))
    }
    figures = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "command": " ".join(["python -m tests.bench.million", *sys.argv[1:]]),
        "cases": given.cases,
        "peak_rss_of_process_mib": peak_bytes() >> 20,
        "runs": runs,
        "parts_mib": parts,
    }
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
