"""The one boundary that catches everything a session can raise.

A session answers calls: ``call(kind, payload, mark) -> dict`` with JSON values. What it raises
becomes an answer too, so that one bad subject costs itself only. The text of a foreign
exception never leaves: it may quote a header.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from medpipe.engine.frames import encode
from medpipe.errors import ConfigError, MedpipeError, Rejected, StoppedError
from medpipe.plan.fallback import NO_ROOM
from medpipe.reasons import REASONS
from medpipe.xp import device_trouble

MarkCall = Callable[[str, str], None]
"""``mark(stage, subject)``: say what comes next, before it is done."""

DEVICE_LOST = "E_DEVICE"
"""Code of an answer after which the process may have no further use of its device."""

_FULL = "no space is left to write to: make room"
_NO_WRITING = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "what is written to has become read-only: have it mounted for writing",
}
_DEEPEST_FRAMES = 40
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Session(Protocol):
    """What works on subjects, in a sandbox or in this process."""

    def call(self, kind: str, payload: dict[str, Any], mark: MarkCall) -> dict[str, Any]:
        """Return JSON values; raise ``Rejected`` for data that cannot be used."""


@runtime_checkable
class Keeper(Protocol):
    """A session that keeps memory from one call for the next."""

    def make_room(self, kind: str, payload: dict[str, Any]) -> None:
        """Give back what a call will not use; it is charged with the rest."""


def open_by_name(dotted: str, init: Mapping[str, Any]) -> Any:
    """Import ``package.module:function`` and return what it makes of ``init``.

    Raises
    ------
    ConfigError
        If the name has another form or cannot be imported.
    """
    module_name, colon, function_name = dotted.partition(":")
    if not colon:
        raise ConfigError(f"{dotted!r} is not of the form package.module:function")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{dotted!r} cannot be imported ({type(error).__name__})") from error
    return function(init)


def answer(
    session: Session, kind: str, payload: dict[str, Any], mark: MarkCall, *, debug_log: str | None = None
) -> bytes:
    """Return the frame that answers a call, whatever the session does.

    Parameters
    ----------
    session : Session
    kind, payload
        The call.
    mark : callable
        Passed to the session.
    debug_log : str, optional
        File that gets the place (never the text) of foreign exceptions.

    Returns
    -------
    bytes
        Frame with ``value``, or with ``code``, ``error`` and ``message``; and with ``cpu_s``
        and ``peak_bytes`` of the call.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        They end the process.
    """
    cpu_start_s = time.process_time()
    try:
        if isinstance(session, Keeper):
            session.make_room(kind, payload)
        _give_back()
        _reset_peak()
        value = session.call(kind, payload, mark)
        return encode({"value": value, **_cost(cpu_start_s)})
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # Rust codecs panic with a BaseException
        return encode({**refusal(error, debug_log=debug_log), **_cost(cpu_start_s)})


def refusal(error: BaseException, *, debug_log: str | None = None) -> dict[str, str]:
    """Return ``code``, ``error`` and ``message`` for an exception; see :class:`Reply`."""
    name = type(error).__name__
    if isinstance(error, Rejected) and error.code in REASONS:
        return {"code": error.code, "error": name, "message": ""}
    if isinstance(error, OSError) and error.errno in _NO_WRITING:
        error = StoppedError(f"{_NO_WRITING[error.errno]}, then give the same command again")
    if isinstance(error, MedpipeError) and not isinstance(error, Rejected):
        return {"code": "", "error": type(error).__name__, "message": str(error)}
    if debug_log is not None:
        _note(error, Path(debug_log))
    return {"code": _code_of(error), "error": name, "message": ""}


def _code_of(error: BaseException) -> str:
    trouble = device_trouble(error)
    if trouble:
        return NO_ROOM if trouble == "memory" else DEVICE_LOST
    if isinstance(error, MemoryError):
        return "E_OOM"
    if type(error).__module__ == "pyo3_runtime":
        return "E_CODEC_PANIC"
    return "E_INTERNAL"


def _note(error: BaseException, debug_log: Path) -> None:
    places = traceback.extract_tb(error.__traceback__)[-_DEEPEST_FRAMES:]
    lines = [f"  {place.filename}:{place.lineno} in {place.name}" for place in places]
    try:
        with debug_log.open("a", encoding="utf-8") as log:
            log.write("\n".join([type(error).__name__, *lines]) + "\n")
    except OSError:
        # the log serves a developer; a case does not fail for want of it
        return


def _cost(cpu_start_s: float) -> dict[str, float]:
    return {"cpu_s": time.process_time() - cpu_start_s, "peak_bytes": peak_bytes()}


def _give_back() -> None:
    # glibc keeps what is freed, and the next subject would be charged for what the last one needed
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def _reset_peak() -> None:
    # Linux starts the high-water mark anew on "5"; elsewhere the peak is the process's own
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_bytes() -> int:
    """Return the highest resident bytes of this process, since its peak was last reset where the system can."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
