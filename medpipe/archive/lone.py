"""A DICOM file that was compressed by itself (gzip, bzip2, xz): an archive file of one member."""

from __future__ import annotations

from typing import Final

from medpipe.archive.inflating import Inflated
from medpipe.archive.members import Listing, Member, most_alone
from medpipe.errors import Rejected

NAME: Final = "content"
"""Path of the member below the file: what the stream calls it, if anything, is not looked at."""

_MAGIC: Final = slice(128, 132)
_STEP_BYTES: Final = 1 << 20


def begins_like_dicom(begin: bytes) -> bool:
    """Tell whether these are the first bytes of a DICOM file with its preamble (PS3.10 7.1)."""
    return begin[_MAGIC] == b"DICM"


class Lone:
    """A compressed file as an archive file.

    Parameters
    ----------
    source : Inflated
    changed : str
        What tells a change of the file, as the second part of its version.
    rest : str
        The rest of its version.
    packed_bytes : int
        Bytes of the file; they bound how many there may be inside.
    """

    def __init__(self, source: Inflated, *, changed: str, rest: str, packed_bytes: int) -> None:
        self._source = source
        self._changed = changed
        self._rest = rest
        self._most_bytes = most_alone(packed_bytes)
        self._listing: Listing | None = None

    def listing(self, file: int) -> Listing:
        """Return the member; what it has of bytes shows only when all is inflated."""
        if self._listing is None:
            self._listing = self._listed(file)
        return self._listing

    def find(self, file: int, path: str) -> Member | None:
        """Return the member of a path."""
        return next((member for member in self.listing(file).members if member.path == path), None)

    def read(self, file: int, member: Member) -> bytes:
        """Return the bytes of the member.

        Raises
        ------
        Rejected
            ``E_TRUNCATED`` if there are fewer than were listed.
        """
        data = self._source.read(file, 0, member.size)
        if len(data) < member.size:
            raise Rejected("E_TRUNCATED")
        return data

    def _listed(self, file: int) -> Listing:
        size = 0
        try:
            while piece := self._source.read(file, size, _STEP_BYTES):
                size += len(piece)
                if size > self._most_bytes:
                    return Listing([], "E_ARCHIVE_RATIO")
        except Rejected as rejected:
            return Listing([], rejected.code)
        member = Member(NAME, size, f"{size}-{self._changed}-{self._rest}", None, ())
        return Listing([member], "E_ARCHIVE_DAMAGED" if self._source.is_cut else "")
