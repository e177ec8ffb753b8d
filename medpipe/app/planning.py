"""The plan of a run: its ranges one after the other, and the shards its pending cases go into."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from medpipe.app.away import Away
from medpipe.app.cohort import Limited
from medpipe.app.index import LakeIndex
from medpipe.app.publish import RangeEnding
from medpipe.app.tables import basis_of
from medpipe.errors import IntegrityError, LakeError
from medpipe.keys import digest
from medpipe.lake.lake import Lake
from medpipe.lake.opened import OpenTables
from medpipe.lake.publication import PublishedRanges
from medpipe.lake.query import open_tables
from medpipe.lake.results import Results, stored_listing
from medpipe.lake.snapshot import range_cases
from medpipe.lake.summaries import RangeSummary
from medpipe.lake.tables import published_state
from medpipe.plan.cases import PASSING, Case, Plan, Planner
from medpipe.plan.choice import Losers, Lost
from medpipe.plan.device import DeviceNeed
from medpipe.plan.products import Wanted
from medpipe.plan.shards import Full, Packer, shard_size
from medpipe.ranges import Range, all_ranges, bits_for
from medpipe.recipe.lock import LockedRecipe


@dataclass(slots=True, kw_only=True)
class Totals:
    """A plan, counted over its ranges.

    Attributes
    ----------
    planned, pending : int
        Cases the snapshot must account for; those of them to run.
    by_route, products, why : Counter
        Cases by route; products to compute by kind (upper bounds where content is unknown);
        pending cases by the reason they have to run.
    skipped : Counter
        Volumes left out, by code.
    refused : Counter
        Stacks that are no volume, by code, of the ranges looked at.
    decided : Counter
        Volumes another was chosen for, by what decided, of the ranges looked at.
    leaving : Counter
        Volumes with rows in the published tables that the plan leaves out, by code.
    largest_bytes : int
    device : Counter
        Pending cases by what they are projected to need of a device, where they run on one.
    """

    planned: int = 0
    pending: int = 0
    by_route: Counter[str] = field(default_factory=Counter)
    products: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    decided: Counter[str] = field(default_factory=Counter)
    leaving: Counter[str] = field(default_factory=Counter)
    largest_bytes: int = 0
    device: Counter[DeviceNeed] = field(default_factory=Counter)
    unchanged_ranges: int = 0

    def add(self, plan: Plan) -> None:
        """Count the plan of a range."""
        self.planned += len(plan.cases)
        self.by_route.update(plan.by_route())
        self.skipped.update(plan.skipped.values())
        self.decided.update(one.by for one in plan.lost.values())
        for case in plan.pending:
            if case.work is None:
                continue
            self.pending += 1
            self.why[case.work.why] += 1
            self.products.update(one.kind for one in case.work.missing)
            self.named.update(_named(case.route, one) for one in case.work.missing if one.extraction is not None)
            self.largest_bytes = max(self.largest_bytes, case.work.projected_bytes)
            if case.work.device.whole:
                self.device[case.work.device] += 1


def _named(route: str, one: Wanted) -> str:
    """Return route and extraction, and the perturbation where it is measured perturbed."""
    assert one.extraction is not None
    perturbed = "" if one.perturbation is None else f", {one.perturbation.name}"
    return f"{route} {one.extraction.name}{perturbed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """A shard of the plan: its number in the lake, its cases."""

    number: int
    cases: int


@dataclass(kw_only=True)
class RangePlans:
    """What a run plans and publishes, range by range.

    Attributes
    ----------
    lock : LockedRecipe
    index : LakeIndex
    results : Results
    planner : Planner
    chosen : frozenset of str or None
        Volumes a partial run takes.
    losers : callable
        Returns what choices over whole patients leave out; asked for when first needed.
    limited : Limited or None
        The cohort the run is limited to.
    last : PublishedRanges or None
        What the recipe published last.
    away : Away
        Files that cases cannot read.
    privacy : str
    """

    lock: LockedRecipe
    index: LakeIndex
    results: Results
    planner: Planner
    chosen: frozenset[str] | None
    losers: Callable[[], Losers]
    limited: Limited | None
    last: PublishedRanges | None
    away: Away
    privacy: str

    @property
    def bits(self) -> int:
        """How finely the keys are cut: by the number of volumes alone, so that tables do not depend on history."""
        return bits_for(self.index.n_volumes)

    def ranges(self) -> Iterator[Range]:
        """Yield the ranges in the order of keys."""
        return all_ranges(self.bits)

    def state(self, one: Range) -> str:
        """Return a digest of all that the tables of a range depend on."""
        facts = [self.index.digest_of(one), self.results.digest_of(one), self._terms]
        lost = self._lost(one)
        return digest([*facts, sorted(lost.items())] if lost else facts)[:32]

    @cached_property
    def state_at_start(self) -> str:
        """Digests of all that the tables depend on, of the index, and of the volumes stored when the plan began."""
        return self._run_state(self._stored_at_start)

    def run_state(self) -> str:
        """Return the same for now: results were taken in and volumes stored since."""
        return self._run_state(_stored_state(self.results.lake))

    def _run_state(self, stored: str) -> str:
        return f"{digest([self.results.covered, self._terms])[:32]}-{self.index_state()}-{stored}"

    def index_state(self) -> str:
        """Return a digest of the index of all sources."""
        return self.index.state[:32]

    def unchanged(self, one: Range) -> RangeSummary | None:
        """Return what the last publication holds of a range, if a plan of it would find nothing to do."""
        if self.last is None or self.planner.terms.retry or not self._is_store_as_published:
            return None
        summary = self.last.summary(one, self.state(one))
        return None if summary is None or may_pass(summary) else summary

    def load(self, one: Range) -> RangeEnding:
        """Plan a range with what is committed now."""
        index, committed = self.index.load(one), self.results.load(one)
        plan = self.planner.plan(
            index.candidates(), index.versions, committed, chosen=self.chosen, lost=self._lost(one)
        )
        return RangeEnding(index=index, plan=plan, committed=committed)

    def leaving(self, one: Range, plan: Plan) -> Counter[str]:
        """Count the volumes of a range whose rows leave the published tables, by the code they are left out for."""
        if self._tables_before is None or not plan.skipped:
            return Counter()
        try:
            before = self._tables_before.within("cases", one, columns=["volume_key"])
        except IntegrityError:
            return Counter()  # what cannot be read any more is derived anew
        return Counter(plan.skipped[key] for key in {row["volume_key"] for row in before} if key in plan.skipped)

    @cached_property
    def _tables_before(self) -> OpenTables | None:
        if self.last is None:
            return None
        try:
            return open_tables(self.results.lake, self.lock.name)
        except (IntegrityError, LakeError):
            return None

    def _lost(self, one: Range) -> dict[str, Lost]:
        return self.losers().within(one)

    @cached_property
    def basis(self) -> str:
        """Digest of what the rows of all ranges depend on beside index and results."""
        return basis_of(self.lock, self.privacy)

    @cached_property
    def _is_store_as_published(self) -> bool:
        """Whether the volumes stored when the plan began are those of the last publication."""
        state = published_state(self.results.lake, self.lock.name)
        return state is not None and state.endswith(f"-{self._stored_at_start}")

    @cached_property
    def _stored_at_start(self) -> str:
        return _stored_state(self.results.lake)

    @cached_property
    def _terms(self) -> list[Any]:
        terms = self.planner.terms
        chosen = None if self.chosen is None else digest(sorted(self.chosen))
        cohort = None if self.limited is None else self.limited.cohort.digest
        permitted = [terms.fallback] if terms.fallback else []
        return [self.basis, terms.numeric_class, terms.conditions, chosen, cohort, *permitted]


def may_pass(summary: RangeSummary) -> bool:
    """Tell whether a range has cases that ended with a code that may pass, and are perhaps tried again."""
    return not PASSING.isdisjoint(summary.codes)


def _stored_state(lake: Lake) -> str:
    """Return a digest of the names of all stored volumes, a million of which take seconds to list."""
    return digest(list(stored_listing(lake)))[:32]


class PlanWriter:
    """Plans all ranges and writes the pending cases into shards.

    Parameters
    ----------
    plans : RangePlans
    write : callable or None
        Called with (number of the shard, public rows, payloads as JSON texts); None only counts.
    on_range : callable
        Called after each range.
    """

    def __init__(
        self,
        plans: RangePlans,
        write: Callable[[int, list[dict[str, Any]], list[str]], None] | None,
        on_range: Callable[[], None],
    ) -> None:
        self.totals = Totals()
        self._plans = plans
        self._write = write
        self._on_range = on_range
        self._packer: Packer[tuple[dict[str, Any], str]] = Packer(size=shard_size(plans.index.n_volumes))
        self._shards: list[tuple[int, ShardInfo]] = []
        self._snapshots: list[str] | None = []

    def run(self) -> list[ShardInfo]:
        """Plan; return the shards in the order they are to run: the largest cases first.

        Raises
        ------
        StoppedError
            If cases that are to run would read files that are gone, or an archive that is away.
        """
        plans, totals = self._plans, self.totals
        for one in plans.ranges():
            summary = plans.unchanged(one)
            if summary is not None:
                totals.planned += summary.planned
                totals.skipped.update(summary.left_out)
                totals.by_route.update(summary.by_route)
                totals.unchanged_ranges += 1
                if self._snapshots is not None:
                    self._snapshots.append(summary.snapshot)
            else:
                self._plan(one, plans.load(one))
            self._on_range()
        if self._write is not None:
            plans.away.refuse()
        for full in self._packer.rest():
            self._flush(full)
        # the largest memory first, so that no large case is left alone at the end
        return [info for _, info in sorted(self._shards, key=lambda entry: (-entry[0], entry[1].number))]

    def is_as_published(self) -> bool:
        """Tell whether nothing is pending, and what was planned ended as the last publication has it."""
        last = self._plans.last
        if last is None or self._snapshots is None or last.bits != self._plans.bits:
            return False
        if last.basis != self._plans.basis:
            return False  # equal cases under other names, routes or columns
        return self._snapshots == list(last.snapshots())

    def _plan(self, one: Range, ending: RangeEnding) -> None:
        self.totals.add(ending.plan)
        self.totals.leaving.update(self._plans.leaving(one, ending.plan))
        if ending.plan.pending:
            self._snapshots = None
        elif self._snapshots is not None:
            cases = range_cases(ending.plan.planned, ending.committed, ending.plan.skipped)
            self._snapshots.append(cases.digest)
        self.totals.refused.update(row["code"] for row in ending.index.volumes if row["verdict"] == "refused")
        for case in ending.plan.pending:
            self._plans.away.look(case, ending.index.locator_of(case))
        if self._write is None:
            return
        for case in ending.plan.pending:
            assert case.work is not None
            text = json.dumps(ending.index.payload(case, ending.committed))
            full = self._packer.add((plan_row(case), text), projected_bytes=case.work.projected_bytes, weight=len(text))
            if full is not None:
                self._flush(full)

    def _flush(self, full: Full[tuple[dict[str, Any], str]]) -> None:
        if self._write is None:
            return
        info = ShardInfo(number=len(self._shards), cases=len(full.items))
        self._write(info.number, [row for row, _ in full.items], [text for _, text in full.items])
        self._shards.append((full.memory_class, info))


def plan_row(case: Case) -> dict[str, Any]:
    """Return the public row of a pending case."""
    assert case.work is not None, "only pending cases are in the plan's shards"
    return {
        "case_key": case.key,
        "volume_key": case.volume_key,
        "series_key": case.series_key,
        "route": case.route,
        "source_version": case.source_version,
        "numeric_class": case.numeric_class,
        "projected_bytes": case.work.projected_bytes,
        "content_known": case.work.content is not None,
        "to_compute": sorted({wanted.kind for wanted in case.work.missing}),
        "why": case.work.why,
        "conditions": case.work.conditions,
        "tries": case.work.tries,
    }
