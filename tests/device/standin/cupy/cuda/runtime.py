"""What is asked of the driver."""

from __future__ import annotations

import os
from typing import Any

from cupy import _memory
from cupy._facts import missing


class CUDARuntimeError(RuntimeError):
    """An error of the driver, by its number."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"cudaError: {status}")


CUDARuntimeError.__module__ = "cupy_backends.cuda.api.runtime"


def getDeviceCount() -> int:
    """Return how many devices there are: ``CUPY_STANDIN_DEVICES``, one if it is not set."""
    return int(os.environ.get("CUPY_STANDIN_DEVICES") or 1)


def getDevice() -> int:
    return 0


def getDeviceProperties(device: int) -> dict[str, Any]:
    return {"name": b"stand-in", "totalGlobalMem": _memory.limit() or _memory.WITHOUT_LIMIT, "warpSize": 32}


def memGetInfo() -> tuple[int, int]:
    total = _memory.limit() or _memory.WITHOUT_LIMIT
    return total - _memory.held(), total


def deviceSynchronize() -> None:
    """Wait for nothing."""


def driverGetVersion() -> int:
    return 13000


def runtimeGetVersion() -> int:
    return 13000


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise missing("cupy.cuda.runtime", name)
