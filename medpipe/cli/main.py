"""The command line: a thin shell over :mod:`medpipe.app`.

Importing this module is cheap, so that signals are taken from early on; each command imports
what it needs when it is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress

from medpipe.cli.signals import INTERRUPTED, ignore_signals, take_signals, was_interrupted
from medpipe.cli.streams import Answers, leave, open_streams
from medpipe.errors import MedpipeError

_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with the documented exit code."""
    is_interrupted = True
    try:
        take_signals()
        open_streams()
        code = run(arguments)
        is_interrupted = was_interrupted()
        ignore_signals()
    except KeyboardInterrupt:
        ignore_signals()
        code = _refused(INTERRUPTED, 4)
    # a refusal has nothing left to do; what libraries do at the end of a short process aborted it now and then
    leave(code, at_once=is_interrupted or code in (4, 5))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    An error of medpipe's own is one line. Anything else is a bug: its type and place are
    shown, its text only with ``MEDPIPE_TRACEBACK=1``, since it may quote a header.
    """
    import typer

    from medpipe.cli import archive, features, forget, lake, learn, reference, watch  # noqa: F401  # each registers its commands
    from medpipe.cli.root import app

    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with redirect_stdout(Answers(sys.stdout)):
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
        return _refused(INTERRUPTED, 4)
    return int(outcome) if isinstance(outcome, int) else 0


def _refused(message: str, code: int) -> int:
    """Say why in one line, whatever the libraries said in several, and return the exit code."""
    parts = (part.strip() for part in message.splitlines())
    with suppress(OSError):  # the code says it too
        print(f"medpipe: {' '.join(part for part in parts if part)}", file=sys.stderr, flush=True)
    return code


def _usage_or_bug(error: Exception) -> int:
    if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # what click raises for wrong usage
        return _refused(f"{error.format_message()} (medpipe --help)", 5)
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(last.filename)}:{last.lineno}"  # noqa: PTH119  # a name, not a path
    if os.environ.get("MEDPIPE_TRACEBACK"):
        traceback.print_exception(error)
    return _refused(f"a bug: {type(error).__name__} at {place}; MEDPIPE_TRACEBACK=1 shows it whole", 1)
