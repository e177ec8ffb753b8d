"""The command that takes an archive out of a lake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.options import JSON, LAKE_ARGUMENT
from medpipe.cli.root import app
from medpipe.cli.show import print_json, print_pairs


@app.command()
def forget(
    *,
    lake: LAKE_ARGUMENT,
    archive: Annotated[
        str, typer.Argument(help="real path (no link) of the folder that was scanned, there or not; or its id")
    ],
    site: Annotated[Path | None, typer.Option("--site", help="site file (TOML): where the key is")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be taken out")] = False,
    as_json: JSON = False,
) -> int:
    """Take an archive that will not come back out of the index.

    Nothing is asked. Results stay, and published tables as they are: the next run publishes
    without the archive's files. Scanning it again brings it back.
    """
    from medpipe.app.forget import forget_archive, forgettable
    from medpipe.app.site import load_site

    found = (forgettable if dry_run else forget_archive)(lake, archive, load_site(site))
    facts = found.facts()
    print_json(facts) if as_json else print_pairs("would be taken out" if dry_run else "taken out", facts)
    return 0
