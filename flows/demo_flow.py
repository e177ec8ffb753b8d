"""The demonstration as a flow: two archive runs with a training between them."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.archive_run import SHARDS_AT_A_TIME, drive
from medpipe.app.demo import run_demo
from medpipe.app.site import Site
from medpipe.cli.progress import make_progress


@flow(
    name="demo",
    task_runner=ThreadPoolTaskRunner(max_workers=SHARDS_AT_A_TIME),  # type: ignore[arg-type]  # Prefect's own class
    persist_result=False,
)
def demo_flow(out: str, studies: int) -> list[str]:
    """Synthesize, run, train and score; return the lines to show."""
    with make_progress() as progress:
        return run_demo(Path(out), studies=studies, site=Site(), run=drive, progress=progress)
