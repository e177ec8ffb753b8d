"""Voxels that do not fit memory: planes in a scratch file of the lake, read a block at a time.

The file is not mapped: pages of a mapping count as memory of the process that maps them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from medpipe.lake.durable import storage_faults
from medpipe.lake.lake import Lake

Voxels = np.ndarray[Any, np.dtype[np.float32]]

_LABEL = "spool"


class Spool:
    """A float32 array (z, y, x) in a file: written by planes, read by slices of planes and rows.

    Parameters
    ----------
    path : Path
        A new file; who gives it removes it.
    shape : (int, int, int)

    Raises
    ------
    StoppedError
        If the disk is full or read-only, when written to.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.dtype = np.dtype(np.float32)
        self._row_bytes = shape[-1] * self.dtype.itemsize
        with storage_faults(_LABEL):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            # at its full length from the start, so that no read comes to the end of it
            os.truncate(self._file, math.prod(shape) * self.dtype.itemsize)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __setitem__(self, place: int | slice, planes: Any) -> None:
        """Write a plane, or all planes of a slice without a step."""
        first = place if isinstance(place, int) else place.indices(self.shape[0])[0]
        data = np.ascontiguousarray(planes, dtype=np.float32).reshape(-1).view(np.uint8).data
        offset = first * self.shape[1] * self._row_bytes
        with storage_faults(_LABEL):
            while data:
                written = os.pwrite(self._file, data, offset)
                offset, data = offset + written, data[written:]

    def __getitem__(self, region: slice | tuple[slice, slice]) -> Voxels:
        """Return a copy of slices of planes and, if given, of rows; neither with a step."""
        planes, rows = region if isinstance(region, tuple) else (region, slice(None))
        first, last, _ = planes.indices(self.shape[0])
        top, bottom, _ = rows.indices(self.shape[1])
        block = np.empty((max(0, last - first), max(0, bottom - top), self.shape[2]), dtype=np.float32)
        for place, plane in enumerate(block):
            self._read(plane, ((first + place) * self.shape[1] + top) * self._row_bytes)
        return block

    def slabs(self, planes: int) -> Iterator[Voxels]:
        """Yield all planes in order, so many at a time."""
        for first in range(0, self.shape[0], planes):
            yield self[first : first + planes]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, plane: Voxels, offset: int) -> None:
        data = plane.reshape(-1).view(np.uint8).data
        while data:
            count = os.preadv(self._file, [data], offset)
            offset, data = offset + count, data[count:]


class Scratch:
    """Spools that live as long as a case: made on demand in the lake's ``tmp/``, removed on exit."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._open = ExitStack()

    def spool(self, shape: tuple[int, ...]) -> Spool:
        """Return a new spool.

        Raises
        ------
        StoppedError
            If the disk is full or read-only.
        """
        with storage_faults(_LABEL):
            path = self._open.enter_context(self._lake.store.attempt(_LABEL))
        return self._open.enter_context(Spool(path, shape))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
