"""What a process and its children use at this moment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import psutil

# listing children reads every process of the host, so it is done less often than measuring
_LIST_EVERY_S = 0.5


class Usage(NamedTuple):
    """Resident bytes and processor seconds since the start, children included."""

    rss_bytes: int
    cpu_s: float


class Meter:
    """Measures a process and its children.

    Parameters
    ----------
    pid : int
        The process; once it is gone everything measures as zero.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._tree: list[psutil.Process] = []
        self._listed_s = -_LIST_EVERY_S

    def sample(self) -> Usage:
        """Return what the process and its children use now."""
        now_s = time.monotonic()
        if now_s - self._listed_s >= _LIST_EVERY_S:
            self._tree = self._listed()
            self._listed_s = now_s
        rss_bytes, cpu_s = 0, 0.0
        for process in self._tree:
            try:
                with process.oneshot():
                    rss_bytes += process.memory_info().rss
                    times = process.cpu_times()
            except psutil.Error:
                continue
            cpu_s += times.user + times.system
        return Usage(rss_bytes, cpu_s)

    def _listed(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []


def kernel_kills() -> int:
    """Return how often the kernel has killed a process for want of memory (0 if it does not say)."""
    try:
        with Path("/proc/vmstat").open(encoding="ascii") as counters:
            for line in counters:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except OSError:
        return 0
    return 0
