"""The scan of one source: list, compare, read what is new, bring the index up to date."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from medpipe.app.archives import empty_archive, missing_archive
from medpipe.app.away import not_mounted, path_token
from medpipe.app.collecting import seldom_collected
from medpipe.app.content import BURY, REMOVE, REVIVE, Edit
from medpipe.app.deletions import Deletions
from medpipe.app.indexing import Indexer, bits_of
from medpipe.app.listing import CLOSED, GONE, Change, Comparison, Entry, FileList, Settled, is_closed
from medpipe.app.pending import Pending
from medpipe.app.progress import Progress
from medpipe.app.putting import Putting
from medpipe.app.reading import HEADERS_VERSION, Reader
from medpipe.app.refused import AGAIN, Retrying
from medpipe.app.rows import Naming
from medpipe.app.scan_state import Chunk, SourceState, blob_prefix, known_states, remove_garbage
from medpipe.app.site import Site
from medpipe.app.unpacking import Unpacking
from medpipe.archive.header import Header
from medpipe.archive.other.cases import ListedSource, source_at
from medpipe.archive.other.identity import Identity
from medpipe.archive.source import FolderSource
from medpipe.contracts.protocols import Item
from medpipe.keys import digest
from medpipe.lake.index import point_to
from medpipe.lake.lake import Lake
from medpipe.lake.records import Records
from medpipe.lake.sealed_spool import SealedSpool
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.ranges import Range, range_of

SPOOL_BYTES = 32 << 20
"""Bytes of each spool held in memory before they are put aside."""

_LEAST_EDIT_BITS = 9
_CONTENT_DIGITS = 16
_KEY_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the scan of a source found.

    Attributes
    ----------
    state : SourceState
        Of the source now.
    read : int
        Files whose headers were read.
    deleted, proposed, moved, unreachable, deferred : int
        Files taken out; gone but kept until that is accepted; found under another name; below
        folders that could not be listed; not complete yet.
    away : set of int
        Tokens of the files that are gone and kept, see :func:`medpipe.app.away.path_token`.
    changed : bool
        Whether the index is another one.
    """

    state: SourceState
    read: int
    deleted: int
    proposed: int
    moved: int
    unreachable: int
    deferred: int
    away: set[int]
    changed: bool


class Resolved(NamedTuple):
    """What becomes of a file of the list: what is there now, or what is gone."""

    fresh: Entry | None
    gone: Entry | None


class _Spools(NamedTuple):
    """What a scan puts aside: how files differ, what the list becomes, what changes in which range."""

    changes: Records[Change]
    resolved: Records[Resolved]
    edits: SealedSpool


