"""Signals of the command line: whatever arrives at whatever instant, the exit code is the one documented.

Imported before anything else, so it imports next to nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

INTERRUPTED = "interrupted; the same command resumes"


def take_signals() -> None:
    """Make the first SIGINT, SIGTERM or SIGHUP a KeyboardInterrupt and the second one the end, with exit code 4.

    One that is ignored, as SIGHUP under nohup, stays ignored. Those that :func:`signals_held`
    kept back arrive now.
    """
    _handle(_first)
    sys.unraisablehook = _end_if_interrupted
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def was_interrupted() -> bool:
    """Tell whether one has arrived; asked before :func:`ignore_signals`."""
    return any(signal.getsignal(number) is _second for number in _STOPS)


def ignore_signals() -> None:
    """Take no more of them: how the command ended is settled.

    Ignored ones stay so while the interpreter comes down; a handler would be taken off there.
    """
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def signals_held() -> Iterator[None]:
    """Keep them back: for a process that replaces itself, which has no handlers for a while."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _handle(handler: signal.Handlers | object) -> None:
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)  # type: ignore[arg-type]  # a function, as below


def _first(_number: int, _frame: FrameType | None) -> None:
    _handle(_second)
    raise KeyboardInterrupt


def _end_if_interrupted(ignored: sys.UnraisableHookArgs) -> None:
    """End at once where an interrupt came to a callback, which would have swallowed it."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        _second(0, None)
    sys.__unraisablehook__(ignored)


def _second(_number: int, _frame: FrameType | None) -> None:
    # What was stopped may hang. This ends as a kill does: processes that were started notice,
    # and locks are the kernel's.
    with suppress(OSError):
        os.write(2, f"medpipe: {INTERRUPTED}\n".encode())
    os._exit(4)
