"""``medpipe run``: scan, plan, execute, check, publish.

:func:`run_archive` does it all; flows take the same steps one by one through
:func:`begin_run`, :meth:`ActiveRun.run_shard` and :meth:`ActiveRun.finish`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.app.archives import check_archives
from medpipe.app.index import Index, load_index
from medpipe.app.lakes import open_or_create
from medpipe.app.models import check_models, resolver
from medpipe.app.progress import Progress
from medpipe.app.publish import Ending, Published, RunReport, is_published, library_versions, publish_run, snapshot_of
from medpipe.app.scan import scan_into
from medpipe.app.select import chosen_volumes
from medpipe.app.site import Site
from medpipe.engine import Engine, EngineSpec, Event, Task
from medpipe.engine.numeric import numeric_class, sandbox_class
from medpipe.engine.renewed import RenewedEngine
from medpipe.errors import ConfigError, StoppedError
from medpipe.lake.committed import Committed
from medpipe.lake.lake import Lake
from medpipe.lake.runs import EventRecord, Run, new_run_name, now
from medpipe.plan.cases import Case, Plan, has_ended, make_plan, shards_of
from medpipe.privacy.secret import Secret
from medpipe.reasons import REASONS
from medpipe.recipe.lock import LockedRecipe, lock_recipe
from medpipe.recipe.recipe import load_recipe
from medpipe.xp import cuda_class, resolve_device

SHARD_CASES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to run over what, into which lake.

    Attributes
    ----------
    recipe : str
        Recipe file or the name of a shipped one.
    archives : tuple of Path
    lake : Path
    site : Site
    only : str or None
        SQL condition on the index table ``volumes`` (joined with ``series``).
    limit : int or None
        At most so many volumes.
    retry : tuple of str
        Reason codes whose cases run again although they ended so before: after a limit was
        raised, or a codec installed.
    """

    recipe: str
    archives: tuple[Path, ...]
    lake: Path
    site: Site = field(default_factory=Site)
    only: str | None = None
    limit: int | None = None
    retry: tuple[str, ...] = ()


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


def plan_run(request: RunRequest, progress: Progress) -> dict[str, Any]:
    """Scan and plan; return what would run, without running it."""
    lock, prepared = _prepare(request, progress)
    with prepared.lake.driver():
        index = _scan(request, prepared, progress)
        plan = _plan(request, lock, prepared, index, Committed.load(prepared.lake))
    largest = max((case.projected_bytes for case in plan.pending), default=0)
    return {
        "recipe": lock.name,
        "recipe digest": lock.digest[:16],
        "numeric class": prepared.numeric_class,
        "cases": {"all": len(plan.cases), "to run": len(plan.pending), "current": len(plan.cases) - len(plan.pending)},
        "by route": plan.by_route(),
        "products to compute (at most)": plan.counts(),
        "largest case, MB": largest >> 20,
        "left out": dict(sorted(Counter(plan.skipped.values()).items())),
        "refused": dict(sorted(Counter(row["code"] for row in index.volumes if row["verdict"] == "refused").items())),
    }


@contextmanager
def begin_run(request: RunRequest, progress: Progress) -> Iterator[ActiveRun]:
    """Scan, plan, write the plan and start the engine; yield the run in progress."""
    started = time.monotonic()
    lock, prepared = _prepare(request, progress)
    with ExitStack() as stack:
        epoch = stack.enter_context(prepared.lake.driver())
        index = _scan(request, prepared, progress)
        committed = Committed.load(prepared.lake)
        active = ActiveRun(
            request=request,
            lock=lock,
            prepared=prepared,
            index=index,
            committed=committed,
            plan=_plan(request, lock, prepared, index, committed),
            run=Run(prepared.lake, new_run_name(prepared.lake)),
            progress=progress,
            started=started,
        )
        if active.is_current():
            yield active
            return
        active.events = stack.enter_context(active.run.events(epoch))
        active.write_plan()
        if active.shards:
            active.engine = stack.enter_context(RenewedEngine(_engine_spec(request, prepared, active.run)))
            progress.stage("cases", len(active.plan.pending))
        try:
            yield active
        except StoppedError:
            active.events.add("stopped", {})
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    lake: Lake
    secret: Secret
    device: str
    numeric_class: str


