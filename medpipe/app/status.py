"""``medpipe status``: where the newest run is, from its plan, events and end."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from medpipe.lake.lake import Lake
from medpipe.lake.runs import latest_run


def lake_status(root: Path) -> dict[str, Any]:
    """Return the newest run's progress: state, counts, ETA, failures by code.

    The state is ``finished``, ``running``, or ``ended early`` where the run has no end and no
    driver holds the lake; then the same command resumes it.
    """
    lake = Lake.open(root)
    run = latest_run(lake)
    events = list(run.read_events())
    planned = next((event for event in events if event["event"] == "planned"), {})
    cases = [event for event in events if event["event"] == "case"]
    ended = len({event["case_key"] for event in cases})
    summary = run.summary()
    facts: dict[str, Any] = {
        "run": run.name,
        "recipe": planned.get("recipe"),
        "state": _state(lake, summary),
        "planned": planned.get("planned", 0),
        "current before": planned.get("planned", 0) - planned.get("pending", 0),
        "ended": f"{ended} of {planned.get('pending', 0)}",
    }
    if facts["state"] == "running":
        facts["eta_s"] = _eta_s(cases, planned.get("pending", 0))
    facts["outcomes"] = dict(sorted(Counter(event["status"] for event in cases).items()))
    facts["codes"] = dict(sorted(Counter(event["code"] for event in cases if event["code"]).items()))
    if summary is not None:
        facts["end"] = summary
    return facts


def _state(lake: Lake, summary: dict[str, Any] | None) -> str:
    if summary is not None:
        return "finished"
    return "running" if lake.is_driven() else "ended early: the same command resumes it"


def _eta_s(cases: list[dict[str, Any]], pending: int) -> float | None:
    if len(cases) < 2:
        return None
    first, last = (datetime.fromisoformat(cases[place]["at"]) for place in (0, -1))
    return round((last - first).total_seconds() / (len(cases) - 1) * (pending - len(cases)), 1)
