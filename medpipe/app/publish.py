"""The end of a run: conservation check, snapshot, tables, and what to tell about them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medpipe.app.index import Index
from medpipe.app.tables import IndexRows, Tables, build_tables
from medpipe.keys import digest
from medpipe.lake.committed import Committed
from medpipe.lake.lake import Lake
from medpipe.lake.query import tables_path
from medpipe.lake.runs import EventRecord, Run, run_names
from medpipe.lake.snapshot import Snapshot, has_snapshot, make_snapshot, write_snapshot
from medpipe.lake.tables import is_readable, publish_tables, published_state, set_published_state
from medpipe.plan.cases import Plan
from medpipe.recipe.lock import LockedRecipe

_LIBRARIES = ("medpipe", "numpy", "scipy", "scikit-image", "scikit-learn", "numba", "pydicom", "zarr", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was published, counted.

    Attributes
    ----------
    snapshot : Snapshot
    tables : Path
    outcomes, codes : mapping of str to int
        Files by outcome; quarantine rows by code.
    modalities : mapping of str to mapping
        Volumes by modality and verdict.
    bad_subjects : int
        Subjects with a row of severity ``error`` in ``quarantine``.
    """

    snapshot: Snapshot
    tables: Path
    outcomes: Mapping[str, int]
    modalities: Mapping[str, Mapping[str, int]]
    codes: Mapping[str, int]
    subjects: int
    bad_subjects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended."""

    run: str
    recipe: str
    lake: Path
    planned: int
    executed: int
    skipped: int
    seconds: float
    published: Published

    def facts(self) -> dict[str, Any]:
        """Return the report as plain values, in reading order."""
        counts = self.published.snapshot.counts
        return {
            "run": self.run or "none was needed",
            "recipe": self.recipe,
            "files": dict(self.published.outcomes),
            "volumes": {name: dict(counts) for name, counts in self.published.modalities.items()},
            "cases": {
                "planned": self.planned,
                "executed": self.executed,
                "committed": counts["committed"],
                "quarantined": counts["quarantined"],
                "volumes left out": self.skipped,
            },
            "reasons": dict(self.published.codes),
            "seconds": round(self.seconds, 1),
            "snapshot": self.published.snapshot.id,
            "tables": str(self.published.tables),
            "note": self._note(),
        }

    def _note(self) -> str:
        if not self.run:
            return "nothing to do: everything was committed and published before"
        if "S_LIMIT" in self.published.snapshot.skipped.values():
            return "complete for the part that was chosen: the published tables hold no more until a run without it"
        return "complete"

    def exit_code(self, allowed_share: float = 0.0) -> int:
        """Return 0, or 2 if more than the allowed share of subjects is quarantined."""
        return 2 if self.published.bad_subjects > allowed_share * self.published.subjects else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the tables of a run are derived from."""

    index: Index
    plan: Plan
    committed: Committed


def snapshot_of(lock: LockedRecipe, plan: Plan, committed: Committed) -> Snapshot:
    """Return the snapshot of a plan all of whose cases have ended.

    Raises
    ------
    IntegrityError
        If ``planned = committed + quarantined + skipped`` does not hold.
    """
    planned = [(case.key, case.volume_key) for case in plan.cases] + [("", key) for key in plan.skipped]
    return make_snapshot(
        recipe_name=lock.name, recipe_digest=lock.digest, planned=planned, committed=committed, skipped=plan.skipped
    )


def state_of(lake: Lake, index: Index, snapshot: Snapshot) -> str:
    """Return a digest of all the published tables depend on, but for what happened."""
    return digest({"index": list(index.state), "snapshot": snapshot.id, "privacy": lake.privacy})


def is_published(lake: Lake, lock: LockedRecipe, index: Index, snapshot: Snapshot) -> bool:
    """Tell whether exactly these tables were published by an earlier run, and are there with their snapshot."""
    if published_state(lake, lock.name) != state_of(lake, index, snapshot):
        return False
    return is_readable(lake, lock.name) and has_snapshot(lake, snapshot)


def publish_run(
    lake: Lake, lock: LockedRecipe, ending: Ending, *, run: Run | None, events: EventRecord | None
) -> Published:
    """End a run: write its snapshot, derive the tables from it and publish them.

    Without a run (everything was published before) nothing is written, only counted.
    """
    snapshot = snapshot_of(lock, ending.plan, ending.committed)
    if run is not None and events is not None:
        write_snapshot(lake, snapshot, run=run.name)
        events.add("snapshot", {"snapshot": snapshot.id})
    index = ending.index
    rows = IndexRows(instances=index.instances, members=index.members, series=index.series, volumes=index.volumes)
    tables = build_tables(lock, rows, ending.plan, ending.committed, list(_run_rows(lake, lock.name)))
    if run is None:
        return _counted(snapshot, tables_path(lake, lock.name), tables)
    publication = publish_tables(lake, recipe_name=lock.name, snapshot=snapshot.id, tables=tables)
    set_published_state(lake, lock.name, state_of(lake, index, snapshot))
    return _counted(snapshot, lake.store.absolute(publication.path), tables)


def library_versions() -> str:
    """Return the versions of the libraries that make numbers, as JSON."""
    return json.dumps({name: version(name) for name in _LIBRARIES}, sort_keys=True)


def _run_rows(lake: Lake, recipe: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of the recipe's runs that ended with a snapshot."""
    for name in run_names(lake):
        run = Run(lake, name)
        summary, info = run.summary(), run.info()
        if summary is None or info.get("recipe") != recipe:
            continue
        ended = next((event["at"] for event in run.read_events() if event["event"] == "snapshot"), None)
        yield {"run": name, **info, **summary, "ended": ended}


def _counted(snapshot: Snapshot, path: Path, tables: Tables) -> Published:
    volumes: dict[str, Counter[str]] = {}
    for row in tables["volumes"][1]:
        volumes.setdefault(row["modality"] or "?", Counter())[row["verdict"]] += 1
    quarantine = tables["quarantine"][1]
    instances = tables["instances"][1]
    return Published(
        snapshot=snapshot,
        tables=path,
        outcomes=dict(sorted(Counter(row["outcome"] for row in instances).items())),
        modalities={name: dict(sorted(counts.items())) for name, counts in sorted(volumes.items())},
        codes=dict(sorted(Counter(row["code"] for row in quarantine).items())),
        subjects=len(instances) + len(tables["volumes"][1]),
        bad_subjects=len({row["subject"] for row in quarantine if row["severity"] == "error"}),
    )
