"""Tar archives, plain or compressed: headers found one after the other, members read where they lie (POSIX.1-2001).

What makes a tar hard to trust is bounded here: headers before headers, declared sizes, sparse
maps, links.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from medpipe.archive.members import MAX_MEMBERS, Listing, Member, Paths, most_bytes, most_members
from medpipe.errors import Rejected

BLOCK: Final = 512

_MOST_NAME_BYTES = 64 << 10
_MOST_RECORDS_BYTES = 1 << 20
_MOST_HEADERS = 8
_STEP_BYTES: Final = 1 << 20
_REGULAR = frozenset(b"0\x007")
_LINKS = frozenset(b"12")
_DEVICES = frozenset(b"346")
_FOLDER, _SPARSE, _VOLUME = ord("5"), ord("S"), ord("V")
_LONG_NAME, _LONG_LINK = ord("L"), ord("K")
_RECORDS, _GLOBAL_RECORDS = frozenset(b"xX"), ord("g")
_LOW_BYTES = bytes(range(0x80))
_BASE_256 = frozenset({0x80, 0xFF})


class Bytes(Protocol):
    """Bytes that can be read anywhere."""

    def read(self, file: int, offset: int, n_bytes: int) -> bytes:
        """Return bytes from an offset on; fewer at the end."""


class Plain:
    """The bytes of a file as they are.

    Parameters
    ----------
    size : int
        Bytes of the file: no more is made room for, whatever a header says.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def read(self, file: int, offset: int, n_bytes: int) -> bytes:
        """Return bytes from an offset on; fewer at the end."""
        parts: list[bytes] = []
        n_bytes = max(0, min(n_bytes, self._size - offset))
        while n_bytes and (part := os.pread(file, n_bytes, offset)):
            parts.append(part)
            offset, n_bytes = offset + len(part), n_bytes - len(part)
        return b"".join(parts)


class _Head(NamedTuple):
    """A header and those that belong to it."""

    name: bytes
    kind: int
    size: int
    begin: int
    is_sparse: bool

    @property
    def held_bytes(self) -> int:
        """Bytes that follow the header: links and folders have none, whatever they say."""
        has_none = self.kind in _LINKS or self.kind in _DEVICES or self.is_folder
        return 0 if has_none else self.size

    @property
    def is_folder(self) -> bool:
        return self.kind == _FOLDER or (self.kind == 0 and self.name.endswith(b"/"))

    @property
    def problem(self) -> str | None:
        if self.kind in _LINKS:
            return "E_ARCHIVE_LINK"
        if self.is_sparse:
            return "E_ARCHIVE_METHOD"
        return None if self.kind in _REGULAR else "E_SPECIAL_FILE"


@dataclass(slots=True)
class _Coming:
    """What headers say of the one that follows them."""

    name: bytes = b""
    size: int | None = None
    is_sparse: bool = False


