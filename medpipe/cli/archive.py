"""Commands that read an archive: scan, plan, run, synth, demo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medpipe.cli.options import ARCHIVES, JSON, LAKE, LAKE_ARGUMENT, RECIPE, site_of, site_with
from medpipe.cli.pinned import pin_for
from medpipe.cli.progress import make_progress
from medpipe.cli.root import app
from medpipe.cli.show import print_json, print_pairs

if TYPE_CHECKING:
    from medpipe.app.prepare import RunRequest

_MOST = 2**31 - 1

Workers = Annotated[int | None, typer.Option(min=1, help="cases at a time (default: one per core)")]
Engine = Annotated[str | None, typer.Option(help="serial or dask")]
Device = Annotated[
    str | None,
    typer.Option(help="cpu (default), cuda (refused where there is none) or auto (cuda, and the CPU where it cannot)"),
]
Privacy = Annotated[str | None, typer.Option(help="pseudonymized (default) or identified, for a new lake")]
SiteFile = Annotated[Path | None, typer.Option("--site", help="site file (TOML): paths, workers, limits, key")]
Only = Annotated[str | None, typer.Option(help="SQL condition on the volumes to take, such as \"modality = 'CT'\"")]
Retry = Annotated[
    list[str] | None, typer.Option(help="reason code whose cases run again, such as E_OOM; may be repeated")
]
Limit = Annotated[
    int | None, typer.Option(min=1, max=_MOST, help="at most so many volumes, in the order of their keys")
]
Sample = Annotated[
    int | None, typer.Option(min=1, max=_MOST, help="so many volumes the recipe takes, drawn the same way each time")
]
Cohort = Annotated[
    Path | None,
    typer.Option(
        readable=False, help="file of the patients, studies or series to take: a list, or a CSV with a header"
    ),
]
CohortSql = Annotated[
    str | None,
    typer.Option(help='query for the keys of what to take, such as "SELECT series_key FROM series WHERE kvp > 100"'),
]
AcceptDeletions = Annotated[
    bool, typer.Option("--accept-deletions", help="take files out of the index although many are gone at once")
]
AllowQuarantined = Annotated[
    str, typer.Option(help="share of subjects, such as 2%, that keeps exit code 0; or: known (none that is new)")
]


@app.command()
def scan(
    *,
    archives: ARCHIVES,
    lake: LAKE,
    site: SiteFile = None,
    privacy: Privacy = None,
    workers: Workers = None,
    accept_deletions: AcceptDeletions = False,
    as_json: JSON = False,
) -> int:
    """Index an archive: every file gets one row with one outcome.

    Files that are gone leave the index, unless they are more than 1 % of the archive
    (deletions_share of the site file) and more than 20, or half of a small archive: then they
    stay as they were until --accept-deletions.
    """
    from medpipe.app.scan import scan_archives

    settings = site_of(site, privacy=privacy, workers=workers)
    with make_progress() as progress:
        report = scan_archives(archives, lake, settings, progress, accept_deletions=accept_deletions)
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
    engine: Engine = None,
    only: Only = None,
    sample: Sample = None,
    limit: Limit = None,
    cohort: Cohort = None,
    cohort_sql: CohortSql = None,
    accept_deletions: AcceptDeletions = False,
    as_json: JSON = False,
) -> int:
    """Show what would run and why: cases, products, memory, and why volumes are left out."""
    from medpipe.app.prepare import RunRequest, plan_run

    settings = site_of(site, privacy=privacy, device=device, engine=engine)
    request = RunRequest(
        recipe=recipe,
        archives=tuple(archives),
        lake=lake,
        site=settings,
        only=only,
        sample=sample,
        limit=limit,
        cohort=cohort,
        cohort_sql=cohort_sql,
        accept_deletions=accept_deletions,
    )
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
    sample: Sample = None,
    limit: Limit = None,
    cohort: Cohort = None,
    cohort_sql: CohortSql = None,
    retry: Retry = None,
    accept_deletions: AcceptDeletions = False,
    allow_quarantined: AllowQuarantined = "0%",
    as_json: JSON = False,
) -> int:
    """Run a recipe over an archive and publish the tables.

    The same command resumes after a kill, and does nothing where nothing changed.
    """
    pin_for(engine)
    settings = site_of(site, privacy=privacy, device=device, workers=workers, engine=engine)
    pin_for(settings.engine)
    from medpipe.app.prepare import RunRequest

    request = RunRequest(
        recipe=recipe,
        archives=tuple(archives),
        lake=lake,
        site=settings,
        only=only,
        sample=sample,
        limit=limit,
        cohort=cohort,
        cohort_sql=cohort_sql,
        retry=tuple(retry or ()),
        accept_deletions=accept_deletions,
    )
    return _run(request, allow_quarantined, as_json=as_json)


@app.command()
def retry(
    *,
    lake: LAKE_ARGUMENT,
    code: Annotated[list[str], typer.Option(help="reason code whose cases run again; may be repeated")],
    site: SiteFile = None,
    workers: Workers = None,
    engine: Engine = None,
    device: Device = None,
    allow_quarantined: AllowQuarantined = "0%",
    as_json: JSON = False,
) -> int:
    """Run the command that made the published tables again, with the cases that ended with some codes.

    Recipe, archives, choice of volumes and site (limits, engine, device) are those of that run;
    --site takes another site. Failures under other code, codecs or limits run again by
    themselves, without this.
    """
    pin_for(engine)
    from medpipe.app.prepare import last_request
    from medpipe.app.site import load_site

    last = last_request(lake, tuple(code), site=load_site(site), takes_site=site is not None)
    settings = site_with(last.request.site, device=device, workers=workers, engine=engine)
    return _run(replace(last.request, site=settings), allow_quarantined, as_json=as_json, before=last.lines())


def _run(request: RunRequest, allow_quarantined: str, *, as_json: bool, before: Iterable[str] = ()) -> int:
    pin_for(request.site.engine)
    from medpipe.app.run import run_archive
    from medpipe.cli.options import share

    known_is_fine = allow_quarantined == "known"
    allowed = 0.0 if known_is_fine else share(allow_quarantined)
    with make_progress() as progress:
        for line in before:
            progress.say(line)
        report = run_archive(request, progress)
    print_json(report.facts()) if as_json else print_pairs("run", report.facts())
    return report.exit_code(allowed, known_is_fine=known_is_fine)


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
