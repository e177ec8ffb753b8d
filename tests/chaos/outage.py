"""Runs that are recorded, and what the states say that a loss of power could have left of them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import MedpipeError
from medpipe.lake.lake import Lake, is_lake
from medpipe.lake.layout import LAYOUT
from tests.app.forks import Forks
from tests.app.runs import tables_of
from tests.chaos.arena import SCANNING, Act
from tests.chaos.judge import Acknowledged, Finding, acknowledged, after_kill, after_resume
from tests.chaos.power import Disk, put_state, read_log
from tests.chaos.strikes import KILLED, Bench, Tally


@dataclass(frozen=True, slots=True)
class Recording:
    """What an act did to its lake: the lake it began with, and every operation."""

    act: Act
    begin: Path | None
    log: tuple[tuple[Any, ...], ...]

    def disks(self) -> Iterator[Disk]:
        """Yield the disk after each operation; it is the same object, further on."""
        disk = Disk()
        if self.begin is not None:
            disk.load(self.begin)
        for record in self.log:
            disk.apply(record)
            yield disk


def record(bench: Bench, *mutations: str, act: Act = SCANNING, killed_before: tuple[int, ...] = ()) -> Recording:
    """Record an act to its end; first it may be killed before some operations."""
    name = "-".join(map(str, ("recorded", act.name, *killed_before)))
    lake, log = bench.arena.new(name, act), bench.arena.folder / f"{name}.log"
    log.unlink(missing_ok=True)
    prepare = ("tests.chaos.disk:recorded", *mutations)

    def recorded(forks: Forks) -> None:
        for at in killed_before:
            job = bench.arena.job(lake, *prepare, "tests.chaos.disk:kill_at", act=act, log=str(log), at=at)
            assert forks.run(job) == KILLED, bench.arena.said()
        assert forks.run(bench.arena.job(lake, *prepare, act=act, log=str(log))) == act.ended, bench.arena.said()

    bench.forked(recorded)
    shutil.rmtree(lake)
    records = read_log(log)
    log.unlink()
    return Recording(act, bench.arena.folder / act.before if act.before else None, (*records, ("ended", "")))


@dataclass(slots=True)
class Outages:
    """States that were looked at, and what was found in them."""

    states: int = 0
    resumed: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Outages) -> None:
        """Add another's counts and findings."""
        self.states += other.states
        self.resumed += other.resumed
        self.findings += other.findings

    def report(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        tally = Tally(findings=self.findings).report()
        counts = {name: tally[name] for name in ("lost", "duplicated", "torn", "tables", "volumes", "recomputed")}
        return {"states": self.states, "resumed": self.resumed, **counts, "findings": tally["findings"]}


def replay(
    bench: Bench, recording: Recording, *, samples: int, seed: int, every: int = 1, resume_every: int = 0
) -> Outages:
    """Look at what a loss of power could leave after each operation of a recorded act.

    Parameters
    ----------
    bench : Bench
    recording : Recording
    samples : int
        States for each operation, beside the one with nothing but what is durable.
    seed : int
    every : int
        Look after every operation, or every few.
    resume_every : int
        Let each so manieth state be taken over by a run; 0 for none.
    """
    rng, found = random.Random(seed), Outages()
    for number, disk in enumerate(recording.disks()):
        if (number - seed) % every:
            continue
        for how in ("least", *("most" if rng.random() < 0.2 else "any" for _ in range(samples))):
            root = bench.arena.folder / "state"
            shutil.rmtree(root, ignore_errors=True)
            put_state(disk.state(rng, how), root)
            found.states += 1
            told = f"after operation {number} {recording.log[number][:2]}, {how}"
            wrong = _state_findings(bench, recording.act, disk, root)
            if resume_every and found.states % resume_every == 0 and not wrong:
                found.resumed += 1
                wrong = _resumed_findings(bench, recording.act, root)
            found.findings += [Finding(kind, f"{what} ({told})") for kind, what in wrong]
    return found


def _state_findings(bench: Bench, act: Act, disk: Disk, root: Path) -> list[Finding]:
    sealed = frozenset(path for kind, path in disk.told if kind == "sealed")
    found = after_kill(root)
    if sealed and not is_lake(root):
        return [Finding("lost", "the lake"), *found]
    found += [Finding("lost", path) for path in sorted(sealed) if not (root / path).exists()]
    try:
        stored = acknowledged(root, only=sealed).stored
    except MedpipeError:
        stored = frozenset()  # said already
    found += [Finding("lost", path) for path in stored if not (root / LAYOUT.manifest(path)).exists()]
    if ("ended", "") in disk.told and not found:
        found += _published_findings(bench.arena.lake(act), root)
    return found


def _published_findings(calm: Path, root: Path) -> list[Finding]:
    if not (root / LAYOUT.tables()).exists() or tables_of(root) != tables_of(calm):
        return [Finding("lost", "the tables of a run that had ended")]
    return []


def _resumed_findings(bench: Bench, act: Act, root: Path) -> list[Finding]:
    before = acknowledged(root) if is_lake(root) else Acknowledged({}, {}, frozenset())
    code = bench.forked(lambda forks: forks.run(bench.arena.job(root, act=act)))
    if code != act.ended:
        return [Finding("exit", f"{code}: {bench.arena.said()[-300:]}")]
    Lake.open(root)
    return after_resume(bench.arena.lake(act), root, before)