class Tar:
    """A tar archive; its headers are read as far as is asked for.

    Parameters
    ----------
    source : Bytes
    changed : str
        What tells a change of the file, as the second part of its version.
    rest : str
        The rest of its version.
    padding_bytes : int
        How many bytes behind its end have to be zeros; further on anything may follow.
    packed_bytes : int or None
        Bytes of the file, if it is compressed: they bound how many members there may be, and how large.
    """

    def __init__(
        self, source: Bytes, *, changed: str, rest: str, padding_bytes: int, packed_bytes: int | None = None
    ) -> None:
        self._source = source
        self._changed = changed
        self._rest = rest
        self._padding_bytes = padding_bytes
        # a member that is larger than a plain file has been cut, which is told when it is read
        self._member_bytes = sys.maxsize if packed_bytes is None else most_bytes(packed_bytes)
        self._most_members = MAX_MEMBERS if packed_bytes is None else min(MAX_MEMBERS, most_members(packed_bytes))
        self._paths = Paths()
        self._offset = 0
        self._code: str | None = None
        self._members: dict[str, Member] = {}

    def listing(self, file: int) -> Listing:
        """Return all members."""
        while self._code is None:
            self._advance(file)
        return Listing([*self._members.values()], self._code)

    def find(self, file: int, path: str) -> Member | None:
        """Return the member of a path."""
        while path not in self._members and self._code is None:
            self._advance(file)
        return self._members.get(path)

    def read(self, file: int, member: Member) -> bytes:
        """Return the bytes of a member.

        Raises
        ------
        Rejected
            ``E_TRUNCATED`` if the archive ends before it does.
        """
        data = self._source.read(file, member.place[0], member.size)
        if len(data) < member.size:
            raise Rejected("E_TRUNCATED")
        return data

    def _advance(self, file: int) -> None:
        """Take the next member, or the reason why there is none."""
        try:
            head = self._head(file)
        except Rejected as rejected:
            self._code = rejected.code
            if rejected.code in {"E_ARCHIVE_RATIO", "E_ARCHIVE_LIMIT"}:
                self._members.clear()
            return
        if head is None:
            self._code = ""
            return
        self._offset = head.begin + -(-head.held_bytes // BLOCK) * BLOCK
        if head.is_folder or head.kind == _VOLUME:
            return
        if len(self._members) == self._most_members:
            self._members.clear()
            self._code = "E_ARCHIVE_LIMIT"
            return
        path, is_sound = self._paths.take(head.name)
        is_bomb = head.held_bytes > self._member_bytes
        problem = (head.problem or ("E_ARCHIVE_RATIO" if is_bomb else None)) if is_sound else "E_ARCHIVE_SLIP"
        version = f"{head.size}-{self._changed}-{self._rest}.{head.begin}{problem or ''}"
        self._members[path] = Member(path, head.size, version, problem, (head.begin,))

    def _head(self, file: int) -> _Head | None:
        """Return the next header with what those before it say; None at the end of the archive."""
        coming, offset = _Coming(), self._offset
        for _ in range(_MOST_HEADERS):
            block = self._source.read(file, offset, BLOCK)
            if len(block) < BLOCK:
                # two blocks of zeros end an archive; without them nobody knows what was lost
                raise Rejected("E_TRUNCATED")
            if not block.strip(b"\0"):
                self._check_end(file, offset + BLOCK)
                return None
            if not is_header(block):
                raise Rejected("E_ARCHIVE_DAMAGED")
            kind, size = block[156], _number(block[124:136])
            begin = offset + BLOCK
            if kind not in {_LONG_NAME, _LONG_LINK, _GLOBAL_RECORDS} and kind not in _RECORDS:
                return self._member(file, block, coming, begin)
            self._tell(file, kind, size, begin, coming)
            offset = begin + -(-size // BLOCK) * BLOCK
        raise Rejected("E_ARCHIVE_DAMAGED")

    def _check_end(self, file: int, offset: int) -> None:
        """Look for what was lost behind the first block of zeros: all that follows has to be zeros, a block or more.

        Archives put one behind the other, or a stretch that was never written, would lose
        members without a word.
        """
        block = self._source.read(file, offset, BLOCK)
        if block.strip(b"\0"):
            raise Rejected("E_ARCHIVE_DAMAGED")
        if len(block) < BLOCK:
            raise Rejected("E_TRUNCATED")
        end = offset + self._padding_bytes
        while offset < end and (padding := self._source.read(file, offset, min(_STEP_BYTES, end - offset))):
            if padding.strip(b"\0"):
                raise Rejected("E_ARCHIVE_DAMAGED")
            offset += len(padding)

    def _tell(self, file: int, kind: int, size: int, begin: int, coming: _Coming) -> None:
        if size > (_MOST_NAME_BYTES if kind in {_LONG_NAME, _LONG_LINK} else _MOST_RECORDS_BYTES):
            raise Rejected("E_ARCHIVE_LIMIT")
        data = self._source.read(file, begin, size)
        if len(data) < size:
            raise Rejected("E_TRUNCATED")
        if kind == _LONG_NAME:
            coming.name = data.partition(b"\0")[0]
        elif kind in _RECORDS:
            records = dict(_records(data))
            coming.name = records.get(b"GNU.sparse.name", records.get(b"path", coming.name))
            coming.is_sparse = any(name.startswith(b"GNU.sparse.") for name in records)
            coming.size = _said_size(records, coming.size)

    def _member(self, file: int, block: bytes, coming: _Coming, begin: int) -> _Head:
        kind = block[156]
        name = block[:100].partition(b"\0")[0]
        if block[257:263] == b"ustar\0" and block[345:346] != b"\0":
            name = block[345:500].partition(b"\0")[0] + b"/" + name
        # more of the map of a sparse file follows its header, a block at a time
        is_longer = kind == _SPARSE and block[482]
        while is_longer:
            more = self._source.read(file, begin, BLOCK)
            if len(more) < BLOCK:
                raise Rejected("E_TRUNCATED")
            begin, is_longer = begin + BLOCK, more[504]
        return _Head(
            name=coming.name or name,
            kind=kind,
            size=_number(block[124:136]) if coming.size is None else coming.size,
            begin=begin,
            is_sparse=coming.is_sparse or kind == _SPARSE,
        )


def is_header(block: bytes) -> bool:
    """Tell whether a block of 512 bytes is a tar header: it bears the sum of its bytes."""
    if len(block) < BLOCK or not block.strip(b"\0"):
        return False
    try:
        said = _number(block[148:156])
    except Rejected:
        return False
    rest = block[:148] + b" " * 8 + block[156:BLOCK]
    total = sum(rest)
    # some wrote the sum of signed bytes
    return said == total or said == total - 256 * len(rest.translate(None, _LOW_BYTES))


def _number(field: bytes) -> int:
    """Return a number of a header, octal or, beyond that, binary."""
    if field[0] in _BASE_256:
        value = int.from_bytes(field[1:], "big")
        if field[0] == 0xFF or value >> 62:
            raise Rejected("E_ARCHIVE_DAMAGED")
        return value
    digits = field.partition(b"\0")[0].strip(b" ") or b"0"
    if digits.strip(b"01234567"):
        raise Rejected("E_ARCHIVE_DAMAGED")
    return int(digits, 8)


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and values of pax records; each begins with its length."""
    at = 0
    while at < len(data):
        length, blank, _ = data[at : at + 20].partition(b" ")
        if not blank or not length.isdigit() or not (end := int(length)) or at + end > len(data):
            raise Rejected("E_ARCHIVE_DAMAGED")
        name, _, value = data[at + len(length) + 1 : at + end].partition(b"=")
        yield name, value.removesuffix(b"\n")
        at += end


def _said_size(records: Mapping[bytes, bytes], size: int | None) -> int | None:
    said = records.get(b"size")
    if said is None:
        return size
    if not said.isdigit() or len(said) > 18:
        raise Rejected("E_ARCHIVE_DAMAGED")
    return int(said)
