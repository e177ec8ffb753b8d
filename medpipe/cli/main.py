"""The command line: a thin shell over :mod:`medpipe.app`.

Importing this module is cheap; each command imports what it needs when it is called.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence

import typer

from medpipe.cli.root import app
from medpipe.errors import MedpipeError

_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with the documented exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # as Ctrl-C, so that whoever stops a service or closes a terminal gets the exit code for it
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    An error of medpipe's own is one line. Anything else is a bug: its type and place are
    shown, its text only with ``MEDPIPE_TRACEBACK=1``, since it may quote a header.
    """
    from medpipe.cli import archive, forget, lake, learn, reference, watch  # noqa: F401  # each registers its commands

    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        outcome = app(args=given or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except MedpipeError as error:
        return _refused(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        outcome = _INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # typer answers a closed pipe with SystemExit; who closed it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]  # a process has one
        return 0
    except Exception as error:  # noqa: BLE001  # the outermost boundary: a bug must not spill values
        return _usage_or_bug(error)
    if outcome == _INTERRUPTED:
        return _refused("interrupted; the same command resumes", 4)
    return int(outcome) if isinstance(outcome, int) else 0


def _refused(message: str, code: int) -> int:
    """Say why in one line, whatever the libraries said in several, and return the exit code."""
    parts = (part.strip() for part in message.splitlines())
    print(f"medpipe: {' '.join(part for part in parts if part)}", file=sys.stderr)
    return code


def _usage_or_bug(error: Exception) -> int:
    if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # what click raises for wrong usage
        return _refused(f"{error.format_message()} (medpipe --help)", 5)
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(last.filename)}:{last.lineno}"  # noqa: PTH119  # a name, not a path
    if os.environ.get("MEDPIPE_TRACEBACK"):
        traceback.print_exception(error)
    return _refused(f"a bug: {type(error).__name__} at {place}; MEDPIPE_TRACEBACK=1 shows it whole", 1)
