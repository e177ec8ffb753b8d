"""``medpipe status``: where the newest run is, from its plan, events and end."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from medpipe.lake.lake import Lake
from medpipe.lake.runs import Run, latest_run, run_names
from medpipe.lake.tables import latest_publication

RESUMES = "the same command resumes it"
BEGINNING = "a run has begun: it scans or plans"


def lake_status(root: Path) -> dict[str, Any]:
    """Return the newest run's progress: state, counts, ETA, failures by code.

    The state is ``finished``, ``running``, ``publishing``, or ``ended early`` where the run has no
    end and its driver is gone; then the same command resumes it. ``now`` tells of a driver that
    has no plan yet.

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
    facts = _facts(run, _state(lake, run, is_at_work=is_at_work))
    return {**facts, "now": BEGINNING} if is_driven and not is_at_work else facts


def _facts(run: Run, state: str) -> dict[str, Any]:
    events = list(run.read_events())
    planned = next((event for event in events if event["event"] == "planned"), {})
    cases = [event for event in events if event["event"] == "case"]
    pending = planned.get("pending", 0)
    facts: dict[str, Any] = {
        "run": run.name,
        "recipe": run.info().get("recipe"),
        "state": state,
        "planned": planned.get("planned", 0),
        "current before": planned.get("planned", 0) - pending,
        "ended": f"{len({event['case_key'] for event in cases})} of {pending}",
    }
    if state == "running":
        facts["eta_s"] = _eta_s(cases, pending)
    facts["outcomes"] = dict(sorted(Counter(event["status"] for event in cases).items()))
    facts["codes"] = dict(sorted(Counter(event["code"] for event in cases if event["code"]).items()))
    summary = run.summary()
    return facts if summary is None else {**facts, "end": summary}


def _state(lake: Lake, run: Run, *, is_at_work: bool) -> str:
    summary = run.summary()
    if summary is None:
        return "running" if is_at_work else f"ended early: {RESUMES}"
    published = latest_publication(lake, run.info()["recipe"]) or ""
    if published.rpartition("/")[2].startswith(summary["snapshot"]):
        return "finished"
    return "publishing" if is_at_work else f"ended early, before its tables were published: {RESUMES}"


def _eta_s(cases: list[dict[str, Any]], pending: int) -> float | None:
    if len(cases) < 2:
        return None
    first, last = (datetime.fromisoformat(cases[place]["at"]) for place in (0, -1))
    return round((last - first).total_seconds() / (len(cases) - 1) * (pending - len(cases)), 1)
