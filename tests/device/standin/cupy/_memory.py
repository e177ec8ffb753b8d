"""Memory of the device that is not there: what is live, its limit, and what went to and fro.

``CUPY_STANDIN_LIMIT`` is the most bytes, ``CUPY_STANDIN_LOG`` a folder where each process appends its transfers to a
file of its own, one JSON object a line: both hold for child processes too.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROUNDED = 512
"""CuPy's pool gives memory in multiples of this."""

WITHOUT_LIMIT = 16 << 30
_HERE = str(Path(__file__).parents[1])
_LOCK = threading.RLock()


class OutOfMemoryError(MemoryError):
    """As CuPy's: out of the device's memory, not of the host's."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, limit set to: {limit:,} bytes)."
        )


OutOfMemoryError.__module__ = "cupy.cuda.memory"


@dataclass
class Counts:
    """What happened since :func:`reset`; bytes as asked for in transfers, as the pool rounds them in memory.

    ``unordered`` counts sums of fractions that a device makes in another order each time.
    """

    to_device: int = 0
    to_device_bytes: int = 0
    to_host: int = 0
    to_host_bytes: int = 0
    peak: int = 0
    unordered: int = 0
    transfers: list[dict[str, Any]] = field(default_factory=list)


class _State:
    counts = Counts()
    live = 0
    held = 0
    pool_limit = 0
    allocations = 0
    log: Any = None
    log_owner = 0


def counts() -> Counts:
    return _State.counts


def reset() -> None:
    with _LOCK:
        _State.counts = Counts(peak=_State.live)


def limit() -> int:
    return int(os.environ.get("CUPY_STANDIN_LIMIT") or 0)


def set_pool_limit(size: int) -> None:
    """Let this process have no more than so many bytes of the device; 0 for all of it."""
    _State.pool_limit = size


def live() -> int:
    return _State.live


def held() -> int:
    return _State.held


def free_held() -> None:
    with _LOCK:
        _State.held = _State.live


def summed_in_any_order() -> None:
    """Count a sum whose last bits may differ from run to run on a device."""
    with _LOCK:
        _State.counts.unordered += 1


class Block:
    """A piece of the device's memory; arrays that are views of each other share one."""

    __slots__ = ("__weakref__", "nbytes")

    def __init__(self, nbytes: int) -> None:
        self.nbytes = 0
        rounded = -(-nbytes // ROUNDED) * ROUNDED
        with _LOCK:
            most = min(filter(None, (limit(), _State.pool_limit)), default=0)
            if most and _State.live + rounded > most:
                raise OutOfMemoryError(rounded, _State.live, most)
            self.nbytes = rounded
            _State.live += rounded
            _State.allocations += 1
            _State.held = max(_State.held, _State.live)
            _State.counts.peak = max(_State.counts.peak, _State.live)

    def __del__(self) -> None:
        with _LOCK:
            _State.live -= self.nbytes


def transferred(way: str, nbytes: int, shape: tuple[int, ...], dtype: str) -> None:
    """Count a transfer ``to_device`` or ``to_host``."""
    with _LOCK:
        now = _State.counts
        setattr(now, way, getattr(now, way) + 1)
        setattr(now, f"{way}_bytes", getattr(now, f"{way}_bytes") + nbytes)
        seen = {
            "way": way,
            "bytes": nbytes,
            "shape": list(shape),
            "dtype": dtype,
            "where": _caller(),
            "live": _State.live,
        }
        now.transfers.append(seen)
        folder = os.environ.get("CUPY_STANDIN_LOG")
        if folder:
            _append(Path(folder), seen)


def _caller() -> str:
    """Return the file and line that asked, outside the stand-in and of medpipe's door to it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_passed(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).as_posix()}:{frame.f_lineno}"


def _is_passed(file: str) -> bool:
    return file.startswith((_HERE, "<")) or file.endswith("/medpipe/xp.py")


def _append(folder: Path, seen: dict[str, Any]) -> None:
    if _State.log_owner != os.getpid():
        folder.mkdir(parents=True, exist_ok=True)
        _State.log = (folder / f"{os.getpid()}.jsonl").open("ab", buffering=0)
        _State.log_owner = os.getpid()
    _State.log.write(json.dumps(seen | {"pid": os.getpid()}).encode() + b"\n")
