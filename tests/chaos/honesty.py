"""Each safeguard, and the look that must notice when it is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.arena import AGAIN, RUN
from tests.chaos.damage import no_alarm, unnoticed
from tests.chaos.judge import Finding
from tests.chaos.outage import record, replay
from tests.chaos.rivals import read_while_published, second_driver, zombie
from tests.chaos.strikes import Bench, Strike, Trial

Look = Callable[..., list[Finding]]
"""Called with a bench and mutations; returns what is wrong."""


@dataclass(frozen=True, slots=True)
class Safeguard:
    """Something the promises rest on.

    Attributes
    ----------
    mutation : str
        Function of :mod:`tests.chaos.mutations` that removes it.
    look : callable
    kinds : frozenset of str
        What the look must find, at least one of them.
    """

    mutation: str
    look: Look
    kinds: frozenset[str]

    def found(self, bench: Bench, *, removed: bool) -> list[Finding]:
        """Look, with the safeguard in its place or removed."""
        return self.look(bench, *([f"tests.chaos.mutations:{self.mutation}"] if removed else []))


def power(bench: Bench, *mutations: str) -> list[Finding]:
    """Lose power all along a recorded run."""
    return replay(bench, record(bench, *mutations, act=RUN), samples=1, seed=1, every=11).findings


def power_after_kill(bench: Bench, *mutations: str) -> list[Finding]:
    """Kill a run before it syncs the folder of a segment, let another take over and end, lose power."""
    syncs = [
        number
        for number, operation in enumerate(bench.operations(RUN), start=1)
        if operation.startswith("fsync objects/segments/") and not operation.endswith(".zst")
    ]
    recording = record(bench, *mutations, act=RUN, killed_before=(syncs[-1],))
    last = len(recording.log) - 1
    return replay(bench, recording, samples=1, seed=last, every=len(recording.log)).findings


def killed_at_names(bench: Bench, *mutations: str) -> list[Finding]:
    """Kill runs before each thing gets its final name, or its bytes under that name."""
    with bench.mutated(*mutations) as mutated:
        numbers = [number for number, line in enumerate(mutated.operations(AGAIN), start=1) if _is_final(line)]
        trials = [
            Trial(name=f"honest-{number}", act=AGAIN, strikes=(Strike(operation=number),)) for number in numbers[::2]
        ]
        return mutated.run(trials).findings


def _is_final(line: str) -> bool:
    operation, *paths = line.split()
    if paths[-1].startswith("tmp/"):
        return False
    is_file = "." in paths[-1] or paths[-1].rpartition("/")[2].isupper()
    return operation in {"link", "rename", "rename_new"} or (operation == "fsync" and is_file)


def killed_twice(bench: Bench, *mutations: str) -> list[Finding]:
    """Kill runs after their first segment."""
    with bench.mutated(*mutations) as mutated:
        points = ("segment.before_seal:2", "segment.after_seal:2")
        trials = [Trial(name=f"honest-{point}", act=RUN, strikes=(Strike(failpoint=point),)) for point in points]
        return mutated.run(trials).findings


def rivals(bench: Bench, *mutations: str) -> list[Finding]:
    """Let a second driver come while the first sleeps."""
    return second_driver(bench, "segment.after_seal:1", *mutations)


def woken(bench: Bench, *mutations: str) -> list[Finding]:
    """Wake a writer that slept before it published a volume."""
    return zombie(bench, "publish.before_rename:2", *mutations)


def read(bench: Bench, *mutations: str) -> list[Finding]:
    """Read while others publish."""
    return read_while_published(bench, *mutations, times=12).findings


def flipped_segments(bench: Bench, *mutations: str) -> list[Finding]:
    """Damage segments."""
    return unnoticed(bench, "objects/segments/**/*.zst", *mutations)


def flipped_volumes(bench: Bench, *mutations: str) -> list[Finding]:
    """Damage stored voxels."""
    return unnoticed(bench, "objects/??/*/0/c/**/*", *mutations)


SAFEGUARDS = (
    Safeguard("no_sync_of_bytes", power, frozenset({"torn"})),
    Safeguard("no_sync_of_names", power, frozenset({"lost"})),
    Safeguard("names_before_bytes", power, frozenset({"torn"})),
    Safeguard("no_sync_of_disk", power_after_kill, frozenset({"torn", "lost"})),
    Safeguard("puts_in_place", killed_at_names, frozenset({"torn", "exit"})),
    Safeguard("pointers_in_place", killed_at_names, frozenset({"torn", "exit"})),
    Safeguard("trees_file_by_file", killed_at_names, frozenset({"torn", "exit"})),
    Safeguard("link_in_two_steps", read, frozenset({"torn"})),
    Safeguard("publish_replaces", woken, frozenset({"volumes"})),
    Safeguard("no_digest_compare", no_alarm, frozenset({"volumes"})),
    Safeguard("no_manifest_check", flipped_volumes, frozenset({"torn"})),
    Safeguard("no_seal_check", flipped_segments, frozenset({"torn"})),
    Safeguard("no_fencing", rivals, frozenset({"exit"})),
    Safeguard("told_before_sealed", killed_twice, frozenset({"lost"})),
    Safeguard("forgets", killed_twice, frozenset({"recomputed"})),
)
"""Fifteen safeguards: fsync of bytes and names and their order, atomic and exclusive writes, checks, the lock."""
