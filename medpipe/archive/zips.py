"""Zip archives: members from the central directory alone, each read by itself and checked (PKWARE APPNOTE 6.3).

What a directory says is held against what can be true before a byte is inflated: members that
overlap, sizes beyond the file, ratios no image has.
"""

from __future__ import annotations

import bz2
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from medpipe.archive.members import (
    MAX_DIRECTORY_BYTES,
    MAX_MEMBERS,
    MAX_RATIO,
    Listing,
    Member,
    Paths,
    most_bytes,
    most_in_all,
)
from medpipe.errors import Rejected

MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08PK\x03\x04", b"PK00PK\x03\x04")
"""What a zip begins with: a member, its end, a mark of a split one, a mark of one that was to be split and was not."""

_RECORD: Final = b"PK\x01\x02"
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MOST_COMMENT_BYTES = 0xFFFF
_IN_EXTRA, _IN_EXTRA_16 = 0xFFFFFFFF, 0xFFFF
_WRAP_BYTES = 1 << 32
"""Some writers know offsets of 32 bits only and write longer files all the same."""
_EXTRA_64 = 0x0001
_ENCRYPTED = 0x2041
"""Bits of the flags: encrypted, strongly encrypted, directory masked."""
_UNIX = 3
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12
_STEP_BYTES: Final = 1 << 20


class _Entry(NamedTuple):
    """A record of the central directory."""

    name: bytes
    system: int
    flags: int
    method: int
    crc: int
    packed_bytes: int
    size: int
    mode: int
    offset: int

    @property
    def is_folder(self) -> bool:
        return self.size == 0 and self.name.endswith((b"/", b"\\"))

    @property
    def least_end(self) -> int:
        return self.offset + _LOCAL.size + len(self.name) + self.packed_bytes


class _Directory(NamedTuple):
    """The central directory.

    Attributes
    ----------
    data : bytes
    begin : int
    shift : int
        By how much its offsets are short.
    n_records : int
        Records it is to have.
    is_last : bool
        Whether the file ends where its end record does.
    """

    data: bytes
    begin: int
    shift: int
    n_records: int
    is_last: bool


class Zip:
    """A zip archive.

    Parameters
    ----------
    file : int
        Descriptor, open for reading.
    size : int
        Bytes of the file.
    """

    def __init__(self, file: int, size: int) -> None:
        self._code = ""
        self._end = 0
        self._members: dict[str, Member] = {}
        try:
            directory = _directory(file, size)
        except Rejected as rejected:
            is_split = os.pread(file, len(MAGICS[2]), 0) == MAGICS[2]
            self._code = "E_ARCHIVE_SPLIT" if is_split else rejected.code
            return
        self._end = directory.begin
        entries = [*islice(_entries(directory), MAX_MEMBERS + 1)]
        if len(entries) > MAX_MEMBERS:
            self._code = "E_ARCHIVE_LIMIT"
            return
        # many writers count no further than 65,535
        is_whole = (directory.n_records - len(entries)) % (1 << 16) == 0
        self._code = "" if is_whole and directory.is_last else "E_ARCHIVE_DAMAGED"
        self._take(entries, size)

    def listing(self, file: int) -> Listing:  # noqa: ARG002  # read when opened
        """Return all members."""
        return Listing([*self._members.values()], self._code)

    def find(self, file: int, path: str) -> Member | None:  # noqa: ARG002  # read when opened
        """Return the member of a path."""
        return self._members.get(path)

    def read(self, file: int, member: Member) -> bytes:
        """Return the bytes of a member.

        Raises
        ------
        Rejected
            ``E_ARCHIVE_DAMAGED`` if its own header contradicts the directory or it cannot be
            inflated, ``E_ARCHIVE_OVERLAP`` if it reaches into the next, ``E_LENGTH`` if it has
            another size, ``E_ARCHIVE_CRC`` if its checksum is another.
        """
        offset, packed_bytes, method, crc, name_crc, limit = member.place
        local = os.pread(file, _LOCAL.size, offset)
        if len(local) < _LOCAL.size:
            raise Rejected("E_ARCHIVE_DAMAGED")
        magic, _, flags, own_method, *_, name_bytes, extra_bytes = _LOCAL.unpack(local)
        name = os.pread(file, name_bytes, offset + _LOCAL.size)
        if magic != MAGICS[0] or own_method != method or flags & _ENCRYPTED or zlib.crc32(name) != name_crc:
            raise Rejected("E_ARCHIVE_DAMAGED")
        begin = offset + _LOCAL.size + name_bytes + extra_bytes
        if begin + packed_bytes > limit:
            raise Rejected("E_ARCHIVE_OVERLAP")
        data = _inflated(_packed(file, begin, packed_bytes), method, member.size)
        if len(data) != member.size:
            raise Rejected("E_LENGTH")
        if zlib.crc32(data) != crc:
            raise Rejected("E_ARCHIVE_CRC")
        return data

    def _take(self, entries: Sequence[_Entry], size: int) -> None:
        limits = _limits(entries, self._end)
        problems = [_problem(entry, limit) for entry, limit in zip(entries, limits, strict=True)]
        total = sum(entry.size for entry, problem in zip(entries, problems, strict=True) if problem is None)
        is_bomb = total > most_in_all(size)
        paths = Paths()
        for entry, limit, found in zip(entries, limits, problems, strict=True):
            if entry.is_folder:
                continue
            path, is_sound = paths.take(entry.name)
            problem = found if is_sound else "E_ARCHIVE_SLIP"
            if is_bomb and problem is None and entry.size > MAX_RATIO * entry.packed_bytes:
                problem = "E_ARCHIVE_RATIO"
            version = f"{entry.size}-{entry.crc:08x}.{entry.packed_bytes}-{entry.method}{problem or ''}"
            place = entry.offset, entry.packed_bytes, entry.method, entry.crc, zlib.crc32(entry.name), limit
            self._members[path] = Member(path, entry.size, version, problem, place)


