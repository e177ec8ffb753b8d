"""A sandbox: a session in a child process that may crash, hang or starve alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from medpipe.engine.board import Mark
from medpipe.engine.boundary import DEVICE_LOST
from medpipe.engine.child import IMPORTED
from medpipe.engine.forks import Zygote
from medpipe.engine.frames import encode
from medpipe.engine.limits import Limits
from medpipe.engine.numeric import sandbox_class
from medpipe.engine.process import Answered, ChildProcess, Ended
from medpipe.engine.replies import Death, Reply
from medpipe.errors import ConfigError, MedpipeError, StoppedError

_START_TRIES = 3
_IMPORTED_S = 5.0

_CODES: dict[Literal["timeout", "memory", "crash"], str] = {
    "timeout": "E_TIMEOUT",
    "memory": "E_OOM",
    "crash": "E_CRASH",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """What a sandbox runs.

    Attributes
    ----------
    session : str
        ``package.module:function``; called with ``init``, returns the session.
    init : mapping
        JSON values. May hold secrets: it is shown nowhere and passed by a pipe only. The entry
        ``debug_log`` names a file for the places of crashes, if wanted.
    address_space_bytes : int or None
        Limit of the address space, for parsers of headers and pixels (it breaks CUDA).
    start_timeout_s : float
        Seconds a start may take, imports and models included.
    forks : bool
        Whether sandboxes of a pool are forked from a process that has done the imports; not
        for sessions that use CUDA.
    """

    session: str
    init: Mapping[str, Any] = field(repr=False)
    address_space_bytes: int | None = None
    start_timeout_s: float = 120.0
    forks: bool = True

    def zygote(self) -> Zygote | None:
        """Return a zygote for sandboxes of this kind, not yet started; None if they are not to be forked."""
        if not self.forks:
            return None
        return Zygote(self.session.partition(":")[0], start_s=self.start_timeout_s)


class Sandbox:
    """A session in a child process; started when first called, and again after a death.

    One thread at a time may call; any thread may kill.

    Parameters
    ----------
    spec : SandboxSpec
    zygote : Zygote or None
        Forks the process; None to start it from nothing.
    """

    def __init__(self, spec: SandboxSpec, *, zygote: Zygote | None = None) -> None:
        self._spec = spec
        self._zygote = zygote
        self._process: ChildProcess | None = None
        self._fresh_bytes = 0
        self._left_bytes = 0
        self._answers = 0
        self._killed = threading.Event()

    @property
    def pid(self) -> int | None:
        """Process id, or None while nothing runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process and open the session, unless that is done.

        Raises
        ------
        MedpipeError
            What the session raised on purpose when it was opened.
        StoppedError
            If the process took too long before it was ready or ended again and again, or
            :meth:`kill` was called.
        ConfigError
            If the process does not compute in the class of sandboxes.
        """
        for tries_left in reversed(range(_START_TRIES)):
            if self._process is not None:
                return
            self._launch(is_last_try=tries_left == 0)

    def call(
        self,
        kind: str,
        payload: dict[str, Any],
        *,
        deadline_s: float,
        memory_bytes: int | None = None,
        stall_s: float | None = None,
        is_fresh: bool = False,
    ) -> Reply | Death:
        """Ask the session.

        Parameters
        ----------
        kind, payload
            JSON values, passed to the session.
        deadline_s : float
            Seconds by the clock until the process is killed.
        memory_bytes : int, optional
            Resident memory, children included, above which it is killed.
        stall_s : float, optional
            Seconds without a new mark until it is killed.
        is_fresh : bool, optional
            Whether the process must not have answered a call before.

        Returns
        -------
        Reply or Death

        Raises
        ------
        MedpipeError
            If the process cannot be started; see :meth:`start`.
        """
        process = self._ready(memory_bytes, is_fresh=is_fresh)
        limits = Limits(deadline_s=deadline_s, memory_bytes=memory_bytes, stall_s=stall_s)
        marks = process.mark().number
        start_s = time.monotonic()
        outcome = process.exchange(encode({"kind": kind, "payload": payload}), limits)
        wall_s = time.monotonic() - start_s
        mark = process.mark()
        if mark.number == marks:
            # it ended before it began: the mark is another call's
            mark = Mark(marks, "", "")
        if isinstance(outcome, Ended):
            self.close()
            return Death(
                code=_CODES[outcome.cause],
                stage=mark.stage,
                subject=mark.subject,
                signal=outcome.signal,
                is_first=self._answers == 0,
                wall_s=wall_s,
                cpu_s=outcome.usage.cpu_s,
                peak_bytes=outcome.usage.rss_bytes,
            )
        frame = outcome.frame
        frame["peak_bytes"] = self._left_bytes = max(frame["peak_bytes"], outcome.usage.rss_bytes)
        self._answers += 1
        if frame.get("code") == DEVICE_LOST:
            # its context is dead: whatever came next would fail for it
            self.close()
        else:
            self._tell_zygote(process)
        return Reply(**frame, stage=mark.stage, subject=mark.subject, wall_s=wall_s)

    def kill(self) -> None:
        """End the process at once and for good; a call that waits for it returns a death."""
        # first the flag, then the process: a start in another thread sets them in the other order
        self._killed.set()
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process, politely if it is idle."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _ready(self, memory_bytes: int | None, *, is_fresh: bool) -> ChildProcess:
        if self._process is not None and not self._process.is_running():
            self.close()
        if self._process is not None and ((is_fresh and self._answers) or self._is_full(self._process, memory_bytes)):
            self.close()
        self.start()
        assert self._process is not None
        return self._process

    def _is_full(self, process: ChildProcess, memory_bytes: int | None) -> bool:
        """Tell whether what former subjects left behind would be held against the next one."""
        if memory_bytes is None:
            return False
        most_bytes = self._fresh_bytes + max(0, memory_bytes - self._fresh_bytes) // 2
        # at the end of a call it held no more than at its height
        return self._left_bytes > most_bytes and process.resident_bytes() > most_bytes

    def _tell_zygote(self, process: ChildProcess) -> None:
        # the first calls import what the module of the session does not: after 1, 2, 4, ... calls
        if self._zygote is None or self._answers & (self._answers - 1):
            return
        outcome = process.exchange(encode({"kind": IMPORTED, "payload": {}}), Limits(deadline_s=_IMPORTED_S))
        if isinstance(outcome, Answered):
            self._zygote.preload(outcome.frame["value"]["modules"])

    def _launch(self, *, is_last_try: bool) -> None:
        if self._killed.is_set():
            raise StoppedError("the sandbox is closed: the work was stopped")
        self._process = process = ChildProcess(self._zygote)
        self._answers = 0
        if self._killed.is_set():
            process.kill()
        first = {
            "session": self._spec.session,
            "init": dict(self._spec.init),
            "address_space_bytes": self._spec.address_space_bytes,
        }
        try:
            outcome = process.exchange(encode(first), Limits(deadline_s=self._spec.start_timeout_s))
            if isinstance(outcome, Ended) and outcome.cause != "timeout" and not is_last_try:
                # something else may have ended it, such as the kernel for want of memory
                self.close()
                return
            _check_start(outcome, self._spec.session)
        except BaseException:
            process.kill()
            self.close()
            raise
        self._fresh_bytes = self._left_bytes = process.resident_bytes()


def _check_start(outcome: Answered | Ended, session: str) -> None:
    if isinstance(outcome, Ended):
        how = {"timeout": "took too long to start", "memory": "ran out of memory", "crash": "ended"}[outcome.cause]
        raise StoppedError(f"the sandbox of {session} {how} before it was ready: see whether the module imports")
    value = outcome.frame.get("value")
    if value is None:
        Reply(**outcome.frame).raise_if_stopping()
        raise MedpipeError(f"the session {session} could not be opened ({outcome.frame['error']})")
    if value["numeric_class"] != sandbox_class():
        raise ConfigError(f"the sandbox computes as {value['numeric_class']}, but {sandbox_class()} was to be expected")
