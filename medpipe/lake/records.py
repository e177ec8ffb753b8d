"""Records of one kind in a spool, many to a line: a line for each would cost more than the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from medpipe.lake.sealed_spool import SealedSpool

_TO_A_LINE = 256

Record = TypeVar("Record")


class Records(Generic[Record]):
    """Records, read back in the order they came, as often as wanted.

    Parameters
    ----------
    spool : SealedSpool
        Of its own.
    kind : type
        What JSON becomes when it is read.
    """

    def __init__(self, spool: SealedSpool, kind: type[Record]) -> None:
        self._spool = spool
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]  # a type given at run time
        self._held: list[Record] = []

    def add(self, record: Record) -> None:
        """Take a record.

        Raises
        ------
        StoppedError
            If the disk is full.
        """
        self._held.append(record)
        if len(self._held) == _TO_A_LINE:
            self._put()

    def read(self) -> Iterator[Record]:
        """Yield the records; none may be added meanwhile."""
        if self._held:
            self._put()
        for line in self._spool.read(0):
            yield from self._decoder.decode(line)

    def _put(self) -> None:
        self._spool.add(0, self._encoder.encode(self._held))
        self._held = []
