"""``medpipe watch``: look at landing folders again and again, and run the recipe when files are complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Progress
from medpipe.app.run_report import RunReport
from medpipe.app.scan import ScanReport, scan_archives
from medpipe.archive.other.cases import source_at
from medpipe.contracts.protocols import Item
from medpipe.errors import SignalledError, StoppedError

IN_TRANSFER = (".part", ".partial", ".filepart", ".tmp")
"""Endings of names that programs give to files while they write them."""


class Settling:
    """Tells which new or changed files are complete: those that stayed the same for a while.

    A file counts when size and modification time were the same in two looks at least so far
    apart, and no part of its path is a name of a transfer in progress: one of
    :data:`IN_TRANSFER`, or one with a leading dot.

    Parameters
    ----------
    settle_s : float
        Seconds a file must stay the same.

    Attributes
    ----------
    is_waiting : bool
        Whether the look at work met a file that may be complete soon.
    """

    def __init__(self, settle_s: float) -> None:
        self.settle_s = settle_s
        self._seen: dict[tuple[Path, str], tuple[str, float]] = {}
        self._asked: set[tuple[Path, str]] = set()
        self.is_waiting = False

    def begin_look(self) -> None:
        """Begin a look; what the look before did not meet is forgotten."""
        self._seen = {place: seen for place, seen in self._seen.items() if place in self._asked}
        self._asked.clear()
        self.is_waiting = False

    def __call__(self, root: Path, item: Item) -> bool:
        """Tell whether a file of an archive folder is complete."""
        names = item.path.lower().split("/")
        if names[-1].endswith(IN_TRANSFER) or any(name.startswith(".") for name in names):
            return False
        place = root, item.path
        self._asked.add(place)
        version, since = self._seen.get(place, ("", 0.0))
        if version != item.version:
            since = time.monotonic()
            self._seen[place] = item.version, since
        is_complete = time.monotonic() - since >= self.settle_s
        self.is_waiting = self.is_waiting or not is_complete
        return is_complete


@dataclass(slots=True, kw_only=True)
class Watch:
    """Landing folders under watch.

    Attributes
    ----------
    request : RunRequest
        What to run when something complete is new; its archives are the landing folders.
    progress : Progress
    run : callable
        Runs a request, as :func:`medpipe.app.run.run_archive`.
    say : callable
        Told one line by each look that did something.
    settling : Settling
        Tells which files are complete.
    every_s : float
        Seconds between looks.
    """

    request: RunRequest
    progress: Progress
    run: Callable[[RunRequest, Progress], RunReport]
    say: Callable[[str], None]
    settling: Settling
    every_s: float
    is_due: bool = True
    _held_files: set[Path] = field(default_factory=set)
    _stopped: str = ""

    def looks(self, times: int | None) -> bool:
        """Look so many times, or until interrupted; tell whether the last look came through.

        A look that stops (an archive that is away, a full disk, another driver at work) says
        so, and the next one tries again.

        Raises
        ------
        ConfigError, LakeError, SecurityError
            If something asked for cannot be used.
        IntegrityError
            If stored bytes are not what they should be.
        """
        done = 0
        while True:
            self.settling.begin_look()
            pause_s = self._look()
            done += 1
            if times is not None and done >= times:
                return not self._stopped
            time.sleep(pause_s)

    def _look(self) -> float:
        """Look once; return the seconds until the next look."""
        archives = self._archives()
        if not archives:
            return self.every_s
        try:
            scanned = self._scan(archives)
            if self.is_due and scanned.files:
                request = replace(self.request, archives=tuple(archives), settled=self.settling)
                self.say(_line(scanned, self.run(request, self.progress)))
                self.is_due = False
        except SignalledError:
            raise
        except StoppedError as error:
            if str(error) != self._stopped:
                self.say(f"stopped: {error}")
            self._stopped = str(error)
            return self.every_s
        self._stopped = ""
        return min(self.every_s, self.settling.settle_s) if self.settling.is_waiting else self.every_s

    def _archives(self) -> list[Path]:
        """Return the folders to scan: an empty one that never held a file is not asked for any yet."""
        for archive in self.request.archives:
            if archive not in self._held_files and (not archive.exists() or any(source_at(archive).scan())):
                self._held_files.add(archive)
        return [archive for archive in self.request.archives if archive in self._held_files]

    def _scan(self, archives: Sequence[Path]) -> ScanReport:
        scanned = scan_archives(
            archives,
            self.request.lake,
            self.request.site,
            self.progress,
            accept_deletions=self.request.accept_deletions,
            settled=self.settling,
        )
        self.is_due = self.is_due or scanned.changed
        return scanned


def _line(scanned: ScanReport, ran: RunReport) -> str:
    waiting = f", {scanned.deferred} not complete yet" if scanned.deferred else ""
    gone = f", {scanned.deleted} gone" if scanned.deleted else ""
    proposed = f", {scanned.proposed_deletions} gone but kept" if scanned.proposed_deletions else ""
    return f"{scanned.read} files read{waiting}{gone}{proposed}: {ran.executed} of {ran.planned} cases run"
