"""The serial engine: the same cases in this process, one after the other.

The oracle of the other engines, the debugger and the reproducer. It shares their boundary,
frames, records and sink; what it cannot do is survive a case that ends the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

from medpipe.engine.boundary import DEVICE_LOST, Session, answer, open_by_name
from medpipe.engine.frames import decode
from medpipe.engine.ledger import Ledger
from medpipe.engine.numeric import numeric_class
from medpipe.engine.replies import Reply, error_named
from medpipe.engine.signals import stop_on_signals
from medpipe.engine.spec import EngineSpec
from medpipe.engine.tasks import Event, Task, execute
from medpipe.engine.workplace import Workplace
from medpipe.errors import StoppedError


class LocalSession:
    """A session in this process, called through the same boundary as in a sandbox.

    Parameters
    ----------
    session : Session
    debug_log : str or None
        File for the places of foreign exceptions.
    """

    def __init__(self, session: Session, *, debug_log: str | None) -> None:
        self._session = session
        self._debug_log = debug_log
        self._lock = threading.Lock()
        self._mark = ("", "")
        self._has_lost_device = False

    @property
    def numeric_class(self) -> str:
        """Class this process computes in on the CPU."""
        return numeric_class()

    @property
    def is_renewed(self) -> bool:
        """Return False: this is the only process there is."""
        return False

    def call(
        self, kind: str, payload: dict[str, Any], *, deadline_s: float, memory_bytes: int | None, is_fresh: bool
    ) -> Reply:
        """Ask the session; nothing in this process can enforce the limits.

        Raises
        ------
        StoppedError
            If a call before lost this process its device.
        """
        del deadline_s, memory_bytes, is_fresh
        with self._lock:
            if self._has_lost_device:
                raise StoppedError("the device failed in this process; give the same command again to go on")
            self._mark = ("", "")
            start_s = time.monotonic()
            frame = answer(self._session, kind, payload, self._set_mark, debug_log=self._debug_log)
            wall_s = time.monotonic() - start_s
            stage, subject = self._mark
        reply = Reply(**decode(frame), stage=stage, subject=subject, wall_s=wall_s)
        self._has_lost_device = reply.code == DEVICE_LOST
        return reply

    def close(self) -> None:
        """Do nothing: the session ends with the process."""

    def _set_mark(self, stage: str, subject: str) -> None:
        self._mark = (stage, subject)


class SerialEngine:
    """Runs cases in this process.

    Parameters
    ----------
    spec : EngineSpec

    Raises
    ------
    MedpipeError
        What the session or the sink raises when it is opened.
    """

    def __init__(self, spec: EngineSpec) -> None:
        session = LocalSession(open_by_name(spec.session, spec.init), debug_log=spec.init.get("debug_log"))
        self._workplace = Workplace(
            session,
            open_by_name(spec.sink, spec.sink_init),
            size=1,
            memory_bytes=spec.memory_bytes,
            sandbox_bytes=spec.sandbox_bytes,
            seal_cases=spec.seal_cases,
            seal_s=spec.seal_s,
        )
        self._stopping = threading.Event()

    def run(self, tasks: Iterable[Task], on_event: Callable[[Event], None]) -> None:
        """Run the tasks; see :class:`medpipe.engine.spec.Engine`."""
        ledger = Ledger()
        with stop_on_signals(self.stop):
            try:
                for task in tasks:
                    self._run_one(task, ledger, on_event)
            finally:
                self._workplace.flush()
                self._report(ledger, on_event)

    def stop(self) -> None:
        """End :meth:`run` after the case at hand."""
        self._stopping.set()

    def close(self) -> None:
        """Seal what is kept and close the sink."""
        self._workplace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run_one(self, task: Task, ledger: Ledger, on_event: Callable[[Event], None]) -> None:
        if self._stopping.is_set():
            raise StoppedError("the run was stopped; give the same command again to go on")
        receipt = execute(task, self._workplace)
        if receipt.again is not None:
            receipt = execute(receipt.again, self._workplace)
        assert receipt.event is not None
        if receipt.event.kind == "stopped":
            self.stop()
            on_event(receipt.event)
            raise error_named(receipt.event.error, receipt.event.message)
        ledger.add(task, receipt)
        self._report(ledger, on_event)

    def _report(self, ledger: Ledger, on_event: Callable[[Event], None]) -> None:
        for event in ledger.settle({self._workplace.name: self._workplace.sealed}):
            on_event(event)
