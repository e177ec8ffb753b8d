"""Whole runs over folders of mutants: what one file did to the next, and what reached the tables."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table
from medpipe.reasons import REASONS
from tests.fuzz.run import Mutant

RECIPE = """
name = "mutants"

[[route]]
name = "all"
regions = [ { op = "body" }, { op = "segmentation_objects" } ]
features = [ { name = "first", op = "ibsi", families = ["statistics"] } ]
"""

_SETTLED = frozenset({"used", "catalogued", "duplicate", "skipped", "quarantined"})


def run_whole(mutants: Iterable[tuple[str, Mutant]], folder: Path, *, workers: int) -> dict[str, Any]:
    """Run a recipe over mutants and return what was counted; ``findings`` tells what must not be.

    Parameters
    ----------
    mutants : iterable of (str, Mutant)
        Each with the name of its file.
    folder : Path
        An empty one.
    workers : int
    """
    archive = folder / "archive"
    archive.mkdir()
    names = {}
    for name, mutant in mutants:
        (archive / name).write_bytes(mutant.data)
        names[name] = mutant.number
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "key").write_text("5" * 64, encoding="ascii")
    (folder / "key").chmod(0o600)
    # raw identifiers go into the tables too
    masks = [{"mask": "{number}_mask", "image": "{number}"}]
    site = Site(engine="serial", workers=workers, key_file=folder / "key", privacy="identified", masks=masks)
    report = run_archive(
        RunRequest(recipe=os.fspath(folder / "recipe.toml"), archives=(archive,), lake=folder / "lake", site=site),
        Silent(),
    )
    lake = Lake.open(folder / "lake")
    instances, cases = (read_table(lake, name).to_pylist() for name in ("instances", "cases"))
    codes = Counter(row["code"] for row in read_table(lake, "quarantine").to_pylist())
    return {
        "files": len(names),
        "rows": len(instances),
        "outcomes": dict(Counter(row["outcome"] for row in instances).most_common()),
        "codes": dict(codes.most_common()),
        "cases": dict(Counter(row["outcome"] for row in cases).most_common()),
        "seconds": round(report.seconds, 1),
        "findings": [*_files_missing(names, instances), *_unexplained(codes), *_cases_unexplained(cases)],
    }


def _files_missing(names: dict[str, int], instances: list[dict[str, Any]]) -> list[str]:
    told = Counter(row["path"] for row in instances if row["outcome"] in _SETTLED)
    missing = [f"mutant {number} has {told[name]} rows" for name, number in names.items() if told[name] != 1]
    inside = Counter(row["path"] for row in instances)
    return missing + [f"a member has {count} rows" for count in inside.values() if count != 1]


def _unexplained(codes: Counter[str]) -> list[str]:
    return [f"{count} rows with {code}" for code, count in codes.items() if code == "E_INTERNAL" or code not in REASONS]


def _cases_unexplained(cases: list[dict[str, Any]]) -> list[str]:
    return [
        f"a case ended as {row['outcome']} without a code"
        for row in cases
        if row["outcome"] != "done" and not row["code"]
    ]
