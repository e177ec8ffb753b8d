"""Command lines in forks of one process that has imported everything, so that thousands of runs are quick.

Also a program: ``python -m tests.app.forks`` reads orders from standard input, one JSON value a
line, and answers each with one line: ``{"start": job}`` with a process id, ``{"wait": pid}``
with how that process ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from medpipe.engine.numeric import pinned_environment
from medpipe.lake.failpoints import VARIABLE
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Companions, Geometry, Volume
from tests.app.runs import RECIPE, ROOT, environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command line to run in a fork.

    Attributes
    ----------
    arguments : list of str
    failpoint : str
        Where it is to be killed or stopped, as ``MEDPIPE_FAILPOINT`` says it.
    prepare : tuple of str
        Functions ``package.module:function`` that are called in the fork first, with `given`.
    given : mapping
        JSON values.
    home : str
        Folder of its key and its output; empty for that of the process it is forked from.
    """

    arguments: list[str]
    failpoint: str = ""
    prepare: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    home: str = ""


class Forks:
    """A process that forks for each job; as a context manager it ends with all its forks.

    Parameters
    ----------
    home : Path
        Keeps the key, and ``output``: what all jobs printed.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.app.forks", str(home / "output")],
            # pinned from the start, or the serial engine would start the program anew
            env={**environment(home), **pinned_environment()},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._started: set[int] = set()

    def start(self, job: Job) -> int:
        """Start a job and return its process id."""
        pid = self._ask({"start": asdict(job)})
        self._started.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        """Wait for a job to end; return its exit code, or minus the signal that ended it."""
        code = self._ask({"wait": pid})
        self._started.remove(pid)
        return code

    def run(self, job: Job, *, kill_after_s: float | None = None) -> int:
        """Run a job to its end, which may be a SIGKILL after a while."""
        pid = self.start(job)
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            self.kill(pid)
        return self.wait(pid)

    def kill(self, pid: int) -> None:
        """Kill a job; nothing happens if its end was waited for."""
        # until somebody waits for it its number is its own
        if pid in self._started:
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End all forks and the process they come from."""
        for pid in self._started:
            self.kill(pid)
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, order: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return int(line)


def run_jobs(forks: Forks, jobs: Sequence[Job], home: Path) -> list[int]:
    """Run jobs of a home one after the other; return for each its exit code, or minus the signal that ended it."""
    return [forks.run(replace(job, home=str(home))) for job in jobs]


# the program ------------------------------------------------------------------------------------


def _main(output: Path) -> None:
    _warm()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            answer = _started(order["start"], output)
        print(answer, flush=True)


def _started(job: Mapping[str, Any], output: Path) -> int:
    child = os.fork()
    if child == 0:
        try:
            os._exit(_child(job, output))
        finally:
            os._exit(99)
    return child


def _child(job: Mapping[str, Any], output: Path) -> int:
    from medpipe.cli.main import run

    os.setsid()
    if job["home"]:
        os.environ["XDG_CONFIG_HOME"], output = job["home"], Path(job["home"]) / "output"
    with output.open("ab") as printed, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    os.environ[VARIABLE] = job["failpoint"]
    for name in job["prepare"]:
        prepare(name, job["given"])
    code = run(job["arguments"])
    sys.stdout.flush()
    return code


def prepare(name: str, given: Mapping[str, Any]) -> None:
    """Call a function by its name ``package.module:function``."""
    from importlib import import_module

    module, _, function = name.partition(":")
    getattr(import_module(module), function)(given)


def _warm() -> None:
    """Import and compile what runs need, and start no thread: threads do not survive a fork."""
    import sklearn.linear_model  # noqa: F401  # as the next four
    import zarr  # noqa: F401

    import medpipe.engine.serial
    import medpipe.work.session  # noqa: F401
    from medpipe.cli import archive, lake, learn, reference  # noqa: F401
    from medpipe.models.package import load
    from medpipe.models.resolve import read_shipped, shipped

    for registered in shipped():
        load(read_shipped(registered))
    ball = (np.indices((12, 16, 16)) - 7.5).astype(np.float32)
    data = np.where((ball**2).sum(axis=0) < 30, 50 + ball[0], np.float32(-1000))
    volume = Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=(4.0, 4.0, 4.0)))
    for route in parse_recipe(tomllib.loads(RECIPE)).routes:
        for op in route.image:
            op(volume)
        regions = [region for source in route.regions[:1] for region in source(volume, Companions())]
        for extraction in route.features:
            for region in regions:
                extraction.op(volume, region)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
