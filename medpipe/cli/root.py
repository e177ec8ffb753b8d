"""The root of the command line, which every command hangs itself on."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="medpipe",
    help="From an untrusted archive of medical images to versioned tables in which every number can be explained.",
    epilog="Exit codes: 0 all well, 2 complete with quarantined subjects, 3 integrity alarm, 4 stopped and resumable, "
    "5 configuration or security refusal, 1 a bug.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
