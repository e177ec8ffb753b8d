"""A spool: the sorted rows of ranges on the disk, until they are put together as parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from medpipe.keys import bytes_digest

_DIGEST_DIGITS = 32

Key = tuple[str, str]
"""A table and a modality."""


class _Reader(NamedTuple):
    file: Any
    batches: Any


class RowSpool:
    """Batches of rows by table, modality and range.

    Parameters
    ----------
    folder : Path
        A folder of its own; whoever made it removes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[Key, Any] = {}
        self._readers: dict[Key, _Reader] = {}
        self._places: dict[Key, dict[int, int]] = {}

    def add(self, key: Key, number: int, rows: pa.Table) -> str:
        """Keep the rows of a range; return a digest of them."""
        (batch,) = rows.combine_chunks().to_batches()
        places = self._places.setdefault(key, {})
        if key not in self._writers:
            self._writers[key] = pa.ipc.new_file(str(self._path(key)), rows.schema)
        places[number] = len(places)
        self._writers[key].write_batch(batch)
        return bytes_digest(memoryview(batch.serialize()))[:_DIGEST_DIGITS]

    def seal(self) -> None:
        """End writing; what was added can be read from now on."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def close(self) -> None:
        """Let go of all files."""
        self.seal()
        for reader in self._readers.values():
            reader.file.close()
        self._readers.clear()

    def numbers(self, key: Key) -> set[int]:
        """Return the ranges there are rows of."""
        return set(self._places.get(key, ()))

    def read(self, key: Key, number: int) -> pa.Table:
        """Return the rows of a range."""
        if key not in self._readers:
            # read, not mapped: the pages of a mapped file would count as this process's memory
            file = pa.OSFile(str(self._path(key)), "rb")
            self._readers[key] = _Reader(file, pa.ipc.open_file(file))
        return pa.Table.from_batches([self._readers[key].batches.get_batch(self._places[key][number])])

    def _path(self, key: Key) -> Path:
        return self._folder / f"{list(self._places).index(key):05d}.arrow"
