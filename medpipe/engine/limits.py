"""Limits of a call, and the watch that tells when one is broken."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from medpipe.engine.board import MarkBoard
from medpipe.engine.meter import Meter, Usage

POLL_S = 0.05
"""Seconds between two looks at a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a call may take.

    Attributes
    ----------
    deadline_s : float
        Seconds by the clock for the whole call.
    memory_bytes : int or None
        Resident memory of the process and its children.
    stall_s : float or None
        Seconds without a new mark.
    """

    deadline_s: float
    memory_bytes: int | None = None
    stall_s: float | None = None


class Watch:
    """Measures a call as it runs and tells which limit it breaks.

    Attributes
    ----------
    usage : Usage
        Highest resident memory and processor seconds seen so far.
    """

    def __init__(self, meter: Meter, board: MarkBoard, limits: Limits) -> None:
        self._meter = meter
        self._board = board
        self._limits = limits
        self._start_s = self._marked_s = self._sampled_s = time.monotonic()
        self._marks = board.read().number
        self._cpu_start_s: float | None = None
        self.usage = Usage(0, 0.0)

    def breach(self) -> Literal["timeout", "memory"] | None:
        """Return what is broken now, if anything; measures at most every ``POLL_S``."""
        now_s = time.monotonic()
        if now_s - self._start_s > self._limits.deadline_s or self._has_stalled(now_s):
            return "timeout"
        if now_s - self._sampled_s < POLL_S:
            return None
        self._sampled_s = now_s
        sample = self._meter.sample()
        if self._cpu_start_s is None:
            self._cpu_start_s = sample.cpu_s
        self.usage = Usage(max(self.usage.rss_bytes, sample.rss_bytes), max(0.0, sample.cpu_s - self._cpu_start_s))
        over = self._limits.memory_bytes is not None and sample.rss_bytes > self._limits.memory_bytes
        return "memory" if over else None

    def _has_stalled(self, now_s: float) -> bool:
        if self._limits.stall_s is None:
            return False
        marks = self._board.read().number
        if marks != self._marks:
            self._marks, self._marked_s = marks, now_s
        return now_s - self._marked_s > self._limits.stall_s
