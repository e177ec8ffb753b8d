"""Commands that read an archive: scan, plan, run, synth, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.options import ARCHIVES, JSON, LAKE, RECIPE, site_of
from medpipe.cli.progress import make_progress
from medpipe.cli.root import app
from medpipe.cli.show import print_json, print_pairs

Workers = Annotated[int | None, typer.Option(min=1, help="cases at a time (default: one per core)")]
Engine = Annotated[str | None, typer.Option(help="serial or dask")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda")]
Privacy = Annotated[str | None, typer.Option(help="pseudonymized (default) or identified, for a new lake")]
SiteFile = Annotated[Path | None, typer.Option("--site", help="site file (TOML): paths, workers, limits, key")]
Only = Annotated[str | None, typer.Option(help="SQL condition on the volumes to take, such as \"modality = 'CT'\"")]
Retry = Annotated[
    list[str] | None, typer.Option(help="reason code whose cases run again, such as E_OOM; may be repeated")
]
Limit = Annotated[int | None, typer.Option(min=1, help="at most so many volumes")]


@app.command()
def scan(
    *,
    archives: ARCHIVES,
    lake: LAKE,
    site: SiteFile = None,
    privacy: Privacy = None,
    workers: Workers = None,
    as_json: JSON = False,
) -> int:
    """Index an archive: every file gets one row with one outcome."""
    from medpipe.app.scan import scan_archives

    settings = site_of(site, privacy=privacy, workers=workers)
    with make_progress() as progress:
        report = scan_archives(archives, lake, settings, progress)
    facts = report.facts()
    print_json(facts) if as_json else print_pairs("scan", facts)
    return 0


@app.command()
def plan(
    *,
    archives: ARCHIVES,
    lake: LAKE,
    recipe: RECIPE,
    site: SiteFile = None,
    privacy: Privacy = None,
    device: Device = None,
    only: Only = None,
    limit: Limit = None,
    as_json: JSON = False,
) -> int:
    """Show what would run: cases, products, memory, and why volumes are left out."""
    from medpipe.app.run import RunRequest, plan_run

    settings = site_of(site, privacy=privacy, device=device)
    request = RunRequest(recipe=recipe, archives=tuple(archives), lake=lake, site=settings, only=only, limit=limit)
    with make_progress() as progress:
        facts = plan_run(request, progress)
    print_json(facts) if as_json else print_pairs("plan", facts)
    return 0


@app.command()
def run(
    *,
    archives: ARCHIVES,
    lake: LAKE,
    recipe: RECIPE,
    site: SiteFile = None,
    workers: Workers = None,
    engine: Engine = None,
    device: Device = None,
    privacy: Privacy = None,
    only: Only = None,
    limit: Limit = None,
    retry: Retry = None,
    allow_quarantined: Annotated[
        str, typer.Option(help="share of subjects, such as 2%, that keeps exit code 0")
    ] = "0%",
    as_json: JSON = False,
) -> int:
    """Run a recipe over an archive and publish the tables.

    The same command resumes after a kill, and does nothing where nothing changed.
    """
    from medpipe.app.run import RunRequest, run_archive
    from medpipe.cli.options import share
    from medpipe.engine.numeric import restart_pinned

    settings = site_of(site, privacy=privacy, device=device, workers=workers, engine=engine)
    if settings.engine == "serial":
        restart_pinned()
    request = RunRequest(
        recipe=recipe,
        archives=tuple(archives),
        lake=lake,
        site=settings,
        only=only,
        limit=limit,
        retry=tuple(retry or ()),
    )
    allowed = share(allow_quarantined)
    with make_progress() as progress:
        report = run_archive(request, progress)
    print_json(report.facts()) if as_json else print_pairs("run", report.facts())
    return report.exit_code(allowed)


@app.command()
def synth(
    *,
    out: Annotated[Path, typer.Argument(help="new or empty folder")],
    studies: Annotated[int, typer.Option(min=1, help="studies to make")] = 24,
    seed: Annotated[int, typer.Option(help="same seed, same bytes")] = 0,
) -> int:
    """Write a phantom archive with known truth: CT, MR, PET, X-ray and some broken files."""
    from medpipe.synth import make_archive

    with make_progress() as progress:
        progress.stage("synth", studies)
        make_archive(out, studies=studies, seed=seed, on_progress=lambda _done, _total: progress.advance())
    print(f"phantom archive: {out / 'archive'}\ntruth:           {out / 'truth'}")
    return 0


@app.command()
def demo(
    *,
    out: Annotated[Path, typer.Option(help="folder to work in")] = Path("demo"),
    studies: Annotated[int, typer.Option(min=10, help="phantom studies")] = 24,
    engine: Engine = None,
    workers: Workers = None,
) -> int:
    """Synthesize, run, train, score and show, in minutes on two cores."""
    from medpipe.app.demo import run_demo
    from medpipe.app.run import run_archive

    with make_progress() as progress:
        lines = run_demo(
            out, studies=studies, site=site_of(None, engine=engine, workers=workers), run=run_archive, progress=progress
        )
    print("\n".join(lines))
    return 0
