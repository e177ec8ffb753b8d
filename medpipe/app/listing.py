"""The list of files a source had, held against what it has now.

Both come in one order, so that they are merged without holding either: a million files that
did not change cost their listing and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from medpipe.app.refused import Retrying
from medpipe.app.scan_state import Chunk
from medpipe.archive.encoding import path_order
from medpipe.contracts.protocols import Item
from medpipe.lake.private import Private

CHUNK_ENTRIES = 50_000

GONE = "gone"
"""Note of a file that was taken out of the index."""

CLOSED = "closed"
"""Note of a folder that could not be listed."""

Settled = Callable[[Path, Item], bool]
"""Tells of an archive's folder and a new or changed file in it whether that is complete; one that is not is left for
another scan."""


class Entry(NamedTuple):
    """A file of the list: which version was read, where its header is, what it held."""

    path: str
    version: str
    key: str
    content: str
    note: str

    @property
    def is_held(self) -> bool:
        """Whether it is a file the index has."""
        return self.note not in {GONE, CLOSED}


_ENTRIES: Final = msgspec.json.Decoder(list[Entry])


class Change(NamedTuple):
    """A file that is not as the list has it.

    Attributes
    ----------
    item : Item or None
        What is there now; None for a file that is gone.
    entry : Entry or None
        What the list has; None for a new file.
    is_late : bool
        Nothing is known to have changed, but the file should have been read and could not be.
    is_inner : bool
        The list has it below a file that is new or changed: it may be a member of that still.
    """

    item: Item | None
    entry: Entry | None
    is_late: bool = False
    is_inner: bool = False


@dataclass(slots=True)
class Comparison:
    """How a listing differs from the list, counted while it is gone through.

    Attributes
    ----------
    retrying : Retrying
        When a file is read again that was refused.
    settled : callable or None
        Tells of an item that is new or changed whether it is complete.
    read_all : bool
        Take every file for a changed one.
    has_members : bool
        Whether what the list has below a file is a member of it; members have none.
    listed : int
        Entries found.
    fresh : int
        New or changed ones.
    gone : int
        Files of the list that are not there.
    unreachable : int
        Files of the list that could not be looked at, or lie below a folder that could not be
        listed: nobody knows, so they stay.
    deferred : int
        New or changed ones that are not complete yet.
    """

    retrying: Retrying = field(default_factory=Retrying)
    settled: Callable[[Item], bool] | None = None
    read_all: bool = False
    has_members: bool = True
    listed: int = 0
    fresh: int = 0
    gone: int = 0
    unreachable: int = 0
    deferred: int = 0
    _closed: bytes | None = None
    _file: bytes | None = None
    _file_state: Literal["same", "changed", "deferred"] = "same"
    _deferred_sizes: set[int] = field(default_factory=set)

    def changes(self, items: Iterable[Item], known: Iterator[Entry]) -> Iterator[Change]:
        """Yield what differs, in order.

        Parameters
        ----------
        items : iterable of Item
            The listing.
        known : iterator of Entry
            The list.
        """
        entry = next(known, None)
        order = b"" if entry is None else path_order(entry.path)
        for item in items:
            self.listed += 1
            place = path_order(item.path)
            while entry is not None and order < place:
                yield from self._missing(entry, order)
                entry = next(known, None)
                order = b"" if entry is None else path_order(entry.path)
            if is_closed(item):
                self._closed = place + b"\0"
            elif self.has_members:
                self._file, self._file_state = place + b"\0", "same"
            if entry is None or order != place:
                yield from self._found(item, None)
                continue
            if is_closed(item) and entry.is_held:
                # it may be what it was, and what is known of it is more than that it is there
                self.unreachable += 1
                yield from self._late(entry)
            elif self.read_all or entry.version != item.version or self.retrying.is_noted(entry.note):
                yield from self._found(item, entry)
            entry = next(known, None)
            order = b"" if entry is None else path_order(entry.path)
        for rest in chain(() if entry is None else (entry,), known):
            yield from self._missing(rest, path_order(rest.path))

    def may_be_renamed(self, gone: Entry) -> bool:
        """Tell whether a file that is gone may be there under another name, in a file that is not complete yet.

        Nobody has read that one, but a renamed file is as long as it was. Known once all changes
        were taken.
        """
        size, _, _ = gone.version.partition("-")
        return gone.is_held and size.isdecimal() and int(size) in self._deferred_sizes

    def _found(self, item: Item, entry: Entry | None) -> Iterator[Change]:
        if self.settled is not None and item.problem is None and not self.settled(item):
            self.deferred += 1
            self._deferred_sizes.add(item.size)
            self._file_state = "deferred"
            yield from self._late(entry)
            return
        self.fresh += 1
        self._file_state = "changed"
        yield Change(item, entry)

    def _member(self, entry: Entry) -> Iterator[Change]:
        """Yield what becomes of a member of the file that was listed last; only what that holds now tells."""
        if self._file_state == "changed":
            yield Change(None, entry, is_inner=True)
        elif entry.is_held:
            self.listed += 1
            if self._file_state == "same" and self.retrying.is_noted(entry.note):
                self.fresh += 1
                size, _, _ = entry.version.partition("-")
                yield Change(Item(path=entry.path, size=int(size), version=entry.version), entry)
            else:
                yield from self._late(entry)

    def _missing(self, entry: Entry, order: bytes) -> Iterator[Change]:
        if self._file is not None and order.startswith(self._file):
            yield from self._member(entry)
            return
        if entry.note == GONE:
            return
        if self._closed is not None and order.startswith(self._closed):
            self.unreachable += 1
            yield from self._late(entry)
            return
        self.gone += entry.note != CLOSED
        yield Change(None, entry)

    def _late(self, entry: Entry | None) -> Iterator[Change]:
        if self.read_all and entry is not None and entry.is_held:
            yield Change(None, entry, is_late=True)


def is_closed(item: Item) -> bool:
    """Tell whether an item is a folder that could not be listed, or a name that could not be looked at."""
    return item.problem == "E_UNREADABLE" and not item.version


class FileList:
    """The list of files in sealed chunks.

    Parameters
    ----------
    private : Private
    prefix : str
        First part of the chunks' names.
    chunks : sequence of Chunk
    """

    def __init__(self, private: Private, prefix: str, chunks: Sequence[Chunk]) -> None:
        self._private = private
        self._prefix = prefix
        self.chunks = tuple(chunks)

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in order."""
        for chunk in self.chunks:
            yield from self._read(chunk)

    def changed(self, entries: Iterable[tuple[str, Entry | None]]) -> tuple[Chunk, ...]:
        """Write a list with other entries and return its chunks; those without changes are kept.

        Parameters
        ----------
        entries : iterable of (str, Entry or None)
            By path, in order; None takes a path out.
        """
        coming = _Coming(entries)
        chunks: list[Chunk] = []
        for place in range(max(1, len(self.chunks))):
            here = self.chunks[place : place + 1]
            after = self.chunks[place + 1 : place + 2]
            end = path_order(after[0].first) if after else None
            if not coming.has_before(end):
                chunks.extend(here)
                continue
            old = (entry for chunk in here for entry in self._read(chunk))
            chunks.extend(self._written(_merged(old, coming.before(end))))
        return tuple(chunks)

    def _read(self, chunk: Chunk) -> Iterator[Entry]:
        return iter(_ENTRIES.decode(self._private.need(chunk.blob)))

    def _written(self, entries: Iterable[Entry]) -> Iterator[Chunk]:
        # twice the size before a chunk is cut, so that growing does not cut it again and again
        held: list[Entry] = []
        for entry in entries:
            held.append(entry)
            if len(held) > 2 * CHUNK_ENTRIES:
                yield self._put(held[:CHUNK_ENTRIES])
                held = held[CHUNK_ENTRIES:]
        if held:
            yield self._put(held)

    def _put(self, entries: Sequence[Entry]) -> Chunk:
        blob = self._private.put_content(self._prefix, msgspec.json.encode(entries))
        return Chunk(blob, entries[0].path)


class _Coming:
    """Changes that are taken up to an end, and again from there."""

    def __init__(self, changes: Iterable[tuple[str, Entry | None]]) -> None:
        self._rest = iter(changes)
        self._head = next(self._rest, None)

    def has_before(self, end: bytes | None) -> bool:
        return self._head is not None and (end is None or path_order(self._head[0]) < end)

    def before(self, end: bytes | None) -> Iterator[tuple[str, Entry | None]]:
        while self._head is not None and self.has_before(end):
            head, self._head = self._head, next(self._rest, None)
            yield head


def _merged(old: Iterable[Entry], changes: Iterable[tuple[str, Entry | None]]) -> Iterator[Entry]:
    waiting = iter(old)
    entry = next(waiting, None)
    for path, new in changes:
        place = path_order(path)
        while entry is not None and path_order(entry.path) < place:
            yield entry
            entry = next(waiting, None)
        if entry is not None and entry.path == path:
            entry = next(waiting, None)
        if new is not None:
            yield new
    if entry is not None:
        yield entry
    yield from waiting
