"""Puts the strict stand-in of CuPy in the place of CuPy, here or for child processes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.device import raw

needs_compiler = pytest.mark.skipif(raw.COMPILER is None, reason=raw.NO_COMPILER)
"""For tests whose kernels other processes launch, or which count what others hold; others are skipped on their way."""

STANDIN = Path(__file__).parent / "standin"
_PACKAGES = ("cupy", "cupyx", "cupy_backends", "cupy_standin_raw")


@contextlib.contextmanager
def stand_in(*, limit: int | None = None) -> Iterator[Any]:
    """Import CuPy from the stand-in for a while; yields it, counters fresh.

    Parameters
    ----------
    limit : int, optional
        The most bytes of the device.
    """
    before = _taken_out()
    bytes_before = os.environ.pop("CUPY_STANDIN_LIMIT", None)
    sys.path.insert(0, str(STANDIN))
    try:
        if limit is not None:
            os.environ["CUPY_STANDIN_LIMIT"] = str(limit)
        import cupy

        cupy.standin.reset()
        yield cupy
    finally:
        sys.path.remove(str(STANDIN))
        _taken_out()
        sys.modules.update(before)
        os.environ.pop("CUPY_STANDIN_LIMIT", None)
        if bytes_before is not None:
            os.environ["CUPY_STANDIN_LIMIT"] = bytes_before


def environment(*, limit: int | None = None, log: Path | None = None) -> dict[str, str]:
    """Return the environment of a child process, and of its own, in which CuPy is the stand-in."""
    folders = [str(STANDIN), os.environ.get("PYTHONPATH", "")]
    made = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, folders))}
    if limit is not None:
        made["CUPY_STANDIN_LIMIT"] = str(limit)
    if log is not None:
        made["CUPY_STANDIN_LOG"] = str(log)
    return made


def _taken_out() -> dict[str, Any]:
    names = [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]
    return {name: sys.modules.pop(name) for name in names}
