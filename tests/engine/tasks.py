"""Tasks and engines of toys, for the tests of engines."""

from __future__ import annotations

from medpipe.engine import EngineSpec, Task

BUDGET = 800_000_000


def task(row, *, deadline_s=20.0, numeric_class="", shard=0, projected_bytes=1_000_000):
    return Task(
        run="run-1",
        shard=shard,
        row=row,
        case_key=f"case-{row}",
        volume_key=f"volume-{row}",
        route="ct",
        source_version=f"version-{row}",
        numeric_class=numeric_class,
        projected_bytes=projected_bytes,
        deadline_s=deadline_s,
    )


def engine_spec(kind, folder, script, *, full_after=None, address=None, workers=2, silence_s=30.0, **init):
    return EngineSpec(
        kind=kind,
        session="tests.engine.engine_toys:open_session",
        init={"script": script, **init},
        sink="tests.engine.engine_toys:open_sink",
        sink_init={"folder": str(folder), "full_after": full_after},
        workers=workers,
        memory_bytes=BUDGET,
        address=address,
        seal_s=0.2,
        silence_s=silence_s,
        start_timeout_s=30,
    )


def told(event):
    """Return what of an event must not depend on the engine."""
    return (event.row, event.kind, event.status, event.code, event.stage, event.attempts)
