"""``medpipe run``: scan, plan, execute, check, publish.

:func:`run_archive` does it all; flows take the same steps one by one through
:func:`begin_run`, :meth:`ActiveRun.run_shard` and :meth:`ActiveRun.finish`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from medpipe.app.planning import PlanWriter, RangePlans, ShardInfo, Totals, may_pass
from medpipe.app.prepare import Prepared, RunRequest, plans_of, prepare, scan
from medpipe.app.progress import Progress
from medpipe.app.publish import Ending, library_versions, publish_run
from medpipe.app.run_report import RunReport
from medpipe.engine import Engine, EngineSpec, Event, Task
from medpipe.engine.renewed import RenewedEngine
from medpipe.errors import StoppedError
from medpipe.lake.runs import EventRecord, Run, new_run_name, now, run_before
from medpipe.lake.snapshot import has_snapshot, is_recorded
from medpipe.lake.tables import is_readable, published_state, set_published_state, show_tables
from medpipe.recipe.lock import LockedRecipe

PROGRESS_S = 1.0
"""Seconds between two records of progress."""


def run_archive(request: RunRequest, progress: Progress) -> RunReport:
    """Run a recipe over archives and publish its tables.

    Raises
    ------
    ConfigError, LakeError, SecurityError
        If something asked for cannot be used; nothing was changed.
    StoppedError
        If the run stopped (disk full, interrupt, archive gone); the same call resumes.
    IntegrityError
        If equal keys had different results, or the count of cases does not add up.
    """
    with begin_run(request, progress) as active:
        for shard in range(len(active.shards)):
            active.run_shard(shard)
        return active.finish()


@contextmanager
def begin_run(request: RunRequest, progress: Progress) -> Iterator[ActiveRun]:
    """Scan, plan, write the plan and start the engine; yield the run in progress."""
    started = time.monotonic()
    lock, prepared = prepare(request, progress)
    prepared.lake.store.refuse_unless_link(prepared.lake.layout.tables())
    with ExitStack() as stack:
        epoch = stack.enter_context(prepared.lake.driver())
        scanned = scan(request, prepared, progress)
        active = ActiveRun(
            request=request,
            lock=lock,
            prepared=prepared,
            plans=plans_of(request, lock, prepared, scanned, progress),
            proposed_deletions=scanned.proposed_deletions,
            run=Run(prepared.lake, new_run_name(prepared.lake)),
            progress=progress,
            started=started,
            epoch=epoch,
            opened=stack,
        )
        active.make_plan()
        if active.shards:
            active.engine = stack.enter_context(RenewedEngine(_engine_spec(request, prepared, active.run)))
            active.stage("cases", active.totals.pending)
        try:
            yield active
        except StoppedError:
            if active.events is not None:
                active.events.add("stopped", {})
            raise


@dataclass(slots=True, kw_only=True)
class ActiveRun:
    """A run between its plan and its snapshot.

    Attributes
    ----------
    plans : RangePlans
        What is planned, range by range.
    totals : Totals
        The plan in numbers.
    shards : list of ShardInfo
        The pending cases, in shards; none where everything is committed already.
    is_current : bool
        Whether exactly this was run and published before.
    """

    request: RunRequest
    lock: LockedRecipe
    prepared: Prepared
    plans: RangePlans
    proposed_deletions: int
    run: Run
    progress: Progress
    started: float
    epoch: int
    opened: ExitStack
    events: EventRecord | None = None
    engine: Engine | None = None
    totals: Totals = field(default_factory=Totals)
    shards: list[ShardInfo] = field(default_factory=list)
    is_current: bool = False
    _ended: dict[int, set[int]] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _codes: Counter[str] = field(default_factory=Counter)
    _teller: threading.Timer | None = None

    @property
    def name(self) -> str:
        """Id of the run."""
        return self.run.name

    def stage(self, name: str, total: int | None) -> None:
        """Tell who watches, and who asks for the status, what is being done."""
        if self.events is not None:
            self.events.add("stage", {"stage": name})
        self.progress.stage(name, total)

    def make_plan(self) -> None:
        """Plan all ranges; write lock, facts and shards, from which sandboxes read their cases."""
        if self._was_published(self.plans.state_at_start):
            self.is_current = True
            return
        self.progress.stage("plan", 1 << self.plans.bits)
        writer = PlanWriter(self.plans, self._write_shard, self.progress.advance)
        self.shards = writer.run()
        self.totals = writer.totals
        if not self.shards and writer.is_as_published() and self._has_same_index() and self._has_same_cohort():
            # another recipe or a removed volume changed the lake, and nothing of this recipe's
            set_published_state(self.prepared.lake, self.lock.name, self.plans.state_at_start)
            self.is_current = True
            return
        events = self._begun()
        self.run.write_info(self._info())
        counts = {"planned": self.totals.planned, "pending": self.totals.pending, "shards": len(self.shards)}
        leaving = {"leaving": dict(self.totals.leaving)} if self.totals.leaving else {}
        events.add("planned", {"recipe": self.lock.name, **counts, "why": dict(self.totals.why), **leaving})

    def run_shard(self, shard: int) -> dict[str, int]:
        """Run the cases of one shard that have not ended; return how many ended how.

        Several shards may run at once, and a shard may be run again after a failure.

        Parameters
        ----------
        shard : int
            Place in :attr:`shards`.
        """
        assert self.engine is not None, "a run with shards has an engine"
        number = self.shards[shard].number
        done = self._ended.setdefault(number, set())
        rows = self.run.shard_rows(number)
        tasks = (self._task(number, place, row) for place, row in enumerate(rows) if place not in done)
        ended: Counter[str] = Counter()

        def on_event(event: Event) -> None:
            if event.kind != "finished":
                return
            done.add(event.row)
            ended[event.status] += 1
            self._count(event)

        try:
            self.engine.run(tasks, on_event)
        finally:
            self._tell()
        return dict(ended)

    def finish(self) -> RunReport:
        """Check that every case has ended, write the snapshot and publish the tables."""
        plans = self.plans
        # what was to be tried again has been; from here on its results count
        plans.planner.terms = replace(plans.planner.terms, retry=frozenset())
        if self.is_current:
            show_tables(self.prepared.lake, self.lock.name)
        else:
            self.stage("publish", 1 << plans.bits)
            plans.results.absorb()
        published = publish_run(
            self.prepared.lake,
            self.lock,
            Ending(bits=plans.bits, state=plans.state, load=plans.load, on_range=self.progress.advance),
            run=None if self.is_current else self.run,
            events=self.events,
            state="" if self.is_current else plans.run_state(),
        )
        return RunReport(
            run="" if self.is_current else self.run.name,
            recipe=self.lock.name,
            lake=self.prepared.lake.root,
            executed=self.totals.pending,
            proposed_deletions=self.proposed_deletions,
            is_partial=self.request.wish.is_partial,
            leaving=dict(self.totals.leaving),
            limited=None if self.plans.limited is None else self.plans.limited.facts(),
            seconds=time.monotonic() - self.started,
            published=published,
        )

    # what is written on the way ---------------------------------------------------------------

    def _was_published(self, state: str) -> bool:
        if self.request.retry or published_state(self.prepared.lake, self.lock.name) != state:
            return False
        last = self.plans.last
        return self._is_readable() and last is not None and not any(may_pass(one) for one in last.summaries())

    def _has_same_index(self) -> bool:
        state = published_state(self.prepared.lake, self.lock.name)
        return state is not None and f"-{self.plans.index_state()}-" in state and self._is_readable()

    def _has_same_cohort(self) -> bool:
        before = run_before(self.prepared.lake, self.lock.name)
        limited = self.plans.limited
        now = None if limited is None else limited.cohort.digest
        return before is not None and before.info().get("cohort") == now

    def _is_readable(self) -> bool:
        last = self.plans.last
        lake = self.prepared.lake
        if last is None or not is_readable(lake, self.lock.name) or not has_snapshot(lake, last.snapshot):
            return False
        return all(is_recorded(lake, one.cases) for one in last.summaries())

    def _begun(self) -> EventRecord:
        """Return the event record; the run's folder is made when there is something to write."""
        if self.events is None:
            self.run.write_lock(self.lock.to_toml())
            self.run.write_request(self.request.kept())
            if self.plans.limited is not None:
                self.run.write_cohort(self.plans.limited.cohort.to_json())
            self.events = self.opened.enter_context(self.run.events(self.epoch))
            self.events.add("stage", {"stage": "plan"})
        return self.events

    def _write_shard(self, number: int, rows: list[dict[str, Any]], payloads: list[str]) -> None:
        self._begun()
        self.run.write_shard(number, rows, payloads)

    def _count(self, event: Event) -> None:
        self._counts[event.status] += 1
        if event.code:
            self._codes[event.code] += 1
        self.progress.advance()
        if self._teller is None:
            # told a little later, with what else has ended by then, also where no case ends after this one
            self._teller = threading.Timer(PROGRESS_S, self._tell)
            self._teller.daemon = True
            self._teller.start()

    def _tell(self) -> None:
        teller, self._teller = self._teller, None
        if teller is not None:
            teller.cancel()
        counts = {name: self._counts[name] for name in ("done", "rejected", "failed")}
        with suppress(ValueError):  # the record was closed while a teller waited: the run has ended
            self._begun().add("progress", {**counts, "codes": dict(self._codes)})

    def _info(self) -> dict[str, Any]:
        limited = self.plans.limited
        cohort = (
            {} if limited is None else {"cohort": limited.cohort.digest, "cohort_entries": limited.cohort.n_entries}
        )
        return {
            **cohort,
            "recipe": self.lock.name,
            "recipe_digest": self.lock.digest,
            "started": now(),
            "engine": self.request.site.engine,
            "executed": self.totals.pending,
            "versions": library_versions(),
            "privacy": self.prepared.lake.privacy,
        }

    def _task(self, shard: int, place: int, row: dict[str, Any]) -> Task:
        return Task(
            run=self.run.name,
            shard=shard,
            row=place,
            case_key=row["case_key"],
            volume_key=row["volume_key"],
            route=row["route"],
            source_version=row["source_version"],
            numeric_class=row["numeric_class"],
            projected_bytes=row["projected_bytes"],
            conditions=row["conditions"],
            tries=row["tries"],
            deadline_s=self.request.site.limits.case_s,
            fallback_class=self.prepared.fallback_class,
        )


def _engine_spec(request: RunRequest, prepared: Prepared, run: Run) -> EngineSpec:
    site = request.site
    cluster = site.cluster
    limits = site.limits
    lake = str(prepared.lake.root)
    return EngineSpec(
        kind=site.engine,
        workers=site.workers,
        session="medpipe.work.session:open_session",
        init={
            "lake": lake,
            "key_file": str(prepared.secret.path),
            "run": run.name,
            "device": prepared.device,
            "device_bytes": site.gpu.memory_bytes,
        },
        sink="medpipe.work.sink:open_sink",
        sink_init={"lake": lake, "run": run.name},
        memory_bytes=_bytes(limits.memory_mb),
        forks=prepared.device != "cuda",
        sandbox_bytes=_bytes(limits.sandbox_mb),
        address=None if cluster is None else cluster.address,
        tls_ca=None if cluster is None else _text(cluster.tls_ca),
        tls_cert=None if cluster is None else _text(cluster.tls_cert),
        tls_key=None if cluster is None else _text(cluster.tls_key),
    )


def _bytes(mib: int | None) -> int | None:
    return None if mib is None else mib << 20


def _text(path: object) -> str | None:
    return None if path is None else str(path)