def ends_like_zip(at: Callable[[int, int], bytes], size: int) -> str:
    """Return what a file is that ends like a zip and does not begin so, as a code, or an empty string.

    Parameters
    ----------
    at : callable
        Returns from an offset on so many bytes of the file.
    size : int
        Bytes of the file.
    """
    begin = max(0, size - _END.size - _MOST_COMMENT_BYTES)
    tail = at(begin, size - begin)
    try:
        end, is_last = _end_record(tail)
    except Rejected:
        return ""
    _, disk, first_disk, n_here, n_records, n_bytes, _, _ = _END.unpack_from(tail, end)
    if not is_last or not n_records or n_here > n_records or first_disk > disk:
        return ""
    if 0 < disk < _IN_EXTRA_16:
        return "E_ARCHIVE_SPLIT"
    directory = begin + end - n_bytes
    return "E_ARCHIVE_PROGRAM" if directory > 0 and at(directory, len(_RECORD)) == _RECORD else ""


def _directory(file: int, size: int) -> _Directory:
    tail_bytes = min(size, _END.size + _MOST_COMMENT_BYTES)
    tail = os.pread(file, tail_bytes, size - tail_bytes)
    at, is_last = _end_record(tail)
    _, disk, first_disk, _, count, n_bytes, offset, _ = _END.unpack_from(tail, at)
    end = size - tail_bytes + at
    if end >= _LOCATOR_64.size + _END_64.size and os.pread(file, 4, end - _LOCATOR_64.size) == b"PK\x06\x07":
        # beside its locator, where every writer puts it
        end -= _LOCATOR_64.size + _END_64.size
        magic, _, _, _, disk, first_disk, _, count, n_bytes, offset = _END_64.unpack(os.pread(file, _END_64.size, end))
        if magic != b"PK\x06\x06":
            raise Rejected("E_ARCHIVE_DAMAGED")
    begin = end - n_bytes
    if disk or first_disk:
        raise Rejected("E_ARCHIVE_SPLIT")
    # elsewhere than it says stands that of a zip inside this one, or behind another
    if begin < offset or (begin - offset) % _WRAP_BYTES:
        raise Rejected("E_ARCHIVE_DAMAGED")
    if n_bytes > MAX_DIRECTORY_BYTES or count > MAX_MEMBERS:
        raise Rejected("E_ARCHIVE_LIMIT")
    return _Directory(os.pread(file, n_bytes, begin), begin, begin - offset, count, is_last)


def _end_record(tail: bytes) -> tuple[int, bool]:
    """Return where the end record begins, and whether it ends the file; the last one there is if none does."""
    last = at = tail.rfind(MAGICS[1], 0, max(0, len(tail) - _END.size + len(MAGICS[1])))
    while at >= 0:
        if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            return at, True
        at = tail.rfind(MAGICS[1], 0, at + len(MAGICS[1]) - 1)
    if last < 0:
        raise Rejected("E_ARCHIVE_DAMAGED")
    return last, False


