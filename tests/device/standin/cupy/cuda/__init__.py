"""The one device of the stand-in."""

from __future__ import annotations

from typing import Any

from cupy import _memory
from cupy._facts import missing

from . import memory, nvrtc, runtime
from .memory import OutOfMemoryError


class Device:
    """As ``cupy.cuda.Device``."""

    def __init__(self, device: Any = None) -> None:
        self.id = 0 if device is None else int(device)
        if self.id:
            raise runtime.CUDARuntimeError(101)

    compute_capability = "00"

    @property
    def mem_info(self) -> tuple[int, int]:
        """Bytes that are free and that there are."""
        total = _memory.limit() or _memory.WITHOUT_LIMIT
        return total - _memory.held(), total

    @property
    def attributes(self) -> dict[str, int]:
        return {}

    def use(self) -> None:
        """Be the current one, which it always is."""

    def synchronize(self) -> None:
        """Wait for nothing."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id


class Stream:
    """The one stream there is."""

    null: Any = None

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self.ptr = 0

    def synchronize(self) -> None:
        """Wait for nothing."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        return None


Stream.null = Stream()


def set_allocator(allocator: Any = None) -> None:
    """Take note of nothing: memory is counted here, and never kept for later."""


def is_available() -> bool:
    return True


def get_device_id() -> int:
    return 0


def get_current_stream(device_id: int = -1) -> Stream:
    return Stream.null


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise missing("cupy.cuda", name)


__all__ = ["Device", "OutOfMemoryError", "Stream", "memory", "nvrtc", "runtime"]
