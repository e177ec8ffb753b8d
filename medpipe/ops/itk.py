"""SimpleITK for the ops that use it: loaded when first needed, and on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

LIBRARY_BYTES: Final = 105 << 20
"""What loading it adds to a process."""


def itk() -> Any:
    """Return the module; it takes a second to load, so no import brings it."""
    import SimpleITK

    return SimpleITK


@contextmanager
def one_thread() -> Iterator[None]:
    """Have the library add up in one order: sums over several threads depend on how many there are.

    Filters that a filter is made of go by the library's default alone.
    """
    process = itk().ProcessObject
    before = process.GetGlobalDefaultNumberOfThreads()
    process.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        process.SetGlobalDefaultNumberOfThreads(before)
