"""Bytes that flip, files that end early, and numbers that are not reproducible."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.app.forks import Forks, Job
from tests.chaos.arena import RUN, Arena
from tests.chaos.judge import Finding
from tests.chaos.strikes import KILLED, Bench

ALARM = 3
"""Exit code of an integrity alarm."""


def unnoticed(bench: Bench, pattern: str, *mutations: str) -> list[Finding]:
    """Damage each file of a pattern, by a flipped byte and by a missing end; find what ``verify`` passes."""
    calm = bench.arena.lake(RUN)
    names = sorted(path.relative_to(calm) for path in calm.glob(pattern) if path.is_file())
    assert names, pattern

    def noticed(forks: Forks) -> list[Finding]:
        return [
            Finding("torn", f"{name}, {how}: verify said {code}")
            for name in names[:3]
            for how in ("flipped", "shortened")
            if (code := _verified(bench.arena, forks, name, how, *mutations)) != ALARM
        ]

    findings: list[Finding] = bench.forked(noticed)
    return findings


def _verified(arena: Arena, forks: Forks, name: Path, how: str, *mutations: str) -> int:
    lake = arena.folder / "damaged"
    shutil.rmtree(lake, ignore_errors=True)
    shutil.copytree(arena.lake(RUN), lake, symlinks=True)
    data = bytearray((lake / name).read_bytes())
    data[len(data) // 2] ^= 1
    (lake / name).write_bytes(data if how == "flipped" else data[: len(data) // 2])
    return forks.run(Job(arguments=["verify", str(lake)], prepare=mutations))


def no_alarm(bench: Bench, *mutations: str) -> list[Finding]:
    """Kill a run that has published a volume, and take it over with another number in each voxel."""
    lake = bench.arena.new("other")

    def taken_over(forks: Forks) -> list[Finding]:
        assert forks.run(bench.arena.job(lake, failpoint="volume.after_manifest:3")) == KILLED
        job = bench.arena.job(lake, "tests.chaos.mutations:other_voxels", *mutations)
        code = forks.run(job)
        return [] if code == ALARM else [Finding("volumes", f"other voxels under an old key, and the run said {code}")]

    findings: list[Finding] = bench.forked(taken_over)
    return findings
