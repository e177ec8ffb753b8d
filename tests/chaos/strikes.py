"""Kills: at every fail point, before every operation on the disk, at random instants."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

from medpipe.lake import failpoints
from tests.app.forks import Forks
from tests.chaos.arena import ACTS, AGAIN, GC, RUN, SCANNING, Act, Arena
from tests.chaos.judge import KINDS, Finding, acknowledged, after_kill, after_resume, orphans

KILLED = -signal.SIGKILL

SERVERS = 2
"""Processes that fork: as many trials run at a time."""


@dataclass(slots=True)
class Tally:
    """What a bench did and found.

    Attributes
    ----------
    lakes, runs, kills : int
    findings : list of Finding
    """

    lakes: int = 0
    runs: int = 0
    kills: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another's counts and findings."""
        self.lakes += other.lakes
        self.runs += other.runs
        self.kills += other.kills
        self.findings += other.findings

    def report(self) -> dict[str, Any]:
        """Return the counts as JSON values: of every kind of finding, zeros included."""
        found = Counter(finding.kind for finding in self.findings)
        return {
            "lakes": self.lakes,
            "runs": self.runs,
            "kills": self.kills,
            **{kind: found[kind] for kind in KINDS},
            "findings": [list(finding) for finding in self.findings[:20]],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One kill: at a fail point, before an operation, or after a while.

    Attributes
    ----------
    failpoint : str
    operation : int
        Number of the operation on the lake; 0 for none.
    delay_s : float or None
    """

    failpoint: str = ""
    operation: int = 0
    delay_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A lake whose act is killed once or several times, and then ended."""

    name: str
    act: Act
    strikes: tuple[Strike, ...]


class Bench:
    """Trials over an arena, several at a time; as a context manager it ends its processes.

    Parameters
    ----------
    arena : Arena
    """

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self._mutations: tuple[str, ...] = ()
        self._stack = ExitStack()
        self._forks: SimpleQueue[Forks] = SimpleQueue()
        for _ in range(SERVERS):
            self._forks.put(self._stack.enter_context(Forks(arena.home)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def mutated(self, *mutations: str) -> Iterator[Bench]:
        """Remove safeguards (``package.module:function``) in the runs of all trials meanwhile."""
        self._mutations = mutations
        try:
            yield self
        finally:
            self._mutations = ()

    @contextmanager
    def over(self, arena: Arena) -> Iterator[None]:
        """Work on another arena meanwhile; its key is the same."""
        own, self.arena = self.arena, arena
        try:
            yield
        finally:
            self.arena = own

    def forked(self, work: Callable[[Forks], Any]) -> Any:
        """Do something with a process that forks; wait for one that is free."""
        forks = self._forks.get()
        try:
            return work(forks)
        finally:
            self._forks.put(forks)

    def run(self, trials: Iterable[Trial]) -> Tally:
        """Run trials, as many at a time as there are processes that fork."""
        total = Tally()
        with ThreadPoolExecutor(SERVERS) as pool:
            for tally in pool.map(self._one, trials):
                total.add(tally)
        return total

    def _one(self, trial: Trial) -> Tally:
        tally: Tally = self.forked(lambda forks: self._tried(trial, forks))
        return tally

    def _tried(self, trial: Trial, forks: Forks) -> Tally:
        act, tally = trial.act, Tally(lakes=1)
        lake = self.arena.new(trial.name, act)
        sealed = acknowledged(lake)
        for strike in trial.strikes:
            tally.runs += 1
            code = self._struck(lake, act, strike, forks)
            if code != KILLED:
                tally.findings += [] if code == act.ended else [Finding("exit", f"{trial}: {code}")]
                break
            tally.kills += 1
            torn = after_kill(lake)
            if torn:
                tally.findings += [Finding(kind, f"{what} ({trial})") for kind, what in torn]
                return tally
            sealed = acknowledged(lake)
        tally.runs += 1
        code = forks.run(self.arena.job(lake, *self._mutations, act=act))
        if code != act.ended:
            tally.findings.append(Finding("exit", f"{trial}, taken over: {code}"))
        tally.findings += [
            Finding(kind, f"{what} ({trial})") for kind, what in after_resume(self.arena.lake(act), lake, sealed)
        ]
        tally.findings += self._collected(lake, forks)
        shutil.rmtree(lake)
        return tally

    def _struck(self, lake: Path, act: Act, strike: Strike, forks: Forks) -> int:
        at = ("tests.chaos.disk:kill_at",) if strike.operation else ()
        job = self.arena.job(lake, *self._mutations, *at, act=act, failpoint=strike.failpoint, at=strike.operation)
        return forks.run(job, kill_after_s=strike.delay_s)

    def _collected(self, lake: Path, forks: Forks) -> list[Finding]:
        codes = {forks.run(self.arena.job(lake, act=GC)) for _ in range(2)}
        found = [Finding("exit", f"gc: {code}") for code in codes - {0}]
        return found + orphans(lake, self.arena.home / "medpipe" / "key") + after_kill(lake)

    # what there is to be struck -----------------------------------------------------------------

    def points(self, act: Act) -> Counter[str]:
        """Return how often an undisturbed act comes to each fail point."""
        counts = self._counted(act, "tests.chaos.strikes:count_points")
        return Counter(json.loads(counts))

    def operations(self, act: Act) -> list[str]:
        """Return the operations on the lake in an undisturbed act, each with its paths."""
        return self._counted(act, "tests.chaos.disk:listed").splitlines()

    def wall_s(self, act: Act) -> float:
        """Return how long an undisturbed act takes."""
        lake = self.arena.new("timed", act)

        def timed(forks: Forks) -> float:
            start_s = time.monotonic()
            forks.run(self.arena.job(lake, act=act))
            return time.monotonic() - start_s

        wall_s: float = self.forked(timed)
        shutil.rmtree(lake)
        return wall_s

    def _counted(self, act: Act, prepare: str) -> str:
        lake, kept = self.arena.new("counted", act), self.arena.folder / "count"
        code = self.forked(
            lambda forks: forks.run(self.arena.job(lake, *self._mutations, prepare, act=act, count=str(kept)))
        )
        assert code == act.ended, self.arena.said()
        shutil.rmtree(lake)
        return kept.read_text(encoding="utf-8")


def count_points(given: Mapping[str, Any]) -> None:
    """Keep how often each fail point is come to in the file ``given["count"]``."""
    from tests.chaos.mutations import replace_everywhere

    counts: Counter[str] = Counter()

    def hit(name: str) -> None:
        counts[name] += 1
        Path(given["count"]).write_text(json.dumps(counts), encoding="ascii")

    replace_everywhere(failpoints.hit, hit)


def point_trials(bench: Bench, *, most: int) -> list[Trial]:
    """Return a kill at each fail point of each act, at its first hits and its last.

    Raises
    ------
    AssertionError
        If a fail point is met by no act: then nothing shows what a kill there does.
    """
    met = {act: bench.points(act) for act in ACTS}
    # of a run with its scan only what the scan comes to: the rest is the other run's
    met[SCANNING] = bench.points(SCANNING) - met[RUN]
    named = {point for name, points in vars(failpoints).items() if name.endswith("FAILPOINTS") for point in points}
    unmet = named.difference(*met.values())
    assert not unmet, f"no act comes to {sorted(unmet)}"
    return [
        Trial(name=f"{act.name}-{point}-{nth}", act=act, strikes=(Strike(failpoint=f"{point}:{nth}"),))
        for act, counts in met.items()
        for point, hits in counts.items()
        for nth in sorted({*range(1, min(hits, most) + 1), hits})
    ]


def first_trials(bench: Bench) -> list[Trial]:
    """Return one kill at each fail point: where it is met first."""
    trials = {trial.strikes[0].failpoint: trial for trial in reversed(point_trials(bench, most=1))}
    return [trial for failpoint, trial in trials.items() if failpoint.endswith(":1")]


def operation_trials(bench: Bench, *, every: int) -> list[Trial]:
    """Return a kill before every operation of each act, or every few."""
    most = {act: len(bench.operations(act)) for act in ACTS}
    most[SCANNING] = len(bench.operations(SCANNING)) - most[RUN]
    return [
        Trial(name=f"{act.name}-operation-{number}", act=act, strikes=(Strike(operation=number),))
        for act, operations in most.items()
        for number in range(1, operations + 1, every)
    ]


def random_kills(bench: Bench, *, kills: int, seed: int) -> Tally:
    """Kill runs at random instants, each lake's several times, until there were so many kills."""
    rng, total = random.Random(seed), Tally()
    wall_s = {act: min(bench.wall_s(act) for _ in range(3)) for act in (RUN, AGAIN, SCANNING)}
    while total.kills < kills:
        names = [f"random-{total.lakes + number}" for number in range(2 * SERVERS)]
        total.add(bench.run([_random_trial(name, wall_s, rng) for name in names]))
    return total


def _random_trial(name: str, wall_s: Mapping[Act, float], rng: random.Random) -> Trial:
    act = rng.choices((RUN, AGAIN, SCANNING), weights=(6, 3, 1))[0]
    delays_s = (rng.uniform(0.02, 0.9 * wall_s[act]) for _ in range(rng.randint(1, 6)))
    return Trial(name=name, act=act, strikes=tuple(Strike(delay_s=delay_s) for delay_s in delays_s))
