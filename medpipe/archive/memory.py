"""Memory for many voxels, in the large pages of the system, and kept from one volume to the next."""

from __future__ import annotations

import contextlib
import math
import mmap
import weakref
from typing import Any, Final

import numpy as np

_PAGE_BYTES: Final = 2 << 20
_LARGE_BYTES: Final = 256 << 10
"""What is less is clean before one large page is."""
_ANONYMOUS: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_HUGE: Final = getattr(mmap, "MADV_HUGEPAGE", None)


def fresh_memory(n_bytes: int) -> mmap.mmap:
    """Return new memory of at least so many bytes, in large pages where that is worth it and the system has them.

    A system gives memory out when it is first written, page by page: in pages of 4 KiB that takes longer than
    reading a file into them.

    Raises
    ------
    MemoryError
        If the system has no more.
    """
    try:
        memory = mmap.mmap(-1, max(1, -(-n_bytes // _PAGE_BYTES)) * _PAGE_BYTES, flags=_ANONYMOUS)
    except OSError:
        raise MemoryError from None
    if _HUGE is not None and n_bytes >= _LARGE_BYTES:
        # a system that was built without them says so, and gives small ones
        with contextlib.suppress(OSError):
            memory.madvise(_HUGE)
    return memory


class KeptMemory:
    """Memory of an array that is used again for the next one, once nothing looks at it any more.

    What the system clears and maps for a volume takes as long as reading it, and on a virtual machine, where
    the host may have to find it first, many times as long.

    Parameters
    ----------
    most_bytes : int
        Memory for larger arrays is not kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._memory: mmap.mmap | None = None
        self._user: weakref.ref[Any] | None = None

    def array(self, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return an array of float32 that holds anything: what an earlier one held is still there."""
        return self.block(4 * math.prod(shape)).view(np.float32).reshape(shape)

    def block(self, n_bytes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return so many bytes that hold anything; see :meth:`array`."""
        if n_bytes > self._most_bytes:
            return np.frombuffer(fresh_memory(n_bytes), dtype=np.uint8, count=n_bytes)
        memory = self._free()
        if memory is None or len(memory) < n_bytes:
            memory = self._memory = fresh_memory(n_bytes)
        block = np.frombuffer(memory, dtype=np.uint8, count=n_bytes)
        # every view keeps the array alive that it is one of
        self._user = weakref.ref(block)
        return block

    def keep(self, n_bytes: int) -> None:
        """Give back to the system what an array of so many bytes would not need."""
        memory = self._free()
        if memory is None:
            self._memory = None
            return
        first = -(-n_bytes // _PAGE_BYTES) * _PAGE_BYTES
        if n_bytes > self._most_bytes or first == 0:
            self._memory = None
        elif first < len(memory):
            memory.madvise(mmap.MADV_DONTNEED, first, len(memory) - first)

    def _free(self) -> mmap.mmap | None:
        """Return the memory that is kept, if nothing uses it."""
        return self._memory if self._user is None or self._user() is None else None
