"""Peers that live in another interpreter: asked in turn, their CPU time told by themselves.

Libraries that are not among the locked requirements, and would not go together with them, are
run by an interpreter of the user's, which an environment variable names::

    MEDPIPE_BENCH_PYRADIOMICS=/path/to/python
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.paired import CPU, Clock

SIDE = Path(__file__).with_name("peer_side.py")


@dataclass
class Peer:
    """A library in a process of its own; ``cpu_s`` is what its work has taken so far."""

    process: subprocess.Popen[str]
    folder: Path
    cpu_s: float = 0.0
    _last: str = field(default="", repr=False)

    def give(self, image: np.ndarray, mask: np.ndarray, **asked: Any) -> None:
        """Hand over the next region; not part of what is timed."""
        paths = {name: str(self.folder / f"{name}.npy") for name in ("image", "mask")}
        np.save(paths["image"], image)
        np.save(paths["mask"], mask)
        self._ask({**paths, **asked})

    def run(self) -> dict[str, float]:
        """Return the features of the region."""
        answer = self._ask({})
        self.cpu_s += answer["cpu_s"]
        return answer["values"]

    @property
    def clock(self) -> Clock:
        """CPU time of this process and of the peer's work."""
        return Clock(CPU.name, lambda: time.process_time() + self.cpu_s)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended with {self.process.wait()}: {' '.join(self.process.args)}")
        return json.loads(line)


def interpreter_of(library: str) -> str:
    """Return the interpreter that has a library, or an empty string."""
    return os.environ.get(f"MEDPIPE_BENCH_{library.upper()}", "")


@contextmanager
def peer(library: str, folder: Path) -> Iterator[Peer]:
    """Start a library's process, under the same pins as this one, and end it."""
    command = [interpreter_of(library), "-I", str(SIDE), library]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Peer(process, folder)
        finally:
            assert process.stdin is not None
            process.stdin.close()