def _heads(directory: bytes) -> Iterator[int]:
    """Yield where the records of a directory begin, up to its end or to what is none."""
    at = 0
    while at + _ENTRY.size <= len(directory) and directory[at : at + 4] == _RECORD:
        end = at + _ENTRY.size + sum(struct.unpack_from("<3H", directory, at + 28))
        if end > len(directory):
            return
        yield at
        at = end


def _entries(directory: _Directory) -> Iterator[_Entry]:
    for at in _heads(directory.data):
        _, made_by, _, flags, method, _, _, crc, packed_bytes, size, *rest = _ENTRY.unpack_from(directory.data, at)
        n_name, n_extra, _, _, _, attributes, offset = rest
        name_at = at + _ENTRY.size
        extra = directory.data[name_at + n_name : name_at + n_name + n_extra]
        size, packed_bytes, offset = _wide(extra, (size, packed_bytes, offset))
        yield _Entry(
            name=directory.data[name_at : name_at + n_name],
            system=made_by >> 8,
            flags=flags,
            method=method,
            crc=crc,
            packed_bytes=packed_bytes,
            size=size,
            mode=attributes >> 16,
            offset=offset + directory.shift,
        )


def _wide(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return sizes and offset with those that take 64 bits from the extra field; one that lacks stays as it is."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        kind, n_bytes = struct.unpack_from("<2H", extra, at)
        if kind == _EXTRA_64:
            wide = extra[at + 4 : at + 4 + n_bytes]
        at += 4 + n_bytes
    found = []
    for value in values:
        if value == _IN_EXTRA and len(wide) >= 8:
            found.append(struct.unpack_from("<Q", wide)[0])
            wide = wide[8:]
        else:
            found.append(value)
    return found[0], found[1], found[2]


def _limits(entries: Sequence[_Entry], end: int) -> list[int]:
    """Return where each member has to end: where the next begins, or the directory; -1 if another begins there too."""
    order = sorted(range(len(entries)), key=lambda number: entries[number].offset)
    limits = [end] * len(entries)
    reach = -1
    for place, number in enumerate(order):
        entry = entries[number]
        following = entries[order[place + 1]].offset if place + 1 < len(order) else end
        # what begins in the midst of another is no less wrong than what reaches into the next
        limits[number] = -1 if entry.offset < reach else following
        reach = max(reach, entry.least_end)
    return limits


def _problem(entry: _Entry, limit: int) -> str | None:
    kind = stat.S_IFMT(entry.mode) if entry.system == _UNIX else 0
    found = {
        "E_ARCHIVE_LINK": kind == stat.S_IFLNK,
        "E_SPECIAL_FILE": kind not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK},
        "E_ARCHIVE_ENCRYPTED": bool(entry.flags & _ENCRYPTED),
        "E_ARCHIVE_OVERLAP": entry.least_end > limit,
        "E_ARCHIVE_METHOD": entry.method not in {_STORED, _DEFLATED, _BZIP2},
        "E_LENGTH": entry.method == _STORED and entry.size != entry.packed_bytes,
        "E_ARCHIVE_RATIO": entry.size > most_bytes(entry.packed_bytes),
    }
    return next((code for code, holds in found.items() if holds), None)


def _packed(file: int, begin: int, n_bytes: int) -> Iterator[bytes]:
    end = begin + n_bytes
    while begin < end:
        part = os.pread(file, min(_STEP_BYTES, end - begin), begin)
        if not part:
            raise Rejected("E_TRUNCATED")
        begin += len(part)
        yield part


def _inflated(parts: Iterator[bytes], method: int, size: int) -> bytes:
    if method == _STORED:
        return b"".join(parts)
    stream = zlib.decompressobj(-zlib.MAX_WBITS) if method == _DEFLATED else bz2.BZ2Decompressor()
    found: list[bytes] = []
    left = size + 1
    try:
        for part in parts:
            # what is past the size or the end of the stream makes it one that lies
            if left <= 0 or stream.eof:
                raise Rejected("E_LENGTH")
            found.append(stream.decompress(part, left))
            left -= len(found[-1])
    except (zlib.error, OSError):
        raise Rejected("E_ARCHIVE_DAMAGED") from None
    if not stream.eof or stream.unused_data:
        raise Rejected("E_LENGTH")
    return b"".join(found)
