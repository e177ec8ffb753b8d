"""Headers that were read, on their way into the ranges of an index: slices that are alike go together."""

from __future__ import annotations

from medpipe.app.content import PUT, PUT_ALIKE, Edit, unit_of
from medpipe.archive.alike import common_line_of, own_line, own_of
from medpipe.archive.header import Header
from medpipe.lake.sealed_spool import SealedSpool

_TOGETHER = 256


class Putting:
    """Puts headers into ranges as edits; whoever reads these closes it first.

    Parameters
    ----------
    edits : SealedSpool
        Edits by the numbers of ranges.
    """

    def __init__(self, edits: SealedSpool) -> None:
        self._edits = edits
        self._number = 0
        self._held: list[Header] = []

    def put(self, number: int, header: Header) -> None:
        """Put a header into a range.

        Raises
        ------
        StoppedError
            If the disk is full.
        """
        held = self._held
        if held and (held[0].like != header.like or self._number != number or len(held) == _TOGETHER):
            self.close()
        if header.like:
            self._number = number
            self._held.append(header)
        else:
            self._edits.add(number, Edit(PUT, header.path, unit_of(header), header.to_line()).to_line())

    def close(self) -> None:
        """Put aside what is held."""
        if not self._held:
            return
        held, self._held = self._held, []
        lines = [common_line_of(held[0]), *(own_line(own_of(header)) for header in held)]
        paths = tuple([header.path for header in held])
        # JSON has no tab of its own
        edit = Edit(PUT_ALIKE, held[0].like, unit_of(held[0]), b"\t".join(lines), paths)
        self._edits.add(self._number, edit.to_line())
