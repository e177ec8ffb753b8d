"""A strict stand-in of CuPy over NumPy, for tests where there is no GPU.

It takes what CuPy takes and refuses what CuPy refuses: names and parameters that CuPy does not have (by the table
``facts.json``, written of a real one), arrays of the host among arrays of the device, conversions that nobody asked
for. It refuses as well what CuPy leaves open: different values put in one place, places outside, NaN among what a
median orders. It counts what goes to the device and comes back, and the bytes that are live there, with a limit.

It proves that code written for CuPy holds together, gives the host's values, moves its voxels once and stays within
memory. It proves nothing of speed, of threads that run side by side, or of how a device rounds.

Folder ``standin`` goes to the front of ``sys.path`` (``PYTHONPATH`` for child processes). ``cupy.standin`` is its own
door: ``counts``, ``reset``, ``Undefined``. A raw kernel is run by ``raw.py`` beside the folder.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from . import _memory
from ._array import ndarray
from ._facts import VERSION, Undefined, missing
from ._namespace import namespace
from ._ufuncs import ufunc

__version__ = VERSION

globals().update(namespace())


def get_array_module(*args: Any) -> Any:
    return sys.modules[__name__] if builtins.any(isinstance(one, ndarray) for one in args) else np


def is_available() -> bool:
    return True


class MemoryPool:
    """As CuPy's default pool."""

    def free_all_blocks(self, stream: Any = None) -> None:
        _memory.free_held()

    def malloc(self, size: int) -> Any:
        raise NotImplementedError("the stand-in gives memory to arrays alone")

    def used_bytes(self) -> int:
        return _memory.live()

    def total_bytes(self) -> int:
        return _memory.held()

    def free_bytes(self) -> int:
        return _memory.held() - _memory.live()

    def get_limit(self) -> int:
        return _memory.limit()

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if fraction is not None:
            raise NotImplementedError("the stand-in knows a limit in bytes only")
        _memory.set_pool_limit(size or 0)

    def n_free_blocks(self) -> int:
        return int(self.free_bytes() > 0)


_POOL = MemoryPool()


def get_default_memory_pool() -> MemoryPool:
    return _POOL


def get_default_pinned_memory_pool() -> Any:
    return types.SimpleNamespace(free_all_blocks=lambda: None, n_free_blocks=lambda: 0)


standin = types.SimpleNamespace(counts=_memory.counts, reset=_memory.reset, live=_memory.live, Undefined=Undefined)


def __getattr__(name: str) -> Any:
    if name == "RawKernel":
        return _raw().RawKernel
    if name in {"cuda", "fft", "linalg", "lib"}:
        return importlib.import_module(f"cupy.{name}")
    if name.startswith("__"):
        raise AttributeError(name)
    raise missing("cupy", name)


def _raw() -> Any:
    """Return the module beside the stand-in that compiles and runs raw kernels on the host."""
    place = Path(__file__).parents[2] / "raw.py"
    if not place.is_file():
        raise NotImplementedError("the stand-in cannot run raw kernels: raw.py is not beside it")
    if "cupy_standin_raw" not in sys.modules:
        spec = importlib.util.spec_from_file_location("cupy_standin_raw", place)
        module = importlib.util.module_from_spec(spec)
        sys.modules["cupy_standin_raw"] = module
        spec.loader.exec_module(module)
    return sys.modules["cupy_standin_raw"]


__all__ = ["MemoryPool", "ndarray", "ufunc"]
