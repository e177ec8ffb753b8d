"""Headers that a scan has read so far: one that is killed costs the next only what was in flight."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from medpipe.app.reading import HEADERS_VERSION
from medpipe.app.scan_state import blob_prefix
from medpipe.archive.alike import LIKE_DIGITS, Lines, common_line_of, line_of
from medpipe.archive.encoding import path_order
from medpipe.archive.header import Header
from medpipe.contracts.protocols import Item
from medpipe.lake.private import Private

PIECE_HEADERS = 4096
"""Headers in a sealed piece; a scan that reads fewer leaves none."""

_VERSION: Final = 2
"""Raised when pieces are written otherwise: those that were left are read again from the files."""


class Pending:
    """Sealed pieces of headers in the order of paths, of this scan and of those that were killed.

    Any scan that comes to its end removes them.

    Parameters
    ----------
    private : Private
    source : str
        Id of the source.
    """

    def __init__(self, private: Private, source: str) -> None:
        self._private = private
        self._prefix = f"{blob_prefix(source, 'pending')}/{HEADERS_VERSION}.{_VERSION}"
        self._earlier: defaultdict[str, list[str]] = defaultdict(list)
        for name in private.names(f"{self._prefix}-"):
            self._earlier[name.split("-")[1]].append(name)
        self._attempt = max((int(attempt) for attempt in self._earlier), default=0) + 1
        self._held: list[Header] = []
        self._pieces = 0

    def beside(self, items: Iterable[Item]) -> Iterator[tuple[Item, Header | None]]:
        """Yield items, which come in order, each with its header if it was read at this version before."""
        earlier = self.earlier()
        for item in items:
            yield item, earlier.find(item)

    def earlier(self) -> Earlier:
        """Return what was read before, to be gone through once."""
        return Earlier(heapq.merge(*(self._headers(names) for names in self._earlier.values()), key=_order))

    def add(self, header: Header) -> None:
        """Keep a header, once it has company."""
        self._held.append(header)
        if len(self._held) >= PIECE_HEADERS:
            name = f"{self._prefix}-{self._attempt:05d}-{self._pieces:07d}"
            self._private.put(name, _piece_of(self._held))
            self._pieces += 1
            self._held = []

    def _headers(self, names: Sequence[str]) -> Iterator[Header]:
        for name in names:
            yield from _headers_in(self._private.get(name))


def _piece_of(headers: Sequence[Header]) -> bytes:
    """Return headers as lines; what some have in common comes before them."""
    firsts = {header.like: header for header in headers if header.like}
    commons = [like.encode() + common_line_of(header) for like, header in firsts.items()]
    return b"\n".join([str(len(commons)).encode(), *commons, *map(line_of, headers)])


def _headers_in(piece: bytes) -> Iterator[Header]:
    count, *lines = piece.split(b"\n")
    commons = {line[:LIKE_DIGITS].decode(): line[LIKE_DIGITS:] for line in lines[: int(count)]}
    return map(Lines(commons).header, lines[int(count) :])


class Earlier:
    """Headers that were read before, asked for in the order of paths."""

    def __init__(self, headers: Iterator[Header]) -> None:
        self._rest = headers
        self._head = next(headers, None)

    def find(self, item: Item) -> Header | None:
        """Return the header of an item, if it was read at this version."""
        place = path_order(item.path)
        found = None
        while self._head is not None and _order(self._head) <= place:
            if _is_of(self._head, item):
                found = self._head
            self._head = next(self._rest, None)
        return found


def _is_of(header: Header, item: Item) -> bool:
    return (header.path, header.version, header.size) == (item.path, item.version, item.size)


def _order(header: Header) -> bytes:
    return path_order(header.path)