@dataclass(slots=True, kw_only=True)
class ActiveRun:
    """A run between its plan and its snapshot.

    Attributes
    ----------
    plan : Plan
    shards : list of tuple of Case
        The pending cases, in shards; none where everything is committed already.
    """

    request: RunRequest
    lock: LockedRecipe
    prepared: _Prepared
    index: Index
    committed: Committed
    plan: Plan
    run: Run
    progress: Progress
    started: float
    events: EventRecord | None = None
    engine: Engine | None = None
    shards: list[tuple[Case, ...]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Id of the run."""
        return self.run.name

    def is_current(self) -> bool:
        """Tell whether exactly this was run and published before."""
        if self.plan.pending:
            return False
        snapshot = snapshot_of(self.lock, self.plan, self.committed)
        return is_published(self.prepared.lake, self.lock, self.index, snapshot)

    def write_plan(self) -> None:
        """Write lock, facts and plan of the run; a sandbox reads its cases from there."""
        assert self.events is not None, "a run that is not current has an event record"
        self.run.write_lock(self.lock.to_toml())
        self.run.write_info(self._info())
        self.shards = shards_of(self.plan.pending, size=SHARD_CASES)
        for number, cases in enumerate(self.shards):
            rows = [_plan_row(case) for case in cases]
            self.run.write_shard(number, rows, [self.index.payload(case, self.committed) for case in cases])
        counts = {"planned": len(self.plan.cases), "pending": len(self.plan.pending), "shards": len(self.shards)}
        self.events.add("planned", {"recipe": self.lock.name, **counts})

    def run_shard(self, shard: int) -> dict[str, int]:
        """Run the cases of one shard that are not committed; return how many ended how.

        Several shards may run at once, and a shard may be run again after a failure.
        """
        assert self.engine is not None, "a run with shards has an engine"
        self.committed.refresh()
        tasks = [task for task in self._tasks(shard) if not self._has_ended(task.case_key)]
        ended: Counter[str] = Counter()

        def on_event(event: Event) -> None:
            if event.kind != "finished":
                return
            ended[event.status] += 1
            self.progress.advance()
            facts = {"case_key": event.case_key, "status": event.status, "code": event.code, "wall_s": event.wall_s}
            if self.events is not None:
                self.events.add("case", {**facts, "shard": shard})

        self.engine.run(tasks, on_event)
        return dict(ended)

    def finish(self) -> RunReport:
        """Check that every case has ended, write the snapshot and publish the tables."""
        self.committed.refresh()
        published = publish_run(
            self.prepared.lake,
            self.lock,
            Ending(index=self.index, plan=self.plan, committed=self.committed),
            run=self.run if self.events is not None else None,
            events=self.events,
        )
        return self._report(published)

    def _has_ended(self, case_key: str) -> bool:
        record = self.committed.case(case_key)
        is_of_this_run = record is not None and record.run == self.name
        return is_of_this_run or has_ended(case_key, self.committed, retry=frozenset(self.request.retry))

    def _info(self) -> dict[str, Any]:
        return {
            "recipe": self.lock.name,
            "recipe_digest": self.lock.digest,
            "started": now(),
            "engine": self.request.site.engine,
            "executed": len(self.plan.pending),
            "versions": library_versions(),
            "privacy": self.prepared.lake.privacy,
        }

    def _report(self, published: Published) -> RunReport:
        return RunReport(
            run=self.run.name if self.events is not None else "",
            recipe=self.lock.name,
            lake=self.prepared.lake.root,
            planned=len(self.plan.cases),
            executed=len(self.plan.pending),
            skipped=len(self.plan.skipped),
            seconds=time.monotonic() - self.started,
            published=published,
        )

    def _tasks(self, shard: int) -> list[Task]:
        return [
            Task(
                run=self.run.name,
                shard=shard,
                row=row,
                case_key=case.key,
                volume_key=case.volume_key,
                route=case.route,
                source_version=case.source_version,
                numeric_class=case.numeric_class,
                projected_bytes=case.projected_bytes,
                deadline_s=self.request.site.limits.case_s,
            )
            for row, case in enumerate(self.shards[shard])
        ]


def _prepare(request: RunRequest, progress: Progress) -> tuple[LockedRecipe, _Prepared]:
    """Check everything that was asked for, before anything is written."""
    recipe = load_recipe(request.recipe)
    check_archives(request.archives, request.lake)
    for code in request.retry:
        if code not in REASONS:
            raise ConfigError(f"--retry: {code!r} is no reason code (they are in docs/reference/reasons.md)")
    if request.only is not None:
        chosen_volumes(Index(), only=request.only, limit=request.limit)
    device = resolve_device(request.site.device)
    check_models(recipe, request.lake)
    lake, secret = open_or_create(request.lake, request.site, progress)
    on_cpu = sandbox_class() if request.site.engine == "dask" else numeric_class()
    arithmetic = cuda_class() if device == "cuda" else on_cpu
    lock = lock_recipe(recipe, resolver(lake))
    return lock, _Prepared(lake=lake, secret=secret, device=device, numeric_class=arithmetic)


def _scan(request: RunRequest, prepared: _Prepared, progress: Progress) -> Index:
    scan_into(prepared.lake, prepared.secret, request.archives, request.site, progress)
    return load_index(prepared.lake)


def _plan(request: RunRequest, lock: LockedRecipe, prepared: _Prepared, index: Index, committed: Committed) -> Plan:
    chosen = None
    if request.only is not None or request.limit is not None:
        chosen = chosen_volumes(index, only=request.only, limit=request.limit)
    return make_plan(
        lock,
        index.candidates(),
        index.versions,
        committed,
        numeric_class=prepared.numeric_class,
        chosen=chosen,
        retry=frozenset(request.retry),
    )


def _plan_row(case: Case) -> dict[str, Any]:
    return {
        "case_key": case.key,
        "volume_key": case.volume_key,
        "series_key": case.series_key,
        "route": case.route,
        "source_version": case.source_version,
        "numeric_class": case.numeric_class,
        "projected_bytes": case.projected_bytes,
        "content_known": case.content is not None,
        "to_compute": sorted({wanted.kind for wanted in case.missing}),
    }


def _engine_spec(request: RunRequest, prepared: _Prepared, run: Run) -> EngineSpec:
    site = request.site
    cluster = site.cluster
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
        },
        sink="medpipe.work.sink:open_sink",
        sink_init={"lake": lake, "run": run.name},
        memory_bytes=None if site.limits.memory_mb is None else site.limits.memory_mb << 20,
        address=None if cluster is None else cluster.address,
        tls_ca=None if cluster is None else _text(cluster.tls_ca),
        tls_cert=None if cluster is None else _text(cluster.tls_cert),
        tls_key=None if cluster is None else _text(cluster.tls_key),
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
