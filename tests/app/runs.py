"""What the tests of whole runs share: commands, digests of a lake, and who is still alive."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.run_report import RunReport
from medpipe.app.site import Limits, Site
from medpipe.app.verify import verify_lake
from medpipe.lake.failpoints import VARIABLE
from medpipe.lake.lake import Lake
from medpipe.lake.segments import list_segments, read_segment

ROOT = Path(__file__).resolve().parents[2]

HAPPENED = frozenset({"cases", "runs"})
"""Tables that hold times; all others must be equal byte for byte."""

RECIPE = """
name = "small"

[[route]]
name = "ct"
where = { modality = "CT", kind = ["volume"], min_slices = 3 }
image = [ { op = "window", preset = "soft_tissue" } ]
regions = [ { op = "body" }, { op = "segmentation_objects", map = { nodule = "(?i)nodule" } } ]
features = [
    { name = "first", op = "ibsi", families = ["statistics"] },
    { name = "lbp", op = "lbp", image = "final" },
]

[[route]]
name = "pet"
where = { modality = "PT", kind = ["volume"], min_slices = 3 }
regions = [ { op = "body" } ]
features = [ { name = "radiomics", op = "ibsi", resample_mm = [4, 4, 4], bins = 32 } ]
models = [ "phantom-pet-noise" ]
keep = [ "original", "final" ]
image = [ { op = "gaussian", sigma_mm = 2.0 } ]

[[route]]
name = "store"
"""
"""Every kind of product, and quick: what is wrong in the rest shows here as well."""


def environment(home: Path, *, failpoint: str = "") -> dict[str, str]:
    """Return the variables of a command; ``home`` keeps its key and marks its processes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEDPIPE_", "XDG_"))}
    named = {VARIABLE: failpoint} if failpoint else {}
    return {**kept, **named, "XDG_CONFIG_HOME": str(home), "MEDPIPE_TRACEBACK": "1"}


def command(archives: Sequence[Path], lake: Path, recipe: Path | str, *options: str) -> list[str]:
    """Return the arguments of ``medpipe run``."""
    return ["run", *map(str, archives), "--lake", str(lake), "-r", str(recipe), *options]


@contextmanager
def started(arguments: Sequence[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command line as the leader of its own process group; it is gone afterwards."""
    with (home / "output").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "medpipe", *arguments],
            env=environment(home),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def medpipe(arguments: Sequence[str], home: Path, *, exit_code: int) -> str:
    """Run the command line to its end; return what it printed to standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "medpipe", *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == exit_code, done.stdout + done.stderr
    return done.stdout


# who is still there ---------------------------------------------------------------------------


def alive(home: Path) -> list[psutil.Process]:
    """Return the processes that a command with this ``home`` left or has at work."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("XDG_CONFIG_HOME") == str(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def wait_for_quiet(home: Path, *, seconds: float = 10.0) -> None:
    """Wait until none is left; a process that stays is an orphan."""
    end = time.monotonic() + seconds
    while left := alive(home):
        assert time.monotonic() < end, f"orphans: {[process.cmdline()[:4] for process in left]}"
        time.sleep(0.05)


# what a lake holds ----------------------------------------------------------------------------


def tables_of(lake: Path, recipe: str | None = None) -> dict[str, str]:
    """Return the digest of every published table file by its path, without those that hold times.

    Without a recipe, of those that the link ``tables`` shows.
    """
    shown = lake / "tables" if recipe is None else lake / (lake / "published" / recipe / "LATEST").read_text().strip()
    return {name: text for name, text in _digests(shown.resolve(strict=True)).items() if name.endswith(".parquet")}


def volumes_of(lake: Path) -> dict[str, str]:
    """Return the digest of every file of every published Zarr group by its path, manifests included."""
    names = [folder.name for folder in (lake / "objects").iterdir() if len(folder.name) == 2]
    return {f"{name}/{path}": text for name in names for path, text in _digests(lake / "objects" / name).items()}


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in HAPPENED
    }


def rows(lake: Path, name: str, **equal: Any) -> list[dict[str, Any]]:
    """Return the rows of a published table, perhaps those with certain values only."""
    found = ds.dataset((lake / "tables" / name).resolve()).to_table().to_pylist()
    return [row for row in found if all(row[column] == value for column, value in equal.items())]


def assert_whole(lake: Path) -> None:
    """Read everything that was published, as ``medpipe verify`` does; each object needs its manifest."""
    found = verify_lake(lake)
    assert found["damaged"] == []
    assert found["volume"] == len(list((lake / "objects").glob("??/*/manifest.json"))) > 0


def assert_same(lake: Path, other: Path) -> None:
    """Hold two lakes against each other: tables and volumes, byte for byte."""
    assert tables_of(lake) == tables_of(other) != {}
    assert volumes_of(lake) == volumes_of(other) != {}


def computed(lake: Path, run: str) -> Counter[str]:
    """Return what a run made anew, by kind of product, from the segments it sealed."""
    opened = Lake.open(lake)
    segments = [name for name in list_segments(opened) if f"/{run}/" in name]
    results = [result for name in segments for result in read_segment(opened, name)]
    return Counter(product.kind for result in results for product in result.products)


# runs in this process -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """An archive, a recipe and a lake that belong together.

    Attributes
    ----------
    archive, lake, key, recipe : Path
    """

    archive: Path
    lake: Path
    key: Path
    recipe: Path

    def request(self, *, recipe: str | Path | None = None, archives: Sequence[Path] | None = None) -> RunRequest:
        """Return a request for the serial engine; the archive and recipe are the bench's if not named."""
        return RunRequest(
            recipe=str(recipe or self.recipe),
            archives=tuple(archives or (self.archive,)),
            lake=self.lake,
            site=Site(engine="serial", workers=1, key_file=self.key, limits=Limits(case_s=120.0)),
        )

    def run(self, *, recipe: str | Path | None = None, archives: Sequence[Path] | None = None) -> RunReport:
        """Run in this process, case after case."""
        return run_archive(self.request(recipe=recipe, archives=archives), Silent())

    def recipe_with(self, changes: Mapping[str, str], *, name: str = "changed.toml") -> Path:
        """Write the recipe with pieces of its text replaced; each must be there once."""
        text = self.recipe.read_text(encoding="utf-8")
        for before, after in changes.items():
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        path = self.recipe.with_name(name)
        path.write_text(text, encoding="utf-8")
        return path
