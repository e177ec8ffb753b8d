"""Commands that read a lake: status, query, export, explain, rois, verify; and gc, which clears it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.options import JSON, LAKE_ARGUMENT
from medpipe.cli.root import app
from medpipe.cli.show import print_json, print_pairs, print_table, printable

RecipeName = Annotated[str | None, typer.Option("--recipe", help="whose tables (default: those published last)")]
SiteFile = Annotated[Path | None, typer.Option("--site", help="site file (TOML): where the key is, what is kept")]

LONGEST_H = 36525 * 24.0
"""Longest grace: a century, so that a date before it is still one."""


@app.command()
def status(*, lake: LAKE_ARGUMENT, as_json: JSON = False) -> int:
    """Show where the newest run is: progress, ETA, failures by code."""
    from medpipe.app.status import lake_status

    facts = lake_status(lake)
    print_json(facts) if as_json else print_pairs("status", facts)
    return 0


@app.command()
def query(
    *,
    lake: LAKE_ARGUMENT,
    sql: Annotated[str, typer.Argument(help="DuckDB SQL over the published tables")],
    recipe: RecipeName = None,
    limit: Annotated[int, typer.Option(min=1, help="rows to show")] = 100,
    as_json: JSON = False,
) -> int:
    """Ask the published tables, read-only."""
    from medpipe.app.query import query_lake

    columns, rows = query_lake(lake, sql, recipe=recipe)
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows, limit=limit)
    return 0


@app.command()
def export(
    *,
    lake: LAKE_ARGUMENT,
    table: Annotated[str, typer.Argument(help="name of a table")],
    out: Annotated[Path, typer.Option("-o", "--out", help="file ending in .csv, .xlsx or .parquet")],
    recipe: RecipeName = None,
) -> int:
    """Write a table to a file."""
    from medpipe.app.query import export_lake

    rows = export_lake(lake, table, out, recipe=recipe)
    print(f"{rows} rows of {table} in {out}")
    return 0


@app.command()
def explain(
    *,
    lake: LAKE_ARGUMENT,
    key: Annotated[
        str, typer.Argument(help="volume_key, region_key, series_key or instance_key (or its first digits)")
    ],
    column: Annotated[str | None, typer.Option("--column", help="a feature column to follow")] = None,
    as_json: JSON = False,
) -> int:
    """Go from a number back to instances, parameters, code and model."""
    from medpipe.app.explain import explain_key

    facts = explain_key(lake, key, column=column)
    print_json(facts) if as_json else print_pairs("explain", facts)
    return 0


@app.command()
def rois(
    *,
    lake: LAKE_ARGUMENT,
    archive: Annotated[
        str | None, typer.Argument(help="only what lies in this archive: its folder, or its id (default: all)")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("-r", "--recipe", help="recipe file, or the name of a shipped one: the label it gives")
    ] = None,
    site: SiteFile = None,
    as_json: JSON = False,
) -> int:
    """Show the names of structures and segments as they were written, to who has the lake's key.

    The names go to the terminal and nowhere else: in tables stand labels that a recipe gives, or roi_N.
    """
    from medpipe.app.rois import COLUMNS, list_rois
    from medpipe.app.site import load_site

    rows = list_rois(lake, load_site(site), archive=archive, recipe=recipe)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(COLUMNS, [[printable(row[column]) for column in COLUMNS] for row in rows])
    else:
        print("no structures: the lake knows of no segmentation and no structure set")
    return 0


@app.command()
def stability(
    *,
    lake: LAKE_ARGUMENT,
    recipe: Annotated[
        str | None, typer.Option("-r", "--recipe", help="name of the recipe that was run (default: the last run's)")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="file for the table: .csv, .parquet or .xlsx")
    ] = None,
    as_json: JSON = False,
) -> int:
    """Show how stable features are: intraclass correlations over the perturbations of a recipe's last run."""
    from medpipe.app.stability import stability as stability_of
    from medpipe.lake.export import check_name, write_table
    from medpipe.lake.lake import Lake

    if output is not None:
        check_name(output)
    found = stability_of(Lake.open(lake), recipe=recipe)
    if output is not None:
        write_table(found, output)
    rows = found.to_pylist()
    shown = ("extraction", "region", "perturbation", "feature", "subjects", "icc_1_1", "icc_3_1")
    print_json(rows) if as_json else print_table(shown, [[row[name] for name in shown] for row in rows])
    return 0


@app.command()
def verify(
    *,
    lake: LAKE_ARGUMENT,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="a kind to verify (may be given again): volume, segment, tables, index, ..."),
    ] = None,
    site: SiteFile = None,
    as_json: JSON = False,
) -> int:
    """Read everything and compare it with its digests; sealed blobs too where the lake's key is at hand."""
    from medpipe.app.site import load_site
    from medpipe.app.verify import verify_lake
    from medpipe.cli.progress import make_progress

    with make_progress() as progress:
        facts = verify_lake(lake, site=load_site(site), only=only or (), progress=progress)
    if as_json:
        print_json(facts)
    else:
        print_pairs("verify", {**facts, "damaged": len(facts["damaged"])})
        print("".join(f"{line}\n" for line in facts["damaged"]), end="")
    return 3 if facts["damaged"] else 0


@app.command()
def gc(
    *,
    lake: LAKE_ARGUMENT,
    site: SiteFile = None,
    grace: Annotated[
        float,
        typer.Option(
            "--grace", min=0.0, max=LONGEST_H, help="hours between the pass that marks and the one that removes"
        ),
    ] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed and marked")] = False,
    as_json: JSON = False,
) -> int:
    """Mark what nothing reaches, and remove what an earlier pass marked.

    What a kept snapshot reaches is never removed. Which snapshots are kept says [retention] in
    the site file; without it, all of them.
    """
    from datetime import timedelta

    from medpipe.app.gc import collect_garbage, garbage
    from medpipe.app.site import load_site
    from medpipe.cli.progress import make_progress

    work = garbage if dry_run else collect_garbage
    with make_progress() as progress:
        sweep = work(lake, load_site(site), progress, grace=timedelta(hours=grace))
    print_json(sweep.to_json()) if as_json else print_pairs("gc, dry run" if dry_run else "gc", sweep.facts())
    return 0
