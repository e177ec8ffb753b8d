"""Progress on a terminal as a live bar with an ETA, elsewhere as plain lines."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO, cast

from medpipe.cli.streams import Remarks

if TYPE_CHECKING:
    from rich.progress import TaskID

EVERY_S = 10.0
"""Plain lines come at most this often within a stage."""


def make_progress(stream: TextIO | None = None) -> PlainProgress | LiveProgress:
    """Return what suits the stream (standard error by default); work goes on where it cannot be written to."""
    stream = cast("TextIO", Remarks(stream or sys.stderr))
    return LiveProgress(stream) if stream.isatty() else PlainProgress(stream)


class PlainProgress:
    """One line when a stage begins, one now and then, one when it ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._name = ""
        self._total: int | None = None
        self._done = self._first_steps = 0
        self._began = self._said = self._first_step = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage."""
        self._close()
        self._name, self._total, self._done = name, total, 0
        self._began = self._said = time.monotonic()
        self.say(f"{name}: {total} to do" if total is not None else name)

    def advance(self, steps: int = 1) -> None:
        """Count steps and print a line if the last one is old."""
        if not self._done:
            self._first_step, self._first_steps = time.monotonic(), steps
        self._done += steps
        if time.monotonic() - self._said >= EVERY_S:
            self._said = time.monotonic()
            self.say(f"{self._name}: {self._done}{self._of()}{self._eta()}")

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=self._stream, flush=True)

    def _close(self) -> None:
        if self._name and self._done:
            self.say(f"{self._name}: {self._done} done in {time.monotonic() - self._began:.1f} s")
        self._name, self._done = "", 0

    def _of(self) -> str:
        return f" of {self._total}" if self._total else ""

    def _eta(self) -> str:
        # counted from the first step: until then processes start, which says nothing of the rest
        measured = self._done - self._first_steps
        if not self._total or not measured:
            return ""
        left = (time.monotonic() - self._first_step) / measured * max(0, self._total - self._done)
        return f", about {left:.0f} s left"


class LiveProgress:
    """A rich bar per stage with count, time and ETA."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=Console(file=stream),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, name: str, total: int | None) -> None:
        """Begin a bar."""
        self._task = self._bars.add_task(name, total=total)

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task, steps)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(line, highlight=False, markup=False)
