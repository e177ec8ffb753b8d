"""A whole scan, from files to the index: many ordinary slices, listed, read, assembled, written, sealed.

The peer opens each file, stops before the pixels and reads twenty values into a list. A scan also
lists and names files, digests heads, makes stacks of slices and writes four tables and what is
sealed; its CPU time is that of the driver and of all sandboxes, their start included. What the
index has of each file and of the place of each stack is held against the peer's values.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.app.progress import Silent
from medpipe.app.scan import scan_archives
from medpipe.app.site import Site
from medpipe.lake.index import index_sources, read_generation, read_shard
from medpipe.lake.lake import Lake
from tests.archive.conftest import to_bytes
from tests.bench.headers import read_by_pydicom
from tests.bench.ordinary import ordinary_slice
from tests.bench.paired import Bench, Clock

SERIES, MANY_SERIES, SLICES = 200, 1000, 100
_SERIES_UID, _SOP_UID, _PLACE, _NUMBER = "1.2.3." + "9" * 34, "1.2.4." + "9" * 34, "77777.5", "66666"


def _family_s() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


FAMILY = Clock("cpu", _family_s)
"""User and system time of this process and of its children that have ended."""


def benches(folder: Path) -> Iterator[Bench]:
    """Yield the comparison."""
    yield _bench("scan, slices", folder, SERIES)


def large_benches(folder: Path) -> Iterator[Bench]:
    """Yield the comparison over five times as many files: the start of the sandboxes hardly counts."""
    yield _bench("scan, many slices", folder, MANY_SERIES)


def _bench(subject: str, folder: Path, n_series: int) -> Bench:
    names = write_archive(folder / "archive", n_series)
    os.environ.setdefault("XDG_CONFIG_HOME", str(folder / "home"))
    return Bench(
        subject=subject,
        size=f"{len(names)} CT slices of {n_series} series",
        ours=lambda: scanned(folder / "archive", folder / "lake"),
        peer="pydicom, 20 values",
        theirs=lambda: read_by_pydicom(names),
        difference=partial(wrong, n_series=n_series),
        items=len(names),
        item="file",
        rounds=2,
        clock=FAMILY,
    )


def write_archive(folder: Path, n_series: int = SERIES) -> dict[str, Path]:
    """Write slices with as many elements as scanners write, a folder for each series; return them by path."""
    pixels = np.random.default_rng(5).integers(0, 4096, (32, 32)).astype(np.uint16)
    slice_0 = ordinary_slice(
        pixels, 0, SeriesInstanceUID=_SERIES_UID, SOPInstanceUID=_SOP_UID, SliceLocation=_PLACE, InstanceNumber=_NUMBER
    )
    slice_0.ImagePositionPatient = [-180.5, -170.25, _PLACE]
    template = to_bytes(slice_0)
    names = {}
    for series in range(n_series):
        (folder / f"{series:04d}").mkdir(parents=True)
        of_series = template.replace(_SERIES_UID.encode(), f"1.2.3.{series}.".ljust(40, "7").encode())
        for k in range(SLICES):
            data = of_series.replace(_SOP_UID.encode(), f"1.2.4.{series}.{k}.".ljust(40, "7").encode())
            data = data.replace(_PLACE.encode(), f"{k:05d}.5".encode()).replace(_NUMBER.encode(), b"%05d" % k)
            path = f"{series:04d}/{k:04d}.dcm"
            names[path] = folder / path
            names[path].write_bytes(data)
    return names


def scanned(archive: Path, root: Path) -> Path:
    """Scan into a new lake; return its folder."""
    shutil.rmtree(root, ignore_errors=True)
    scan_archives([archive], root, Site(privacy="identified"), Silent())
    return root


def read_rows(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a lake's index, which has one source."""
    lake = Lake.open(root)
    (source,) = index_sources(lake)
    generation = read_generation(lake, source)
    return {
        name: [row for number in shards for row in read_shard(lake, source, generation, name, number).to_pylist()]
        for name, shards in generation.shards.items()
    }


def wrong(root: Path, other: dict[str, dict[str, Any]], *, n_series: int) -> float:
    """Return how many files and stacks of the index are not what the peer's values say."""
    mine = read_rows(root)
    instances = {row["path"]: row for row in mine["instances"]}
    count = float(len(instances.keys() ^ other.keys()))
    for path, said in other.items():
        row = instances[path]
        given = row["sop_instance_uid"], row["sop_class_uid"], row["modality"]
        count += given != (said["SOPInstanceUID"], said["SOPClassUID"], said["Modality"])
    files = {row["instance_key"]: row["path"] for row in mine["instances"]}
    slices: defaultdict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in mine["members"]:
        slices[row["volume_key"]][row["index"]] = other[files[row["instance_key"]]]
    count += abs(len(mine["volumes"]) - n_series)
    return count + sum(not _lies_there(row, slices[row["volume_key"]]) for row in mine["volumes"])


def _lies_there(volume: dict[str, Any], slices: dict[int, dict[str, Any]]) -> bool:
    """Tell whether each slice of a stack lies where its affine puts it."""
    affine = np.reshape(volume["affine_lps"], (4, 4))
    said = np.array([slices[k]["ImagePositionPatient"] for k in range(SLICES)])
    found = affine[:3, 3] + np.arange(SLICES)[:, None] * affine[:3, 2]
    one = len({found["SeriesInstanceUID"] for found in slices.values()}) == 1
    is_right = volume["shape"] == [SLICES, slices[0]["Rows"], slices[0]["Columns"]]
    return one and is_right and bool(np.abs(found - said).max() < 1e-5)
