"""How long a scan takes and how much memory, over many tiny files: the first one, and those after it.

Run as ``python -m tests.bench.scanning FOLDER [--files 100000]``; not part of ``make bench``. Prints
JSON. The memory is the driver's own, without the sandboxes that parse.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.app.index import LakeIndex
from medpipe.app.progress import Silent
from medpipe.app.scan import scan_archives
from medpipe.app.site import Site
from medpipe.engine.boundary import peak_bytes
from medpipe.lake.lake import Lake
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import load_secret
from medpipe.ranges import Range
from tests.archive.conftest import make_slice, to_bytes

SLICES = 25
SERIES = 4


def make_files(archive: Path, count: int) -> None:
    """Write tiny CT slices: four series of 25 to a study, a folder for each study."""
    slots = {name: f"1.2.{number}.".ljust(40, "9") for number, name in enumerate(("study", "series", "sop"))}
    dataset = make_slice(
        np.zeros((8, 8), np.int16),
        StudyInstanceUID=slots["study"],
        SeriesInstanceUID=slots["series"],
        SOPInstanceUID=slots["sop"],
        FrameOfReferenceUID="1.2.3",
        PatientID="PATIENT-0000000000",
        StudyDate="20200101",
        position=(0, 0, 11111),
    )
    template = to_bytes(dataset)
    for number in range(count):
        series, image = divmod(number, SLICES)
        study = series // SERIES
        data = template.replace(slots["study"].encode(), f"1.2.0.{study}.".ljust(40, "7").encode())
        data = data.replace(slots["series"].encode(), f"1.2.1.{series}.".ljust(40, "7").encode())
        data = data.replace(slots["sop"].encode(), f"1.2.2.{number}.".ljust(40, "7").encode())
        data = data.replace(b"PATIENT-0000000000", f"PATIENT-{study // 3:010d}".encode())
        data = data.replace(b"11111", f"{image:05d}".encode())
        folder = archive / f"{study // 1000:03d}" / f"{study:06d}"
        if number % (SLICES * SERIES) == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:07d}.dcm").write_bytes(data)


def scanned(archive: Path, lake: Path, *, accept_deletions: bool = False) -> dict[str, Any]:
    """Scan once; return seconds and what was found."""
    began, cpu_began = time.monotonic(), time.process_time()
    report = scan_archives([archive], lake, Site(), Silent(), accept_deletions=accept_deletions)
    return {
        "seconds": round(time.monotonic() - began, 2),
        "driver_cpu_s": round(time.process_time() - cpu_began, 2),
        "files": report.files,
        "read": report.read,
        "deleted": report.deleted,
        "peak_mb": peak_bytes() >> 20,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=100_000)
    given = parser.parse_args()
    archive, lake = given.folder / "archive", given.folder / "lake"
    os.environ.setdefault("XDG_CONFIG_HOME", str(given.folder / "home"))
    shutil.rmtree(lake, ignore_errors=True)
    if not archive.exists():
        make_files(archive, given.files)
    figures: dict[str, Any] = {"first": scanned(archive, lake), "again": scanned(archive, lake)}
    for study in range(0, given.files // (SLICES * SERIES), 100):
        one = archive / f"{study // 1000:03d}" / f"{study:06d}"
        shutil.copytree(one, one.with_name(f"{study:06d}-moved"))
        shutil.rmtree(one)
    figures["1 % of the studies moved"] = scanned(archive, lake)
    began = time.monotonic()
    secret = load_secret()
    index = LakeIndex.open(Lake.open(lake, secret=secret), Pseudonyms(secret))
    figures["open_s"] = round(time.monotonic() - began, 3)
    began = time.monotonic()
    found = index.load(Range(6, 17))
    figures["load"] = {"volumes": len(found.volumes), "seconds": round(time.monotonic() - began, 3)}
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
