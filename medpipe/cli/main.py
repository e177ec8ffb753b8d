"""The command line: a thin shell over :mod:`medpipe.app`.

Importing this module is cheap; each command imports what it needs when it is called.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import typer

from medpipe.cli.root import app
from medpipe.errors import MedpipeError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with the documented exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911  # one exit code a line
    """Run the command line and return its exit code.

    An error of medpipe's own is one line. Anything else is a bug: its type and place are
    shown, its text only with ``MEDPIPE_TRACEBACK=1``, since it may quote a header.
    """
    from medpipe.cli import archive, lake, learn, reference  # noqa: F401  # each registers its commands

    try:
        outcome = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except MedpipeError as error:
        print(f"medpipe: {error}", file=sys.stderr)
        return error.exit_code
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        print("medpipe: interrupted; the same command resumes", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        print("medpipe: interrupted; the same command resumes", file=sys.stderr)
        return 4
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  # the outermost boundary: a bug must not spill values
        return _usage_or_bug(error)
    return int(outcome) if isinstance(outcome, int) else 0


def _usage_or_bug(error: Exception) -> int:
    if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # what click raises for wrong usage
        print(f"medpipe: {error.format_message()} (medpipe --help)", file=sys.stderr)
        return 5
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(last.filename)}:{last.lineno}"  # noqa: PTH119  # a name, not a path
    print(f"medpipe: a bug: {type(error).__name__} at {place}; MEDPIPE_TRACEBACK=1 shows it whole", file=sys.stderr)
    if os.environ.get("MEDPIPE_TRACEBACK"):
        traceback.print_exception(error)
    return 1
