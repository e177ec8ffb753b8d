"""``medpipe status``: where the newest run is, from its plan, sealed segments, events and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from medpipe.app.cohort import cohort_line
from medpipe.errors import IntegrityError
from medpipe.lake.lake import Lake
from medpipe.lake.retention import publications, shown_publication, shown_run, snapshot_of
from medpipe.lake.runs import Run, latest_run, run_before, run_names
from medpipe.lake.segments import results_in
from medpipe.reasons import REASONS

RESUMES = "the same command resumes it"
BEGINNING = "a run has begun: it scans or plans (or gc is at work)"

_RATE_EVENTS = 60
"""Progress events the speed is measured over: about a minute of them."""

_STAGES = {
    "scan": "scanning the archives",
    "plan": "planning",
    "cases": "running cases",
    "publish": "checking and publishing",
}

Event = dict[str, Any]


def lake_status(root: Path) -> dict[str, Any]:
    """Return the newest run's progress: state, counts, ETA, failures by code and what to do.

    The state is ``finished``, ``running``, ``publishing``, or ``ended early`` where the run has no
    end and its driver is gone; then the same command resumes it. ``ended`` counts the cases
    whose results are durable: what a kill at this moment would not cost. ``now`` tells of a
    driver that has no plan yet, ``readers have`` of the tables that readers see, whatever became of
    the newest run.

    Raises
    ------
    LakeError
        If nothing ever ran, and nothing does.
    """
    lake = Lake.open(root)
    is_driven = lake.is_driven()
    if is_driven and not run_names(lake):
        return {"run": None, "now": BEGINNING}
    run = latest_run(lake)
    is_at_work = is_driven and run.epoch() == lake.epoch()
    facts = _facts(lake, run, is_at_work=is_at_work)
    facts["readers have"] = _readers_have(lake)
    return {**facts, "now": BEGINNING} if is_driven and not is_at_work else facts


def _facts(lake: Lake, run: Run, *, is_at_work: bool) -> dict[str, Any]:
    events = list(run.read_events())
    planned = _last(events, "planned")
    told = [event for event in events if event["event"] == "progress"]
    last = told[-1] if told else {}
    state = _state(lake, run, is_at_work=is_at_work)
    pending = planned.get("pending", 0)
    # a case that was lost with a worker and run again may be sealed twice
    ended = min(pending, _sealed(lake, run.name))
    facts: dict[str, Any] = {
        "run": run.name,
        "recipe": _info(run).get("recipe"),
        **_cohort(lake, run),
        "state": state,
        **_doing(events, is_at_work=is_at_work),
        "planned": planned.get("planned", 0),
        "current before": planned.get("planned", 0) - pending,
        "ended": f"{ended} of {pending}",
    }
    if state == "running" and planned:
        facts |= _pace([*(event for event in events if event.get("stage") == "cases"), *told], pending)
    codes = dict(sorted(last.get("codes", {}).items()))
    facts["outcomes"] = {name: last[name] for name in ("done", "failed", "rejected") if last.get(name)}
    facts["codes"] = codes
    if codes:
        facts["what to do"] = {code: REASONS[code].remedy for code in codes if code in REASONS}
    summary = run.summary()
    return facts if summary is None else {**facts, "end": summary}


def _cohort(lake: Lake, run: Run) -> dict[str, str]:
    """Return what the run is limited to, and the recipe's run before it where that is another."""
    info = _info(run)
    earlier = run_before(lake, str(info.get("recipe")), run.name)
    before = {} if earlier is None else _info(earlier)
    if info.get("cohort") == before.get("cohort"):
        return {} if info.get("cohort") is None else {"cohort": cohort_line(info)}
    changed = {} if earlier is None else {"cohort of the run before": cohort_line(before)}
    return {"cohort": cohort_line(info), **changed}


def _info(run: Run) -> Mapping[str, Any]:
    try:
        return run.info()
    except IntegrityError:
        return {}  # verify names the damage; where the run is can be told all the same


def _sealed(lake: Lake, run: str) -> int:
    """Return how many results a run has sealed, by the names of its segments alone."""
    names = lake.store.list(lake.layout.run_segments(run))
    return sum(results_in(name) for name in names if name.endswith(".jsonl.zst"))


def _last(events: Sequence[Event], kind: str) -> Event:
    return next((event for event in reversed(events) if event["event"] == kind), {})


def _doing(events: Sequence[Event], *, is_at_work: bool) -> dict[str, str]:
    stage = _last(events, "stage").get("stage")
    if not is_at_work or stage is None:
        return {}
    return {"doing": _STAGES.get(str(stage), str(stage))}


def _state(lake: Lake, run: Run, *, is_at_work: bool) -> str:
    summary = run.summary()
    if summary is None:
        return "running" if is_at_work else f"ended early: {RESUMES}"
    if _is_shown(lake, str(_info(run).get("recipe", "")), summary["snapshot"]):
        return "finished"
    return "publishing" if is_at_work else f"ended early, before its tables were published: {RESUMES}"


def _is_shown(lake: Lake, recipe: str, snapshot: str) -> bool:
    """Tell whether readers find the tables of a snapshot, also through the link where that is this recipe's."""
    shown = publications(lake)
    if snapshot_of(shown.get(recipe, "")) != snapshot:
        return False
    link = lake.store.absolute(lake.layout.tables()).resolve()
    return any(link == lake.store.absolute(folder).resolve() for folder in shown.values())


def _readers_have(lake: Lake) -> str:
    folder = shown_publication(lake)
    if folder is None or not lake.store.exists(lake.layout.manifest(folder)):
        return "no tables"
    recipe = folder.split("/")[1]
    try:
        run = shown_run(lake)
    except IntegrityError:
        run = None  # verify names the damage
    of_run = "tables" if run is None else f"run {run}"
    return f"{of_run} of recipe {recipe}, complete"


def _pace(told: Sequence[Event], pending: int) -> dict[str, float | None]:
    """Return cases per second over the last minute, and how long the rest takes at that speed."""
    window = told[-_RATE_EVENTS:]
    if len(window) < 2:
        return {"cases_per_s": None, "eta_s": None}
    first, last = window[0], window[-1]
    seconds = (datetime.fromisoformat(last["at"]) - datetime.fromisoformat(first["at"])).total_seconds()
    cases = _count(last) - _count(first)
    if seconds <= 0 or cases <= 0:
        return {"cases_per_s": None, "eta_s": None}
    left = max(0, pending - _count(last))
    return {"cases_per_s": round(cases / seconds, 2), "eta_s": round(left * seconds / cases, 1)}


def _count(event: Event) -> int:
    return sum(event.get(name, 0) for name in ("done", "rejected", "failed"))