@dataclass(slots=True, kw_only=True)
class SourceScan:
    """The scan of one archive folder; the caller is the lake's driver.

    Attributes
    ----------
    lake : Lake
    pseudonyms : Pseudonyms
    root : Path
    site : Site
    progress : Progress
    accept_deletions : bool
        Take files out of the index although many are gone at once.
    settled : callable or None
        Tells of the folder and a new or changed file whether that is complete.
    retrying : Retrying
        When what was refused is read again.
    read, files : int
        Headers read; files that are not gone. Counted on the way.
    comparison : Comparison
        Of the listing with the list.
    away : set of int
        Tokens of the files that are gone and kept.
    """

    lake: Lake
    pseudonyms: Pseudonyms
    root: Path
    site: Site
    progress: Progress
    accept_deletions: bool
    settled: Settled | None
    retrying: Retrying = field(default_factory=Retrying)
    read: int = 0
    files: int = 0
    comparison: Comparison = field(default_factory=Comparison)
    away: set[int] = field(default_factory=set)
    _source: FolderSource | ListedSource = field(init=False)

    def run(self) -> Found:
        """Bring the index of the source up to date.

        Raises
        ------
        ConfigError
            If the archive holds no file and never did.
        StoppedError
            If it cannot be listed, or is empty or away although it was not before.
        """
        before = self._before()
        if not self.root.exists():
            self._refuse_missing(before)
        self._source = source_at(self.root)
        self.comparison = Comparison(
            retrying=self.retrying,
            settled=None if self.settled is None else partial(self.settled, self.root),
            read_all=before.reader != HEADERS_VERSION or before.layout != self._layout,
        )
        self.files = before.files
        with self.lake.store.attempt("scan") as folder, self._reader(before) as reader, seldom_collected():
            changes, resolved, edits = (
                SealedSpool(self.lake.private, folder / name, limit_bytes=SPOOL_BYTES) for name in _Spools._fields
            )
            spools = _Spools(Records(changes, Change), Records(resolved, Resolved), edits)
            self._compare(before, spools)
            # how many members archive files have shows only when these are read
            fine = max(bits_of(before, self.comparison.listed), _LEAST_EDIT_BITS)
            deletions = self._read(before, reader, spools, fine)
            chunks = self._list(before, spools, deletions, fine)
            state = self._index(before, reader, spools, chunks, fine, are_proposed=deletions.are_proposed)
        self._tell(before, deletions)
        return Found(
            state=state,
            read=self.read,
            deleted=0 if deletions.are_proposed else deletions.count,
            proposed=deletions.count if deletions.are_proposed else 0,
            moved=deletions.moved,
            unreachable=self.comparison.unreachable,
            deferred=self.comparison.deferred,
            away=self.away,
            changed=state.generation != before.generation,
        )

    def _before(self) -> SourceState:
        source = source_id(self.pseudonyms, self.root)
        found = SourceState.load(self.lake, source)
        if found is not None:
            return found
        order = 1 + max((one.order for one in known_states(self.lake)), default=0)
        return SourceState(source=source, root=os.fspath(self.root), order=order)

    @property
    def _layout(self) -> str:
        """A digest of the rules for files that are not DICOM, or nothing without any."""
        tables = [[rule.model_dump() for rule in rules] for rules in (self.site.masks, self.site.modalities)]
        return digest(tables)[:16] if any(tables) else ""

    def _reader(self, before: SourceState) -> Reader:
        roles = self._source.read().roles if isinstance(self._source, ListedSource) else {}
        identity = Identity(
            source=before.source, rules=self.site.mask_rules(), modalities=self.site.modality_rules(), roles=roles
        )
        return Reader(self.root, self.site, identity)

    # what is there ------------------------------------------------------------------------------

    def _compare(self, before: SourceState, spools: _Spools) -> None:
        known = FileList(self.lake.private, "", before.chunks).entries()
        items = self._source.scan()
        for change in self.comparison.changes(items, known):
            spools.changes.add(change)
        if self.comparison.listed:
            return
        if before.files:
            raise not_mounted(self.root, "empty", before.files)
        raise empty_archive(self.root)

    def _refuse_missing(self, before: SourceState) -> None:
        if before.files:
            raise not_mounted(self.root, "away", before.files)
        raise missing_archive(self.root)

    # what is new --------------------------------------------------------------------------------

    def _read(self, before: SourceState, reader: Reader, spools: _Spools, bits: int) -> Deletions:
        naming = self._naming(before)
        deletions = Deletions(share=self.site.deletions_share, known=before.known, accepted=self.accept_deletions)
        self.progress.stage("scan", self.comparison.fresh)
        reader.expect(self.comparison.fresh)
        unpacking = Unpacking(
            reader=reader, pending=Pending(self.lake.private, before.source), comparison=self.comparison
        )
        putting, place, number = Putting(spools.edits), "", 0
        taken = unpacking.take(spools.changes.read(), spools.changes.read())
        for (item, old, is_late, _), header, has_lost in taken:
            if item is None or header is None:
                is_kept = is_late or (old is not None and self.comparison.may_be_renamed(old))
                if not is_kept:
                    spools.resolved.add(Resolved(None, old))
                elif self.comparison.read_all:
                    spools.resolved.add(Resolved(_again(old), None))
                continue
            entry = self._entry(naming, item, header, has_lost=has_lost)
            self.read += item.problem is None
            self.files += old is None or old.note == GONE
            if old is not None:
                kind = REVIVE if old.note == GONE else REMOVE
                spools.edits.add(range_of(old.key, bits).number, Edit(kind, old.path).to_line())
            if entry.key != place:
                place, number = entry.key, range_of(entry.key, bits).number
            putting.put(number, header)
            deletions.saw(entry.content)
            spools.resolved.add(Resolved(entry, None))
            self.progress.advance()
        putting.close()
        deletions.decide(gone for _, gone in spools.resolved.read() if gone is not None and gone.note != CLOSED)
        return deletions

    # the list of files, without what is gone ----------------------------------------------------

    def _list(self, before: SourceState, spools: _Spools, deletions: Deletions, bits: int) -> tuple[Chunk, ...]:
        files = FileList(self.lake.private, blob_prefix(before.source, "files"), before.chunks)

        def changes() -> Iterator[tuple[str, Entry | None]]:
            for fresh, gone in spools.resolved.read():
                if fresh is not None:
                    yield fresh.path, fresh
                elif gone is not None:
                    is_dropped = gone.note == CLOSED or deletions.was_moved(gone)
                    if deletions.are_proposed and not is_dropped:
                        self.away.add(path_token(gone.path))
                        if self.comparison.read_all:
                            yield gone.path, _again(gone)
                        continue
                    self.files -= 1
                    kind = REMOVE if is_dropped else BURY
                    spools.edits.add(range_of(gone.key, bits).number, Edit(kind, gone.path).to_line())
                    yield gone.path, None if is_dropped else gone._replace(note=GONE)

        return files.changed(changes())

    def _index(
        self,
        before: SourceState,
        reader: Reader,
        spools: _Spools,
        chunks: tuple[Chunk, ...],
        fine: int,
        *,
        are_proposed: bool,
    ) -> SourceState:
        indexer = Indexer(
            lake=self.lake,
            naming=self._naming(before),
            before=before,
            reader=reader,
            retrying=self.retrying,
            on_range=self.progress.advance,
        )
        bits = min(bits_of(before, self.comparison.listed), fine)
        numbers = indexer.numbers(bits, {number >> (fine - bits) for number in spools.edits.numbers()})
        asked_of = before.known if are_proposed else 0
        is_same = not numbers and before.asked_of == asked_of
        if is_same or not (before.generation or self.files):
            if before.generation:
                # what a kill after the last change left undone
                point_to(self.lake, before.source, before.generation)
                remove_garbage(self.lake, before)
            return before
        self.progress.stage("index", len(numbers))

        def edits(number: int) -> Iterator[bytes]:
            return chain.from_iterable(map(spools.edits.take, Range(bits, number).cut(fine)))

        return indexer.advance(
            bits,
            numbers,
            edits,
            chunks=chunks,
            files=self.files,
            asked_of=asked_of,
            headers_version=HEADERS_VERSION,
            layout=self._layout,
        )

    def _entry(self, naming: Naming, item: Item, header: Header, *, has_lost: bool) -> Entry:
        note = CLOSED if is_closed(item) else AGAIN if has_lost else self.retrying.note(header.code)
        key, content = naming.place(header)[:_KEY_DIGITS], header.head_digest[:_CONTENT_DIGITS]
        return Entry(item.path, item.version, key, content, note)

    def _naming(self, before: SourceState) -> Naming:
        return naming_of(self.lake, self.pseudonyms, before.source)

    def _tell(self, before: SourceState, deletions: Deletions) -> None:
        if deletions.are_proposed:
            share = 100 * deletions.count / max(1, before.files)
            self.progress.say(
                f"archive {self.root}: {deletions.count} of {before.files} known files are gone ({share:.1f} %): "
                "the index keeps them as they were; --accept-deletions takes them out"
            )


def source_id(pseudonyms: Pseudonyms, root: Path) -> str:
    """Return the id of an archive folder."""
    return pseudonyms.key("source", os.fspath(root))[:16]


def naming_of(lake: Lake, pseudonyms: Pseudonyms, source: str) -> Naming:
    """Return what names the files of a source in a lake."""
    return Naming(source=source, pseudonyms=pseudonyms, identified=lake.privacy == "identified")


def _again(entry: Entry | None) -> Entry | None:
    return None if entry is None else entry._replace(note=AGAIN)
