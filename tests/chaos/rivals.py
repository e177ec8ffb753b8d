"""Two who work on one lake: a second driver, a writer that slept while its run was taken over, readers."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from medpipe.errors import MedpipeError
from medpipe.lake.lake import Lake
from medpipe.lake.manifest import verify_folder
from medpipe.lake.query import read_table, table_names, tables_path
from tests.app.forks import Forks
from tests.chaos.arena import AGAIN, RESUMABLE, RUN, Act
from tests.chaos.judge import Finding, acknowledged, after_kill, after_resume
from tests.chaos.strikes import KILLED, Bench

UNFENCED = "tests.chaos.mutations:no_fencing"

PATIENCE_S = 120.0


@contextmanager
def asleep(bench: Bench, forks: Forks, lake: Path, failpoint: str, *prepare: str, act: Act = RUN) -> Iterator[int]:
    """Start an act and let it come to a fail point, where it is stopped; kill it in the end."""
    pid = forks.start(bench.arena.job(lake, *prepare, act=act, failpoint=f"{failpoint}:stop"))
    try:
        wait_until_stopped(pid)
        yield pid
    finally:
        forks.kill(pid)


def wait_until_stopped(pid: int) -> None:
    """Wait until a process is stopped by a signal."""
    end = time.monotonic() + PATIENCE_S
    while state_of(pid) != "T":
        assert state_of(pid) != "Z", "it ended before it came to its fail point"
        assert time.monotonic() < end, "it never came to its fail point"
        time.sleep(0.005)


def state_of(pid: int) -> str:
    """Return the letter Linux gives a process: T for a stopped one, Z for one that has ended."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def second_driver(bench: Bench, failpoint: str, *mutations: str) -> list[Finding]:
    """Run on a lake whose driver sleeps, kill the sleeper, and run again."""
    lake = bench.arena.new("rivals")

    def both(forks: Forks) -> list[Finding]:
        with asleep(bench, forks, lake, failpoint, *mutations) as pid:
            before = immutable(lake)
            code = forks.run(bench.arena.job(lake, *mutations))
            found = [] if code == RESUMABLE else [Finding("exit", f"the second driver ended with {code}")]
            if immutable(lake) != before:
                found.append(Finding("volumes", "the second driver wrote"))
        if forks.wait(pid) != KILLED:
            found.append(Finding("exit", "the first driver ended by itself"))
        sealed = acknowledged(lake)
        if (code := forks.run(bench.arena.job(lake))) != RUN.ended:
            found.append(Finding("exit", f"after the first was killed: {code}"))
        return found + after_resume(bench.arena.lake(RUN), lake, sealed)

    findings: list[Finding] = bench.forked(both)
    return findings


def zombie(bench: Bench, failpoint: str, *mutations: str) -> list[Finding]:
    """Let a run sleep that has lost its lock, take it over, wake it, and hold the lake against before."""
    lake = bench.arena.new("-".join(("zombie", *failpoint.split(":"))))

    def taken_over(forks: Forks) -> list[Finding]:
        with asleep(bench, forks, lake, failpoint, UNFENCED, *mutations) as pid:
            code = forks.run(bench.arena.job(lake))
            found = [] if code == RUN.ended else [Finding("exit", f"the run that took over: {code}")]
            before = immutable(lake)
            os.kill(pid, signal.SIGCONT)
            # its exit code is its own affair: it may find its work done, or be refused
            woken = _waited(forks, pid)
        if woken == 1:
            found.append(Finding("exit", "the zombie met a bug"))
        now = immutable(lake)
        changed = sorted(path for path in before if now.get(path) != before[path])
        found += [Finding("volumes", f"{path} is not what it was") for path in changed]
        # two who computed one case have both sealed it: not a duplicate in any table
        mine = [finding for finding in _held(bench, lake) if finding.kind not in {"duplicated", "recomputed"}]
        return found + mine

    findings: list[Finding] = bench.forked(taken_over)
    return findings


def _waited(forks: Forks, pid: int) -> int:
    end = time.monotonic() + PATIENCE_S
    while state_of(pid) != "Z":
        assert time.monotonic() < end, "the zombie does not end"
        time.sleep(0.005)
    return forks.wait(pid)


def _held(bench: Bench, lake: Path) -> list[Finding]:
    return after_resume(bench.arena.lake(RUN), lake, acknowledged(lake))


def immutable(root: Path) -> dict[str, tuple[int, str]]:
    """Return inode and digest of every file below ``objects`` and ``published`` but the pointers there."""
    files = (path for top in ("objects", "published") for path in (root / top).rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): (path.stat().st_ino, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files
        if path.suffix or path.name in {"0", "zarr.json"}
    }


# readers ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reader:
    """Reads the published tables over and over, as long as others publish."""

    root: Path
    reads: int = 0
    findings: list[Finding] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read until the block ends."""
        thread = threading.Thread(target=self._loop)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _loop(self) -> None:
        while not self._ended.is_set():
            try:
                self.findings += self._read()
                self.reads += 1
            except (MedpipeError, OSError) as error:
                self.findings.append(Finding("torn", f"{type(error).__name__}: {error}"))

    def _read(self) -> list[Finding]:
        lake = Lake.open(self.root)
        folder = tables_path(lake).relative_to(lake.root).as_posix()
        self.seen.add(folder)
        verify_folder(lake.store, folder)
        tables = {name: read_table(lake, name) for name in table_names(lake)}
        regions = set(tables["regions"].column("region_key").to_pylist())
        measured = set(tables["features"].column("region_key").to_pylist()) - {None}
        return [] if measured <= regions else [Finding("torn", "features of regions that are not there")]


def read_while_published(bench: Bench, *mutations: str, times: int) -> Reader:
    """Publish one recipe's tables in turns, as two parameters make them, while a reader reads."""
    lake = bench.arena.new("read", AGAIN)

    def publish(forks: Forks) -> Reader:
        forks.run(bench.arena.job(lake, act=AGAIN))
        reader = Reader(lake)
        with reader.reading():
            for number in range(times):
                act = (RUN, AGAIN)[number % 2]
                assert forks.run(bench.arena.job(lake, *mutations, act=act)) == act.ended, bench.arena.said()
        reader.findings += after_kill(lake)
        return reader

    reader: Reader = bench.forked(publish)
    return reader
