"""The end of a run: conservation check, snapshot, tables, and what to tell about them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medpipe.app.ended import Shapes
from medpipe.app.index import Index
from medpipe.app.index_tables import IndexRows
from medpipe.app.quarantine import bad_codes, count_new
from medpipe.app.run_report import Published
from medpipe.app.tables import basis_of, cut_schemas, range_rows, single_tables
from medpipe.errors import IntegrityError
from medpipe.lake.committed import Committed
from medpipe.lake.lake import Lake
from medpipe.lake.opened import OpenTables
from medpipe.lake.publication import NewPublication, last_publication, new_publication, read_ranges
from medpipe.lake.query import open_tables, tables_path
from medpipe.lake.runs import EventRecord, Run, run_names
from medpipe.lake.snapshot import (
    RangeCases,
    Snapshot,
    SnapshotRange,
    is_recorded,
    put_range,
    range_cases,
    write_snapshot,
)
from medpipe.lake.summaries import CaseCounts, RangeSummary, added
from medpipe.lake.tables import set_published_state
from medpipe.plan.cases import Plan
from medpipe.ranges import Range, all_ranges
from medpipe.recipe.lock import LockedRecipe

_LIBRARIES = ("medpipe", "numpy", "scipy", "scikit-image", "scikit-learn", "numba", "pydicom", "zarr", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeEnding:
    """What the rows of a range are made of."""

    index: Index
    plan: Plan
    committed: Committed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What tables are derived from, range by range.

    Attributes
    ----------
    bits : int
        How finely the keys are cut.
    state : callable
        Returns a digest of all that the rows of a range depend on: its index, its results, the
        locked recipe, and what was chosen.
    load : callable
        Returns a range's index, plan and results.
    on_range : callable
        Called after each range.
    """

    bits: int
    state: Callable[[Range], str]
    load: Callable[[Range], RangeEnding]
    on_range: Callable[[], None] = lambda: None


def publish_run(
    lake: Lake, lock: LockedRecipe, ending: Ending, *, run: Run | None, events: EventRecord | None, state: str
) -> Published:
    """End a run: write its snapshot, derive the tables from it and publish them.

    Ranges whose state is that of the recipe's last publication are taken over from there. Without
    a run (everything was published before) nothing is written, only counted.

    Parameters
    ----------
    lake : Lake
    lock : LockedRecipe
    ending : Ending
    run : Run or None
    events : EventRecord or None
    state : str
        Digest of all the tables are derived from; remembered once they are published.

    Raises
    ------
    IntegrityError
        If ``planned = committed + quarantined + skipped`` does not hold for a range.
    StoppedError
        If the disk is full; readers go on seeing the tables from before.
    """
    if run is None or events is None:
        return _as_published(lake, lock)
    published = _publish(lake, lock, ending, run=run, events=events, reuse=True)
    if published is None:
        # what was published before is damaged: every range is derived again
        published = _publish(lake, lock, ending, run=run, events=events, reuse=False)
    if published is None:
        raise IntegrityError("tables that stand on nothing published before were refused; report it")
    set_published_state(lake, lock.name, state)
    return published


def library_versions() -> str:
    """Return the versions of the libraries that make numbers, as JSON."""
    return json.dumps({name: version(name) for name in _LIBRARIES}, sort_keys=True)


def _publish(
    lake: Lake, lock: LockedRecipe, ending: Ending, *, run: Run, events: EventRecord, reuse: bool
) -> Published | None:
    before = _tables_before(lake, lock.name)
    with new_publication(
        lake,
        lock.name,
        schemas=cut_schemas(lock),
        bits=ending.bits,
        basis=basis_of(lock, lake.privacy),
        last=last_publication(lake, lock.name) if reuse else None,
    ) as new:
        maker = _RangeMaker(lake, Shapes(lock), new, before)
        summaries = []
        for one in all_ranges(ending.bits):
            summaries.append(maker.make(one, ending))
            ending.on_range()
        snapshot = _snapshot(lock, ending.bits, summaries)
        write_snapshot(lake, snapshot, run=run.name)
        events.add("snapshot", {"snapshot": snapshot.id})
        publication = new.publish(snapshot.id, single_tables(lock, list(_run_rows(lake, lock.name))))
    if publication is None:
        return None
    path = lake.store.absolute(publication.path)
    return _counted(snapshot, path, summaries, new_subjects=maker.new_subjects, written=publication.written)


