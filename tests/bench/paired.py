"""Measuring in pairs: medpipe and its peer do the same work in turn, and must agree.

A ratio is of medians over rounds of one run. The peer goes first in every other round, and the
number of rounds is even, so that neither has the warmer cache; a round before warms up and
counts only for the outputs, which are compared in every round.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

ROUNDS = 6

_PAGE_BYTES = 4096
_UNITS = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))


class Clock(NamedTuple):
    """A clock: its name in reports, and the seconds it shows."""

    name: str
    read_s: Callable[[], float]


CPU = Clock("cpu", time.process_time)
"""User and system time of this process, all threads."""

WALL = Clock("wall", time.perf_counter)


def _no_remark(_ours: Any, _theirs: Any) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One comparison.

    Attributes
    ----------
    subject, size : str
        What is measured, on how much.
    ours, theirs : callable
        The work. Without a peer ``theirs`` is None, the figure is absolute, and medpipe's own
        first output stands in for the peer's.
    peer : str
        Name of the other side; empty without one.
    difference : callable
        Of two outputs, outside the time that is measured: a number, 0 if they are equal.
    tolerance : float
        Largest difference that counts as equal.
    moved_bytes : int
        Bytes that any solution must read or write once; 0 where that says nothing.
    items, item : int, str
        What the time is also given by; 0 for nothing.
    rounds : int or None
        Rounds after the warm-up; None for the run's own number.
    fresh_bytes : int
        Memory the work will ask the system for, where that is much: it is touched and given back
        before each lap. On a virtual machine the first touch of a page may cost more than the
        work, and the host, not a side, decides who pays.
    clock : Clock
    remark : callable
        Of the last two outputs: what else the reader must know.
    """

    subject: str
    size: str
    ours: Callable[[], Any]
    difference: Callable[[Any, Any], float]
    peer: str = ""
    theirs: Callable[[], Any] | None = None
    tolerance: float = 0.0
    moved_bytes: int = 0
    items: int = 0
    item: str = ""
    rounds: int | None = None
    fresh_bytes: int = 0
    clock: Clock = CPU
    remark: Callable[[Any, Any], str] = _no_remark


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A comparison that could not be made, and why."""

    subject: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What came out of a comparison; times in ms, by the clock that is named."""

    subject: str
    size: str
    peer: str
    clock: str
    ours_ms: float
    peer_ms: float | None
    ours_wall_ms: float
    peer_wall_ms: float | None
    floor_ms: float | None
    rounds_ours_ms: tuple[float, ...]
    rounds_peer_ms: tuple[float, ...]
    difference: float
    tolerance: float
    remark: str

    @property
    def ratio(self) -> float | None:
        """The peer's time over ours: above 1 medpipe is faster."""
        return None if self.peer_ms is None else self.peer_ms / self.ours_ms

    @property
    def is_equal(self) -> bool:
        """Whether the outputs agreed in every round; NaN is no agreement."""
        return self.difference <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return {**asdict(self), "ratio": self.ratio, "equal": self.is_equal}


class _Lap(NamedTuple):
    output: Any
    clock_s: float
    wall_s: float


def measure(bench: Bench, *, rounds: int = ROUNDS, bytes_per_s: float = 0.0) -> Figure:
    """Return the figure of a bench.

    Parameters
    ----------
    bench : Bench
    rounds : int
        Rounds that count, unless the bench has its own number.
    bytes_per_s : float
        Bandwidth of a copy, for the floor; 0 for no floor.
    """
    ours: list[_Lap] = []
    theirs: list[_Lap] = []
    difference, first, remark = 0.0, None, ""
    for lap in range((bench.rounds or rounds) + 1):
        mine, other = _round(bench, peer_first=lap % 2 == 1)
        first = mine.output if lap == 0 and other is None else first
        reference = first if other is None else other.output
        difference = _worse(difference, bench.difference(mine.output, reference))
        remark = bench.remark(mine.output, reference)
        if lap > 0:
            ours.append(_Lap(None, mine.clock_s, mine.wall_s))
            theirs += [] if other is None else [_Lap(None, other.clock_s, other.wall_s)]
        # memory that a side keeps is free again before the next lap
        del mine, other, reference
    return Figure(
        subject=bench.subject,
        size=bench.size,
        peer=bench.peer,
        clock=bench.clock.name,
        ours_ms=_median_ms([lap.clock_s for lap in ours]),
        peer_ms=_median_ms([lap.clock_s for lap in theirs]) if theirs else None,
        ours_wall_ms=_median_ms([lap.wall_s for lap in ours]),
        peer_wall_ms=_median_ms([lap.wall_s for lap in theirs]) if theirs else None,
        floor_ms=1e3 * bench.moved_bytes / bytes_per_s if bench.moved_bytes and bytes_per_s else None,
        rounds_ours_ms=tuple(1e3 * lap.clock_s for lap in ours),
        rounds_peer_ms=tuple(1e3 * lap.clock_s for lap in theirs),
        difference=difference,
        tolerance=bench.tolerance,
        remark="; ".join(part for part in (_rate(bench, ours), remark) if part),
    )


def line(figure: Figure) -> str:
    """Return the figure as one line of the report."""
    parts = [
        f"{figure.subject:<22} {figure.size:<27} {figure.ours_ms:9.1f} ms",
        f"{figure.peer_ms:9.1f} ms  {figure.ratio:5.2f}x" if figure.peer_ms is not None else f"{'-':>12} {'-':>6}",
        f"{figure.peer or 'absolute'}",
        f"diff {figure.difference:.1e}" if figure.is_equal else f"UNEQUAL by {figure.difference:.3g}",
    ]
    parts += [] if figure.floor_ms is None else [f"floor {figure.floor_ms:.1f} ms"]
    parts += [] if figure.clock == CPU.name else [f"{figure.clock} time"]
    return "  ".join([*parts, *([figure.remark] if figure.remark else [])])


def _round(bench: Bench, *, peer_first: bool) -> tuple[_Lap, _Lap | None]:
    if bench.theirs is None:
        return _lap(bench.ours, bench), None
    if peer_first:
        other = _lap(bench.theirs, bench)
        return _lap(bench.ours, bench), other
    mine = _lap(bench.ours, bench)
    return mine, _lap(bench.theirs, bench)


def _lap(work: Callable[[], Any], bench: Bench) -> _Lap:
    # another side's garbage is not this side's work
    gc.collect()
    np.empty(bench.fresh_bytes, dtype=np.uint8)[::_PAGE_BYTES] = 1
    wall_s, clock_s = time.perf_counter(), bench.clock.read_s()
    output = work()
    return _Lap(output, bench.clock.read_s() - clock_s, time.perf_counter() - wall_s)


def _worse(known: float, found: float) -> float:
    return math.nan if math.isnan(known) or math.isnan(found) else max(known, found)


def _median_ms(seconds: list[float]) -> float:
    return 1e3 * statistics.median(seconds)


def _rate(bench: Bench, ours: list[_Lap]) -> str:
    if not bench.items:
        return ""
    each_s = statistics.median(lap.clock_s for lap in ours) / bench.items
    unit, scale = next(((unit, scale) for unit, scale in _UNITS if each_s * scale >= 1), _UNITS[-1])
    return f"{each_s * scale:.3g} {unit} a {bench.item}"
