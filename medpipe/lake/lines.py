"""Lines of results: where each lies, what a set of them amounts to, how many are sorted by range.

A line is one case result as a segment holds it. Lines are moved as bytes: what is not read is
not parsed.
"""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from medpipe.errors import IntegrityError
from medpipe.keys import digest
from medpipe.lake.durable import storage_faults
from medpipe.ranges import MOST_BITS, RANGE_DIGITS, Range

SPOOL_BYTES = 48 << 20
"""Bytes of lines that are sorted in memory before they go to files."""

_TALLY_BITS = 12
_SUM = 1 << 128
_HEAD = b'{"case":{'
_VOLUME = b'"volume_key":"'
_FRAME = struct.Struct("<I")


def place_of(line: bytes) -> int:
    """Return the first digits of the key of a line's volume, as a number below ``2 ** MOST_BITS``.

    Raises
    ------
    IntegrityError
        If the line is no case result.
    """
    # Canonical JSON has the case before its products, and no string can hold a bare quote: the
    # first place where these bytes stand is the case's own field.
    start = line.find(_VOLUME) + len(_VOLUME)
    try:
        if line.startswith(_HEAD) and start >= len(_VOLUME):
            return int(line[start : start + RANGE_DIGITS], 16)
    except ValueError:
        pass
    raise IntegrityError("a sealed result has no volume key that says where it belongs; report it")


class Tally:
    """What sets of lines amount to, by narrow ranges: a sum of digests, whatever their order.

    Two histories with the same lines have equal tallies, however they are cut into pieces.
    """

    def __init__(self, cells: Mapping[int, int] | None = None) -> None:
        self._cells = dict(cells or {})

    def add(self, lines: Iterable[bytes]) -> None:
        """Count lines in."""
        for line in lines:
            cell = place_of(line) >> (MOST_BITS - _TALLY_BITS)
            found = int.from_bytes(hashlib.sha256(line).digest()[:16], "big")
            self._cells[cell] = (self._cells.get(cell, 0) + found) % _SUM

    def digest_of(self, within: Range) -> str:
        """Return a digest of the lines in a range; of a very narrow one, of those around it too."""
        cells = _overlapping(within, bits=_TALLY_BITS)
        return digest([[cell, f"{self._cells[cell]:032x}"] for cell in cells if cell in self._cells])

    def copy(self) -> Tally:
        """Return a tally that can go another way."""
        return Tally(self._cells)

    def to_json(self) -> dict[str, str]:
        """Return the tally as JSON values."""
        return {str(cell): f"{found:032x}" for cell, found in self._cells.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> Tally:
        """Read what :meth:`to_json` wrote."""
        return cls({int(cell): int(found, 16) for cell, found in value.items()})


class Cut:
    """Lines cut into ranges, of which some are read at a time.

    Parameters
    ----------
    bits : int
        How finely they are cut.
    numbers : collection of int
        Ranges that have lines.
    read : callable
        Returns the lines of a range by its number, or None where they cannot be read.
    """

    def __init__(self, bits: int, numbers: Collection[int], read: Callable[[int], list[bytes] | None]) -> None:
        self._bits = bits
        self._numbers = numbers
        self._read = read
        self._last: tuple[int, list[bytes]] | None = None

    def within(self, wanted: Range) -> list[bytes] | None:
        """Return the lines in a range, or None where they cannot be read."""
        found: list[bytes] = []
        for number in _overlapping(wanted, bits=self._bits):
            if number in self._numbers:
                lines = self._lines(number, keep=self._bits < wanted.bits)
                if lines is None:
                    return None
                found += lines
        if self._bits >= wanted.bits:
            return found
        return [line for line in found if place_of(line) >> (MOST_BITS - wanted.bits) == wanted.number]

    def _lines(self, number: int, *, keep: bool) -> list[bytes] | None:
        # Who goes through narrow ranges in order comes to a wide one many times: it is read once.
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        lines = self._read(number)
        self._last = (number, lines) if keep and lines is not None else None
        return lines


class LineSpool:
    """Sorts lines by range in bounded memory.

    Parameters
    ----------
    make_folder : callable
        Makes the folder where lines go when they are too many to hold; called then.
    bits : int
        How finely they are cut.
    """

    def __init__(self, make_folder: Callable[[], Path], bits: int) -> None:
        self._make_folder = make_folder
        self.bits = bits
        self._folder: Path | None = None
        self._held: defaultdict[int, list[bytes]] = defaultdict(list)
        self._held_bytes = 0
        self._numbers: set[int] = set()

    @property
    def numbers(self) -> list[int]:
        """Ranges that have lines, in the order of keys."""
        return sorted(self._numbers)

    def add(self, lines: Iterable[bytes]) -> None:
        """Take lines.

        Raises
        ------
        StoppedError
            If the disk is full.
        """
        shift = MOST_BITS - self.bits
        for line in lines:
            number = place_of(line) >> shift
            self._numbers.add(number)
            self._held[number].append(line)
            self._held_bytes += len(line)
        if self._held_bytes > SPOOL_BYTES:
            self._put_aside()

    def read(self, number: int) -> list[bytes]:
        """Return the lines of a range in the order they came."""
        path = None if self._folder is None else _file(self._folder, number)
        there = path.read_bytes() if path is not None and path.exists() else b""
        lines = [line for text in _frames(there) for line in text.splitlines(keepends=True)]
        return lines + self._held.get(number, [])

    def _put_aside(self) -> None:
        with storage_faults("results that are being sorted"):
            if self._folder is None:
                self._folder = self._make_folder()
            for number, lines in self._held.items():
                packed = pa.compress(b"".join(lines), codec="zstd", asbytes=True)
                with _file(self._folder, number).open("ab") as file:
                    file.write(_FRAME.pack(len(packed)) + packed)
        self._held.clear()
        self._held_bytes = 0


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}"


def unpacked(data: bytes | memoryview) -> bytes:
    """Return what zstd packed."""
    text: bytes = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    return text


def _frames(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (size,) = _FRAME.unpack_from(data, at)
        at += _FRAME.size
        yield unpacked(memoryview(data)[at : at + size])
        at += size


def _overlapping(wanted: Range, *, bits: int) -> Iterable[int]:
    """Return the numbers of the ranges of some bits that have keys in common with a range."""
    finer = bits - wanted.bits
    if finer < 0:
        return (wanted.number >> -finer,)
    return range(wanted.number << finer, (wanted.number + 1) << finer)
