"""The command that watches landing folders."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.options import ARCHIVES, LAKE, RECIPE, site_of
from medpipe.cli.pinned import pin_for
from medpipe.cli.root import app
from medpipe.errors import SignalledError, StoppedError

LONGEST_S = 366 * 86400.0
"""Longest time between looks; the system's clocks take no endless one."""


@app.command()
def watch(
    *,
    archives: ARCHIVES,
    lake: LAKE,
    recipe: RECIPE,
    site: Annotated[Path | None, typer.Option("--site", help="site file (TOML): paths, workers, limits, key")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="cases at a time (default: one per core)")] = None,
    engine: Annotated[str | None, typer.Option(help="serial or dask")] = None,
    every: Annotated[float, typer.Option(min=0.05, max=LONGEST_S, help="seconds between looks")] = 30.0,
    settle: Annotated[
        float, typer.Option(min=0.0, max=LONGEST_S, help="seconds a file must stay the same to be complete")
    ] = 10.0,
    times: Annotated[int | None, typer.Option(min=1, help="end after so many looks")] = None,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="take files out of the index although many are gone at once")
    ] = False,
) -> int:
    """Watch landing folders and run a recipe whenever complete files are new.

    One line for each look that did something. Ends by Ctrl-C or SIGTERM, with exit code 0.
    """
    pin_for(engine)
    settings = site_of(site, workers=workers, engine=engine)
    pin_for(settings.engine)
    from medpipe.app.prepare import RunRequest
    from medpipe.app.run import run_archive
    from medpipe.app.watch import Settling, Watch

    request = RunRequest(
        recipe=recipe, archives=tuple(archives), lake=lake, site=settings, accept_deletions=accept_deletions
    )
    watching = Watch(
        request=request, progress=_Told(), run=run_archive, say=_said, settling=Settling(settle), every_s=every
    )
    try:
        return 0 if watching.looks(times) else 4
    except (KeyboardInterrupt, SignalledError):
        return 0


class _Told:
    """Progress without bars: only what is worth a line."""

    def stage(self, name: str, total: int | None) -> None:
        """Ignore a stage."""

    def advance(self, steps: int = 1) -> None:
        """Ignore steps."""

    def say(self, line: str) -> None:
        """Print a line."""
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def _said(line: str) -> None:
    # a disk that is full under its log is no reason to stop watching
    with suppress(StoppedError):
        print(line, flush=True)
