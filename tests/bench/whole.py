"""The whole way: `medpipe run` over a phantom archive, each time into a new lake."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from medpipe.synth import make_archive
from tests.bench.paired import WALL, Bench

STUDIES = 6
ROUNDS = 3
"""Half as many as elsewhere, so that all subjects together stay within four minutes."""

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended.

    Attributes
    ----------
    lake : Path
    facts : dict
        What the command printed.
    cpu_s : float
        CPU time of the command and all it started.
    peak_bytes : int
        Largest sum of the memory of driver, worker and sandboxes; shared pages count once.
    """

    lake: Path
    facts: dict[str, Any]
    cpu_s: float
    peak_bytes: int


def benches(folder: Path) -> Iterator[Bench]:
    """Yield the figure; every round must publish the same snapshot."""
    make_archive(folder / "phantoms", studies=STUDIES, seed=7)
    files = sum(path.is_file() for path in (folder / "phantoms" / "archive").rglob("*"))
    number = itertools.count()
    yield Bench(
        subject="whole way",
        size=f"{STUDIES} studies, {files} files",
        ours=lambda: run(folder / "phantoms" / "archive", folder / f"lake-{next(number)}", folder / "config"),
        difference=_unequal,
        rounds=ROUNDS,
        clock=WALL,
        remark=lambda ended, _: _remark(ended),
    )


def run(archive: Path, lake: Path, config: Path) -> Ended:
    """Run the shipped recipe in a process of its own and watch it.

    Raises
    ------
    RuntimeError
        If it ends with another code than 0 or 2 (some of the phantom files are broken).
    """
    command = [sys.executable, "-m", "medpipe", "run", str(archive), "--lake", str(lake), "-r", "whole-archive"]
    # one key for all rounds, and not the user's
    environment = {name: text for name, text in os.environ.items() if name != "MEDPIPE_KEY_FILE"}
    before = os.times()
    with subprocess.Popen(
        [*command, "--json"],
        env={**environment, "XDG_CONFIG_HOME": str(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        peak = _Peak(process.pid)
        output = process.communicate()[0]
        peak_bytes = peak.stop()
    if process.returncode not in {0, 2}:
        raise RuntimeError(f"medpipe run ended with {process.returncode}")
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Ended(lake=lake, facts=json.loads(output), cpu_s=cpu_s, peak_bytes=peak_bytes)


class _Peak:
    """Looks at the memory of a process and all below it until it is told to stop."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._peak_bytes = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._stopping.set()
        self._thread.join()
        return self._peak_bytes

    def _look(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            try:
                processes = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self._peak_bytes = max(self._peak_bytes, sum(map(_memory_bytes, processes)))


def _memory_bytes(process: psutil.Process) -> int:
    try:
        found = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(found, "pss", 0) or found.uss)


def _unequal(ended: Ended, first: Ended) -> float:
    shutil.rmtree(ended.lake)
    return float(ended.facts["snapshot"] != first.facts["snapshot"])


def _remark(ended: Ended) -> str:
    cases, seconds = ended.facts["cases"], ended.facts["seconds"]
    return (
        f"{cases['executed']} cases, {cases['executed'] / seconds:.1f} a second of the run's own {seconds} s; "
        f"{ended.cpu_s:.1f} s CPU, peak {ended.peak_bytes / 1e6:.0f} MB (PSS of driver, worker and sandboxes)"
    )