class _RangeMaker:
    """Takes ranges over or makes them, and counts on the way."""

    def __init__(self, lake: Lake, shapes: Shapes, new: NewPublication, before: OpenTables | None) -> None:
        self.new_subjects = 0
        self._lake, self._shapes, self._new, self._before = lake, shapes, new, before

    def make(self, one: Range, ending: Ending) -> RangeSummary:
        """Have the rows of a range in the publication; return them in numbers."""
        state = ending.state(one)
        kept = self._new.keep(one.number, state)
        if kept is not None and is_recorded(self._lake, kept.summary.cases):
            return kept.summary
        given = ending.load(one)
        cases = range_cases(given.plan.planned, given.committed, given.plan.skipped)
        put_range(self._lake, cases)
        index = given.index
        rows = IndexRows(instances=index.instances, members=index.members, series=index.series, volumes=index.volumes)
        tables = range_rows(self._shapes, rows, given.plan, given.committed)
        bad = bad_codes(tables["quarantine"])
        if bad:
            self.new_subjects += count_new(bad, self._quarantined_before(one))
        summary = _summary(cases, given.plan, tables, bad_subjects=len(bad))
        self._new.add(one.number, state, summary, tables)
        return summary

    def _quarantined_before(self, one: Range) -> dict[str, set[str]]:
        if self._before is None:
            return {}
        try:
            return bad_codes(self._before.within("quarantine", one, columns=["subject", "code", "severity"]))
        except IntegrityError:
            return {}  # what cannot be read any more is not known any more


def _tables_before(lake: Lake, recipe: str) -> OpenTables | None:
    return open_tables(lake, recipe) if last_publication(lake, recipe) is not None else None


def _as_published(lake: Lake, lock: LockedRecipe) -> Published:
    ranges = read_ranges(lake, lock.name)
    if ranges is None:
        raise IntegrityError(f"the published tables of {lock.name} are missing or damaged; run again to make them")
    summaries = list(ranges.summaries())
    snapshot = _snapshot(lock, ranges.bits, summaries)
    return _counted(snapshot, tables_path(lake, lock.name), summaries, new_subjects=0, written=())


def _snapshot(lock: LockedRecipe, bits: int, summaries: Sequence[RangeSummary]) -> Snapshot:
    ranges = tuple(SnapshotRange(number, *summary.cases) for number, summary in enumerate(summaries))
    return Snapshot(recipe_name=lock.name, recipe_digest=lock.digest, bits=bits, ranges=ranges)


def _run_rows(lake: Lake, recipe: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of the recipe's runs that ended with a snapshot."""
    for name in run_names(lake):
        run = Run(lake, name)
        summary, info = run.summary(), run.info()
        if summary is None or info.get("recipe") != recipe:
            continue
        ended = next((event["at"] for event in run.read_events() if event["event"] == "snapshot"), None)
        yield {"run": name, **info, **summary, "ended": ended}


def _summary(
    cases: RangeCases, plan: Plan, tables: Mapping[str, Sequence[Mapping[str, Any]]], *, bad_subjects: int
) -> RangeSummary:
    volumes: dict[str, Counter[str]] = {}
    for row in tables["volumes"]:
        volumes.setdefault(row["modality"] or "?", Counter())[row["verdict"]] += 1
    return RangeSummary(
        cases=CaseCounts(cases.digest, **cases.counts),
        by_route=plan.by_route(),
        left_out=Counter(plan.skipped.values()),
        outcomes=Counter(row["outcome"] for row in tables["instances"]),
        volumes=volumes,
        codes=Counter(row["code"] for row in tables["quarantine"]),
        subjects=len(tables["instances"]) + len(tables["volumes"]),
        bad_subjects=bad_subjects,
    )


def _counted(
    snapshot: Snapshot, path: Path, summaries: Sequence[RangeSummary], *, new_subjects: int, written: tuple[str, ...]
) -> Published:
    total = added(summaries)
    return Published(
        snapshot=snapshot,
        tables=path,
        outcomes=total.outcomes,
        modalities=total.volumes,
        codes=total.codes,
        left_out=total.left_out,
        subjects=total.subjects,
        bad_subjects=total.bad_subjects,
        new_subjects=new_subjects,
        written=written,
    )
