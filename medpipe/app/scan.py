"""``medpipe scan``: every file gets one row; series become stacks, stacks become volumes.

Only what is new or changed is read again, and only the ranges of keys it touches are made
anew. Headers are parsed in sandboxes, in batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.app.archives import check_archives, check_known
from medpipe.app.forget import remove_leftovers
from medpipe.app.indexing import Indexer
from medpipe.app.lakes import open_or_create
from medpipe.app.listing import Settled
from medpipe.app.progress import Progress
from medpipe.app.reading import Reader
from medpipe.app.refused import Retrying
from medpipe.app.scan_state import known_states, refuse_lacking, whole_generation
from medpipe.app.scanning import Found, SourceScan, naming_of
from medpipe.app.site import Site
from medpipe.lake.lake import Lake
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import Secret


@dataclass(slots=True, kw_only=True)
class ScanReport:
    """What a scan found, over all archives given.

    Attributes
    ----------
    files : int
        Files the index has.
    read : int
        New or changed ones, whose headers were read.
    outcomes, kinds : Counter
        Files by outcome, stacks by kind.
    refused : int
        Stacks no volume can be made of.
    deleted, proposed_deletions, moved, unreachable, deferred : int
        Files taken out; gone but kept until ``--accept-deletions``; found under another name;
        below folders that could not be listed; not complete yet.
    away : dict of str to set of int
        By folder of each archive, tokens of the files that are gone and kept.
    changed : bool
        Whether the index is another one than before.
    """

    files: int = 0
    read: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    deleted: int = 0
    proposed_deletions: int = 0
    moved: int = 0
    unreachable: int = 0
    deferred: int = 0
    away: dict[str, set[int]] = field(default_factory=dict)
    changed: bool = False

    def add(self, found: Found) -> None:
        """Count the scan of a source."""
        outcomes, kinds, refused = found.state.counts()
        self.files += found.state.files
        self.read += found.read
        self.outcomes.update(outcomes)
        self.kinds.update(kinds)
        self.refused += refused
        self.deleted += found.deleted
        self.proposed_deletions += found.proposed
        self.moved += found.moved
        self.unreachable += found.unreachable
        self.deferred += found.deferred
        self.away[found.state.root] = found.away
        self.changed |= found.changed

    def facts(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "files": self.files,
            "read (new or changed)": self.read,
            "outcomes": dict(sorted(self.outcomes.items())),
            "stacks": dict(sorted(self.kinds.items())),
            "refused stacks": self.refused,
            "deleted": self.deleted,
            "proposed deletions": self.proposed_deletions,
            "moved": self.moved,
            "unreachable": self.unreachable,
            "deferred": self.deferred,
        }


def scan_archives(
    archives: Sequence[Path],
    root: Path,
    site: Site,
    progress: Progress,
    *,
    accept_deletions: bool = False,
    settled: Settled | None = None,
) -> ScanReport:
    """Index archives into a lake, made if it does not exist.

    Parameters
    ----------
    archives : sequence of Path
    root : Path
        Folder of the lake.
    site : Site
    progress : Progress
    accept_deletions : bool
        Take files out of the index although many are gone at once; see
        :class:`medpipe.app.deletions.Deletions`.
    settled : callable, optional
        Tells of an archive's folder and a new or changed file in it whether that is complete;
        one that is not is left out.

    Raises
    ------
    ConfigError
        If an archive is no folder, holds no file, or overlaps the lake or another archive.
    StoppedError
        If an archive cannot be listed, or is empty or away although it was not before.
    """
    check_archives(archives, root)
    lake, secret = open_or_create(root, site, progress)
    with lake.driver():
        return scan_into(lake, secret, archives, site, progress, accept_deletions=accept_deletions, settled=settled)


def scan_into(
    lake: Lake,
    secret: Secret,
    archives: Sequence[Path],
    site: Site,
    progress: Progress,
    *,
    accept_deletions: bool = False,
    settled: Settled | None = None,
    retry: tuple[str, ...] = (),
) -> ScanReport:
    """Index archives into an open lake whose driver the caller is.

    What was refused with a code of `retry` is read again; what limits, codecs or medpipe's
    version had a part in is read again anyway, once under others.
    """
    pseudonyms = Pseudonyms(secret)
    check_known(archives, _known_roots(lake), progress.say)
    restore_index(lake, pseudonyms, site, progress)
    report = ScanReport()
    retrying = Retrying.of(site, retry)
    for archive in archives:
        scan = SourceScan(
            lake=lake,
            pseudonyms=pseudonyms,
            root=archive.resolve(),
            site=site,
            progress=progress,
            accept_deletions=accept_deletions,
            settled=settled,
            retrying=retrying,
        )
        report.add(scan.run())
    return report


def _known_roots(lake: Lake) -> set[Path]:
    return {Path(state.root) for state in known_states(lake)}


def restore_index(lake: Lake, pseudonyms: Pseudonyms, site: Site, progress: Progress) -> int:
    """Make the index of every source again that lacks a file; return of how many.

    It is made of what is sealed, without a look into the archives, and comes back the same. An
    index of which nothing is sealed goes. The caller is the lake's driver.

    Raises
    ------
    IntegrityError
        If of what is sealed something is missing.
    """
    restored = 0
    remove_leftovers(lake)
    for state in known_states(lake):
        refuse_lacking(lake, state)
        if whole_generation(lake, state) is not None:
            continue
        restored += 1
        progress.stage("index", 1 << state.bits)
        with Reader(Path(state.root), site) as reader:
            indexer = Indexer(
                lake=lake,
                naming=naming_of(lake, pseudonyms, state.source),
                before=state,
                reader=reader,
                retrying=Retrying(),
                on_range=progress.advance,
            )
            numbers = indexer.numbers(state.bits, ())
            indexer.advance(
                state.bits,
                numbers,
                lambda _number: iter(()),
                chunks=state.chunks,
                files=state.files,
                asked_of=state.asked_of,
                headers_version=state.reader,
                layout=state.layout,
            )
    return restored
