"""Streams that may fail: a full disk under a log, a terminal that is gone, a descriptor that was never open."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from medpipe.errors import StoppedError


class _Around:
    """A stream with other ways to write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Answers(_Around):
    """Standard output, of which each line counts: what cannot be written stops the command.

    Parameters
    ----------
    stream : TextIO
    """

    def write(self, text: str) -> int:
        """Write a text.

        Raises
        ------
        StoppedError
            If there is no room for it, or the stream is gone.
        BrokenPipeError
            If nobody reads any more.
        """
        try:
            return self._stream.write(text)
        except OSError as error:
            raise _refused(error) from None

    def flush(self) -> None:
        """Have all that was written arrive; raises as :meth:`write`."""
        try:
            self._stream.flush()
        except OSError as error:
            raise _refused(error) from None


def _refused(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    return StoppedError(f"the answer cannot be written to standard output ({error.strerror})")


class Remarks(_Around):
    """A stream nothing depends on: what cannot be written is left out, and work goes on.

    Parameters
    ----------
    stream : TextIO
    """

    def write(self, text: str) -> int:
        """Write a text, if that is possible."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Have all that was written arrive, if that is possible."""
        with suppress(OSError):
            self._stream.flush()


def open_streams() -> None:
    """Have the three streams there: where one was closed, the next file opened would take its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # the lowest number that is free: those below are open by now
            nothing = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(nothing, mode, closefd=False))  # noqa: SIM115  # open to the end of the process


def leave(code: int, *, at_once: bool) -> None:
    """End the process with an exit code, and with no other whatever its streams do.

    Parameters
    ----------
    code : int
    at_once : bool
        Whether nothing that libraries left for the end is done: after an interrupt that is
        what was stopped half-way, after a refusal what has hardly begun.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # what is left in its buffer must not fail once more, at the very end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if at_once:
        os._exit(code)
    sys.exit(code)
