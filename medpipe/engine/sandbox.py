"""A sandbox: a session in a child process that may crash, hang or starve alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from medpipe.engine.board import Mark
from medpipe.engine.frames import encode
from medpipe.engine.limits import Limits
from medpipe.engine.numeric import sandbox_class
from medpipe.engine.process import Answered, ChildProcess, Ended
from medpipe.engine.replies import Death, Reply
from medpipe.errors import ConfigError, MedpipeError, StoppedError

_START_TRIES = 3

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
    """

    session: str
    init: Mapping[str, Any] = field(repr=False)
    address_space_bytes: int | None = None
    start_timeout_s: float = 120.0


class Sandbox:
    """A session in a child process; started when first called, and again after a death.

    One thread at a time may call; any thread may kill.

    Parameters
    ----------
    spec : SandboxSpec
    """

    def __init__(self, spec: SandboxSpec) -> None:
        self._spec = spec
        self._process: ChildProcess | None = None
        self._fresh_bytes = 0
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

        Returns
        -------
        Reply or Death

        Raises
        ------
        MedpipeError
            If the process cannot be started; see :meth:`start`.
        """
        process = self._ready(memory_bytes)
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
                wall_s=wall_s,
                cpu_s=outcome.usage.cpu_s,
                peak_bytes=outcome.usage.rss_bytes,
            )
        frame = outcome.frame
        frame["peak_bytes"] = max(frame["peak_bytes"], outcome.usage.rss_bytes)
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

    def _ready(self, memory_bytes: int | None) -> ChildProcess:
        if self._process is not None and not self._process.is_running():
            self.close()
        if self._process is not None and memory_bytes is not None:
            # what a former subject left behind must not be held against the next one
            room_bytes = max(0, memory_bytes - self._fresh_bytes)
            if self._process.resident_bytes() > self._fresh_bytes + room_bytes // 2:
                self.close()
        self.start()
        assert self._process is not None
        return self._process

    def _launch(self, *, is_last_try: bool) -> None:
        if self._killed.is_set():
            raise StoppedError("the sandbox is closed: the work was stopped")
        self._process = process = ChildProcess()
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
        self._fresh_bytes = process.resident_bytes()


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
