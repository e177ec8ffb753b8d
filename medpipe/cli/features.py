"""The command that measures one image without an archive: features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.cli.options import JSON, site_of
from medpipe.cli.progress import make_progress
from medpipe.cli.root import app
from medpipe.cli.show import print_json, print_table


@app.command()
def features(
    *,
    image: Annotated[
        Path, typer.Argument(readable=False, help="image: NIfTI, NRRD or DICOM file, or a folder of DICOM files")
    ],
    mask: Annotated[
        Path, typer.Argument(readable=False, help="mask: labels in NIfTI or NRRD, or a DICOM SEG or RTSTRUCT")
    ],
    recipe: Annotated[
        str, typer.Option("-r", "--recipe", help="recipe file (TOML), or the name of a shipped one")
    ] = "one-image",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="file for the table: .csv, .parquet or .xlsx")
    ] = None,
    dictionary: Annotated[
        Path | None, typer.Option(help="file for what each column means: name, family, IBSI code, unit, range, ...")
    ] = None,
    label: Annotated[int | None, typer.Option(help="value of the mask to measure (default: each by itself)")] = None,
    modality: Annotated[str, typer.Option(help="CT, MR, PT, ... of an image that does not say it")] = "",
    series: Annotated[str, typer.Option(help="SeriesInstanceUID, where the folder holds several")] = "",
    site: Annotated[Path | None, typer.Option("--site", help="site file (TOML): device and limits")] = None,
    as_json: JSON = False,
) -> int:
    """Measure the regions of one image, without an archive and without a lake.

    A table is printed, and written with --output: a row for each region and extraction; what its
    columns mean is written with --dictionary. Many cases are a case list (CSV with columns Image
    and Mask) for medpipe run, which resumes.
    """
    from medpipe.app.one_image import Question, measure_and_describe
    from medpipe.lake.export import check_name, write_table

    for file in (output, dictionary):
        if file is not None:
            check_name(file)
    question = Question(image=image, mask=mask, recipe=recipe, label=label, modality=modality, series=series)
    with make_progress() as progress:
        found, described = measure_and_describe(question, site_of(site), progress.say)
    for file, table in ((output, found), (dictionary, described)):
        if file is not None:
            write_table(table, file)
    print_json(found.to_pylist()) if as_json else _print_down(found)
    return 0


def _print_down(found: Any) -> None:
    """Print a line for each column and a column for each row: features are many, regions few."""
    rows = found.to_pylist()
    names = [f"{row['region']} {row['number']}" for row in rows]
    print_table(("feature", *names), [[name, *(row[name] for row in rows)] for name in found.column_names])
