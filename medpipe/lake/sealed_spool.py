"""A spool of private lines: in memory while they are few, sealed on the disk when they are many."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from medpipe.lake.durable import ensure_folder, storage_faults
from medpipe.lake.private import Private

_FRAME = struct.Struct("<I")


class SealedSpool:
    """Lines by number, read back in the order they came.

    What goes to the disk is sealed, also here: nothing of a header is ever in clear.

    Parameters
    ----------
    private : Private
    folder : Path
        Private place under ``tmp/``, which its owner removes.
    limit_bytes : int
        Bytes of lines held in memory before all of them are put aside.
    """

    def __init__(self, private: Private, folder: Path, *, limit_bytes: int) -> None:
        self._private = private
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._held: defaultdict[int, list[bytes]] = defaultdict(list)
        self._held_bytes = 0
        self._frames: defaultdict[int, int] = defaultdict(int)

    def add(self, number: int, line: bytes) -> None:
        """Take a line, which holds no line break.

        Raises
        ------
        StoppedError
            If the disk is full.
        """
        self._held[number].append(line)
        self._held_bytes += len(line)
        if self._held_bytes > self._limit_bytes:
            self._put_aside()

    def numbers(self) -> set[int]:
        """Return the numbers that have lines."""
        return {*self._held, *self._frames}

    def read(self, number: int) -> Iterator[bytes]:
        """Yield the lines of a number in the order they came; nothing may be added meanwhile."""
        if number in self._frames:
            with self._path(number).open("rb") as file:
                for frame in range(self._frames[number]):
                    (size,) = _FRAME.unpack(file.read(_FRAME.size))
                    yield from self._private.opened(self._name(number, frame), file.read(size)).split(b"\n")
        yield from self._held.get(number, ())

    def take(self, number: int) -> Iterator[bytes]:
        """Yield the lines of a number as :meth:`read` does, and let them go."""
        yield from self.read(number)
        self._held.pop(number, None)
        if self._frames.pop(number, 0):
            self._path(number).unlink()

    def _put_aside(self) -> None:
        with storage_faults("what a scan has read so far"):
            ensure_folder(self._folder)
            for number, lines in self._held.items():
                name = self._name(number, self._frames[number])
                sealed = self._private.sealed(name, b"\n".join(lines))
                with self._path(number).open("ab") as file:
                    file.write(_FRAME.pack(len(sealed)) + sealed)
                self._frames[number] += 1
        self._held.clear()
        self._held_bytes = 0

    def _name(self, number: int, frame: int) -> str:
        return f"{self._folder.name}/{number}/{frame}"

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05d}"
