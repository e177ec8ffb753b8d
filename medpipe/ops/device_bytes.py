"""What an op takes on a device, where whole arrays may be more, or less, than loops of the host."""

from __future__ import annotations

from typing import Protocol

from medpipe.contracts.protocols import TakesOnDevice
from medpipe.types import Geometry


class _Takes(Protocol):
    def memory(self, geometry: Geometry) -> int: ...


def device_bytes_of(op: _Takes, geometry: Geometry) -> int:
    """Return the peak bytes of a device that an op's call needs beside its input: those of the host unless it says more."""
    return op.device_memory(geometry) if isinstance(op, TakesOnDevice) else op.memory(geometry)
