"""A workplace: what answers calls and the sink that keeps results, in one process.

Results are numbered as they are kept. The workplace seals them every few seconds or hundred
cases; a number at or below :attr:`Workplace.sealed` is durable, and only then does an engine
count its case. A process that is killed loses what was kept but not sealed, and the engine
runs those cases again.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Protocol

from medpipe.contracts.records import CaseResult
from medpipe.engine.replies import Caller
from medpipe.errors import MedpipeError, StoppedError


class Sink(Protocol):
    """Keeps the results of cases; used by one thread at a time."""

    def add(self, result: CaseResult) -> None:
        """Take a result; it need not be durable yet."""

    def flush(self) -> None:
        """Make all results taken so far durable, or raise."""

    def close(self) -> None:
        """Flush and give up what is open."""


class Workplace:
    """A caller and a sink.

    Parameters
    ----------
    caller : Caller
        Pool of sandboxes, or a session in this process.
    sink : Sink
    size : int
        Calls that run at the same time.
    memory_bytes : int or None
        Memory of the host for all of them; None for no limit.
    sandbox_bytes : int or None
        Memory no single case may exceed; None for no limit but the host's.
    seal_cases : int
        Results after which the sink is flushed.
    seal_s : float
        Seconds after which a result that waits is flushed.
    on_sealed : callable, optional
        Called with (name, number) after each flush that made results durable.
    """

    def __init__(
        self,
        caller: Caller,
        sink: Sink,
        *,
        size: int,
        memory_bytes: int | None,
        sandbox_bytes: int | None = None,
        seal_cases: int = 256,
        seal_s: float = 2.0,
        on_sealed: Callable[[str, int], None] | None = None,
    ) -> None:
        self.name = uuid.uuid4().hex
        self.caller = caller
        self._sink = sink
        self._size = size
        self._memory_bytes = memory_bytes
        # what a case may have that has the host for itself
        self._most_bytes = min((most for most in (memory_bytes, sandbox_bytes) if most is not None), default=None)
        self._seal_cases = seal_cases
        self._seal_s = seal_s
        self._on_sealed = on_sealed
        self._lock = threading.Lock()
        self._kept = 0
        self._sealed = 0
        self._waiting_since_s = 0.0
        self._failure: MedpipeError | None = None
        self._is_closed = False
        self._closing = threading.Event()
        threading.Thread(target=self._seal_in_time, name="medpipe-seal", daemon=True).start()

    @property
    def sealed(self) -> int:
        """Number up to which results are durable."""
        return self._sealed

    def admits(self, projected_bytes: int) -> bool:
        """Tell whether a case could have the memory it needs, if it ran alone."""
        return self._most_bytes is None or projected_bytes <= self._most_bytes

    def memory_limit(self, projected_bytes: int, *, is_alone: bool) -> int | None:
        """Return the resident bytes a case may have before it is killed.

        A case may always use an equal share of the host, twice its projection if that is
        more, and the whole host if it runs alone; never more than one sandbox may have.
        """
        if self._memory_bytes is None or self._most_bytes is None or is_alone:
            return self._most_bytes
        return min(self._most_bytes, max(self._memory_bytes // self._size, 2 * projected_bytes))

    def keep(self, result: CaseResult) -> int:
        """Hand a result to the sink and return its number.

        Raises
        ------
        MedpipeError
            What the sink raises, also what it raised when results were sealed in time.
        StoppedError
            If the sink cannot write (a full disk), or the workplace is closed.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._is_closed:
                raise StoppedError("the work was stopped")
            with _writing():
                self._sink.add(result)
            if self._kept == self._sealed:
                self._waiting_since_s = time.monotonic()
            self._kept += 1
            if self._kept - self._sealed >= self._seal_cases:
                self._flush()
            return self._kept

    def flush(self) -> int:
        """Make all results kept so far durable; return their number.

        Raises
        ------
        MedpipeError
            What the sink raises; ``StoppedError`` if it cannot write.
        """
        with self._lock:
            if not self._is_closed:
                self._flush()
            return self._sealed

    def close(self) -> int:
        """End calls that still run, seal what is kept, and return the number sealed.

        Raises
        ------
        MedpipeError
            What the sink raises; ``StoppedError`` if it cannot write.
        """
        self._closing.set()
        self.caller.close()
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._flush()
                with _writing():
                    self._sink.close()
            return self._sealed

    def _flush(self) -> None:
        if self._kept > self._sealed:
            with _writing():
                self._sink.flush()
            self._sealed = self._kept
            if self._on_sealed is not None:
                self._on_sealed(self.name, self._sealed)

    def _seal_in_time(self) -> None:
        while not self._closing.wait(self._seal_s / 4):
            with self._lock:
                is_due = self._kept > self._sealed and time.monotonic() - self._waiting_since_s >= self._seal_s
                if not is_due or self._is_closed or self._failure is not None:
                    continue
                try:
                    self._flush()
                except MedpipeError as error:
                    # raised to the next case that hands in a result
                    self._failure = error


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoppedError(
            f"results cannot be written ({error.strerror}): see to it, then give the same command again"
        ) from error
