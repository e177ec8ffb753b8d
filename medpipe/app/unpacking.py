"""Changes of a listing with their headers; where a file is an archive file, those of its members after its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from medpipe.app.listing import Change, Comparison, Entry
from medpipe.app.pending import Earlier, Pending
from medpipe.app.reading import Reader
from medpipe.app.refused import CONDITIONAL, PASSING
from medpipe.archive.header import Header

_MAY_HAVE_MEMBERS = (PASSING | CONDITIONAL) - {"E_TOO_LARGE", "E_UNSUPPORTED_TS", "S_DICOMDIR_LACKS"}
"""Codes that leave open what a file holds that was an archive file before."""

_MAY_PASS = PASSING | CONDITIONAL


class Taken(NamedTuple):
    """A change, and the header of what is there now.

    Attributes
    ----------
    change : Change
    header : Header or None
    has_lost : bool
        The list has members of the file that are not there: as long as they are kept, it is listed again.
    """

    change: Change
    header: Header | None = None
    has_lost: bool = False


@dataclass(slots=True, kw_only=True)
class Unpacking:
    """Reads what is new or changed, in the order of paths.

    Attributes
    ----------
    reader : Reader
    pending : Pending
        Given every header that was read, unless that may pass.
    comparison : Comparison
        Of the listing; told what comparing members adds to it.
    """

    reader: Reader
    pending: Pending
    comparison: Comparison

    def take(self, changes: Iterable[Change], ahead: Iterable[Change]) -> Iterator[Taken]:
        """Yield the changes.

        Parameters
        ----------
        changes, ahead : iterable of Change
            The same changes twice: headers are asked for ahead of the others.
        """
        fresh = (change.item for change in ahead if change.item is not None)
        headers = self.reader.headers(self.pending.beside(fresh))
        of_members = self.pending.earlier()
        for change, inner in _with_inner(changes):
            if change.item is None:
                yield Taken(change)
                continue
            header = next(headers)
            self._keep(header)
            if header.code == "S_ARCHIVE":
                yield from self._members(change, header, inner, of_members)
                continue
            held = [entry for entry in inner if entry.is_held]
            yield Taken(change, header, has_lost=bool(held))
            if held:
                yield from self._former(held, header.code)

    def _members(self, change: Change, header: Header, known: Sequence[Entry], earlier: Earlier) -> Iterator[Taken]:
        items, code = self.reader.members(header.path)
        header = replace(header, code=code) if code else header
        if code in _MAY_HAVE_MEMBERS:
            yield Taken(change, header)
            yield from self._former([entry for entry in known if entry.is_held], code)
            return
        within = Comparison(retrying=self.comparison.retrying, read_all=self.comparison.read_all, has_members=False)
        changes = list(within.changes(items, iter(known)))
        yield Taken(change, header, has_lost=within.gone > 0)
        self.comparison.listed += within.listed
        self.comparison.fresh += within.fresh
        self.comparison.gone += within.gone
        headers = self.reader.headers((one.item, earlier.find(one.item)) for one in changes if one.item is not None)
        for one in changes:
            if one.item is None:
                yield Taken(one)
                continue
            found = next(headers)
            self._keep(found)
            yield Taken(one, found)

    def _former(self, known: Sequence[Entry], code: str) -> Iterator[Taken]:
        """Yield what becomes of the members of a file that could not be read, or is no archive file now."""
        if code not in _MAY_HAVE_MEMBERS:
            self.comparison.gone += len(known)
            yield from (Taken(Change(None, entry)) for entry in known)
            return
        self.comparison.unreachable += len(known)
        if self.comparison.read_all:
            yield from (Taken(Change(None, entry, is_late=True)) for entry in known)

    def _keep(self, header: Header) -> None:
        if header.code not in _MAY_PASS:
            self.pending.add(header)


def _with_inner(changes: Iterable[Change]) -> Iterator[tuple[Change, list[Entry]]]:
    """Yield each change with what the list has below that file, if it may be members of it."""
    waiting: Change | None = None
    inner: list[Entry] = []
    for change in changes:
        if change.is_inner:
            assert change.entry is not None, "it is known by its entry"
            inner.append(change.entry)
            continue
        if waiting is not None:
            yield waiting, inner
        waiting, inner = change, []
    if waiting is not None:
        yield waiting, inner
