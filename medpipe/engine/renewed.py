"""An engine that is made anew after it failed.

An engine that failed runs nothing more. Whoever tries a shard again (a Prefect task does)
needs another one, but no new plan.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from medpipe.engine.make import make_engine
from medpipe.engine.spec import Engine, EngineSpec
from medpipe.engine.tasks import Event, Task
from medpipe.errors import StoppedError


class RenewedEngine:
    """Runs tasks on an engine, and on a fresh one once that has failed.

    Only :meth:`stop` and :meth:`close` end it for good.

    Parameters
    ----------
    spec : EngineSpec

    Raises
    ------
    MedpipeError
        What :func:`medpipe.engine.make_engine` raises.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._engine = make_engine(spec)
        self._calls = 0
        self._has_failed = False
        self._stopping = threading.Event()
        self._turn = threading.Condition()

    def run(self, tasks: Iterable[Task], on_event: Callable[[Event], None]) -> None:
        """Run the tasks; see :class:`medpipe.engine.spec.Engine`."""
        with self._lent() as engine:
            engine.run(tasks, on_event)

    def stop(self) -> None:
        """End all calls of :meth:`run` soon, and refuse others."""
        self._stopping.set()
        self._engine.stop()

    def close(self) -> None:
        """End everything that was started."""
        self._stopping.set()
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _lent(self) -> Iterator[Engine]:
        engine = self._taken()
        try:
            yield engine
        except BaseException:
            self._has_failed = True
            raise
        finally:
            with self._turn:
                self._calls -= 1
                self._turn.notify_all()

    def _taken(self) -> Engine:
        with self._turn:
            # a failed engine ends all its calls, and is closed when the last one is out
            self._turn.wait_for(lambda: not (self._has_failed and self._calls))
            if self._stopping.is_set():
                raise StoppedError("the run was stopped; give the same command again to go on")
            if self._has_failed:
                self._engine.close()
                self._engine = make_engine(self._spec)
                self._has_failed = False
                if self._stopping.is_set():
                    self._engine.stop()
            self._calls += 1
            return self._engine
