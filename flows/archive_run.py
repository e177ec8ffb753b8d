"""A run as a flow: one Prefect task per shard of cases, one table artifact per run.

Prefect schedules, shows and retries; results are kept by the lake alone. Parameters, run
names and artifacts hold paths the site chose, counts and codes: nothing out of a header.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Cancelled
from prefect.task_runners import ThreadPoolTaskRunner

from flows.bugs import told_by_place
from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Progress, Silent
from medpipe.app.run import ActiveRun, begin_run
from medpipe.app.run_report import RunReport
from medpipe.app.site import load_site
from medpipe.errors import ConfigError, IntegrityError, LakeError, SecurityError

SHARDS_AT_A_TIME = 4
MOST_TASKS = 400
"""Tasks of a flow run: a larger run gives each several shards."""

RETRY_S = 5

_ACTIVE: dict[str, ActiveRun] = {}
"""Runs of this process by their id: tasks carry the id, never the run."""

_STOPPING: set[str] = set()
"""Ids of the runs whose flow has ended or was interrupted: their shards are not tried again."""


def _run_name() -> str:
    recipe = Path(str(flow_run.parameters.get("recipe", "run"))).stem
    return f"{recipe}-{flow_run.scheduled_start_time:%Y%m%d-%H%M%S}"


def _may_pass(_task: object, _run: object, state: State[Any]) -> bool:
    return not isinstance(state.data, ConfigError | SecurityError | LakeError | IntegrityError)


@task(
    name="shard",
    task_run_name="shard-{shard}",
    retries=2,
    retry_delay_seconds=RETRY_S,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
)
def run_shard(run: str, shard: int, beyond: int) -> dict[str, int] | State[Any]:
    """Run the cases of the shards from one to another; what has ended already is not run again."""
    try:
        with told_by_place():
            ended: Counter[str] = Counter()
            for number in range(shard, beyond):
                ended.update(_ACTIVE[run].run_shard(number))
            return dict(ended)
    except Exception:
        if run in _STOPPING:
            return Cancelled(message="the run was stopped; the next one goes on from here")
        raise


@flow(
    name="archive-run",
    flow_run_name=_run_name,
    task_runner=ThreadPoolTaskRunner(max_workers=SHARDS_AT_A_TIME),  # type: ignore[arg-type]  # Prefect's own class
    persist_result=False,
)
def archive_run(
    recipe: str, archives: list[str], lake: str, site: str | None = None, cohort: str | None = None
) -> dict[str, Any]:
    """Scan, plan, run and publish.

    Parameters
    ----------
    recipe : str
        Recipe file, or the name of a shipped one.
    archives : list of str
        Folders of images, archive files or case lists. Prefect keeps the paths of parameters as they are, so none
        should name a patient.
    lake : str
        Folder where results live.
    site : str, optional
        Site file; also says which engine runs the cases.
    cohort : str, optional
        File of the patients, studies and series to take, as for ``--cohort``. A query is no
        parameter: Prefect shows its parameters, and a query may name a patient.
    """
    with told_by_place():
        request = RunRequest(
            recipe=recipe,
            archives=tuple(Path(archive) for archive in archives),
            lake=Path(lake),
            site=load_site(Path(site) if site else None),
            cohort=Path(cohort) if cohort else None,
        )
        return drive(request, Silent()).facts()


def drive(request: RunRequest, progress: Progress) -> RunReport:
    """Run a request's shards as Prefect tasks; called inside a flow."""
    with begin_run(request, progress) as active:
        _ACTIVE[active.name] = active
        try:
            _run_shards(active)
            report = active.finish()
        finally:
            del _ACTIVE[active.name]
    _show(report)
    return report


def _run_shards(active: ActiveRun) -> None:
    count = len(active.shards)
    step = max(1, -(-count // MOST_TASKS))
    futures = [run_shard.submit(active.name, shard, min(shard + step, count)) for shard in range(0, count, step)]
    try:
        for future in futures:
            future.result()
    except BaseException:
        # a shard that failed for good, Ctrl-C or a cancelled flow run: the others end soon, and
        # only then is the engine closed that they run on
        _STOPPING.add(active.name)
        if active.engine is not None:
            active.engine.stop()
        wait(futures)
        raise


def _show(report: RunReport) -> None:
    published = report.published
    counts = published.snapshot.counts
    rows: list[dict[str, Any]] = [
        {"what": "run", "value": report.run or "none was needed"},
        {"what": "snapshot", "value": published.snapshot.id},
        *({"what": f"files {outcome}", "value": count} for outcome, count in published.outcomes.items()),
        {"what": "cases planned", "value": report.planned},
        {"what": "cases executed", "value": report.executed},
        {"what": "cases committed", "value": counts["committed"]},
        {"what": "cases quarantined", "value": counts["quarantined"]},
        {"what": "volumes left out", "value": report.skipped},
        *({"what": f"reason {code}", "value": count} for code, count in published.codes.items()),
        {"what": "seconds", "value": round(report.seconds, 1)},
    ]
    create_table_artifact(key="medpipe-run", table=rows, description=f"Recipe {report.recipe}")
    get_run_logger().info("run %s: %d of %d cases committed", report.run, counts["committed"], report.planned)
