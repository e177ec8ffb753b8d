"""What runs inside a Dask worker: one workplace per engine, made when first needed.

The plugin brings the set-up (secrets included) by the cluster's own connection, to workers
that restart as well; tasks carry keys only, as Dask may log the arguments of a task.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from distributed import Worker, WorkerPlugin

from medpipe.engine.boundary import open_by_name
from medpipe.engine.pool import SandboxPool
from medpipe.engine.sandbox import SandboxSpec
from medpipe.engine.spec import EngineSpec
from medpipe.engine.tasks import Receipt, Task, stopped
from medpipe.engine.turns import Turns
from medpipe.engine.workplace import Workplace
from medpipe.errors import MedpipeError, StoppedError

MEMORY_RESOURCE = "MEM"
"""Name of the Dask resource that is a host's memory for cases, in bytes."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a worker's workplace answers when it is told to seal or to close.

    Attributes
    ----------
    workplace : str
        Name of the workplace; empty if the worker has none.
    number : int
        Number up to which results are durable.
    error, message : str
        Class and text of the error it met, or empty.
    """

    workplace: str = ""
    number: int = 0
    error: str = ""
    message: str = ""


@dataclass(slots=True)
class _Place:
    """An engine's place in this worker, with or without a workplace yet."""

    spec: EngineSpec
    memory_bytes: int | None
    size: int
    worker: Worker
    topic: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    workplace: Workplace | None = None
    turns: Turns | None = None
    is_closed: bool = False

    def opened(self) -> tuple[Workplace, Turns]:
        with self.lock:
            if self.is_closed:
                raise StoppedError("the work was stopped")
            if self.workplace is None:
                self.workplace = self._made()
            if self.turns is None:
                self.turns = Turns(self._hand_back)
            return self.workplace, self.turns

    def _made(self) -> Workplace:
        spec = self.spec
        sandbox = SandboxSpec(
            session=spec.session,
            init={**spec.init, "processes": self.size},
            address_space_bytes=spec.address_space_bytes,
            start_timeout_s=spec.start_timeout_s,
            forks=spec.forks,
        )
        return Workplace(
            SandboxPool(sandbox, size=self.size),
            open_by_name(spec.sink, spec.sink_init),
            size=self.size,
            memory_bytes=self.memory_bytes,
            sandbox_bytes=spec.sandbox_bytes,
            seal_cases=spec.seal_cases,
            seal_s=spec.seal_s,
            on_sealed=self._tell,
        )

    def _tell(self, name: str, number: int) -> None:
        self.worker.log_event(self.topic, {"workplace": name, "number": number})

    def _hand_back(self, group: int, receipts: list[Receipt]) -> None:
        told = [receipt.to_json() for receipt in receipts]
        self.worker.log_event(self.topic, {"group": group, "receipts": told})


_PLACES: dict[str, _Place] = {}


class WorkplacePlugin(WorkerPlugin):
    """Prepares an engine's place in each worker, and clears it.

    Parameters
    ----------
    token : str
        Name of the engine, of the plugin and of the topic results are announced under.
    spec : EngineSpec
    is_local : bool
        Whether the driver started the worker. A Ctrl-C then reaches both, and only the driver
        knows how to stop in order.
    """

    def __init__(self, token: str, spec: EngineSpec, *, is_local: bool) -> None:
        self.name = token
        self._spec = spec
        self._is_local = is_local

    def setup(self, worker: Worker) -> None:
        """Prepare the place; nothing starts yet."""
        if self._is_local and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        memory: float | None = worker.state.total_resources.get(MEMORY_RESOURCE)
        _PLACES[self.name] = _Place(
            spec=self._spec,
            memory_bytes=None if memory is None else int(memory),
            size=worker.state.nthreads,
            worker=worker,
            topic=self.name,
        )

    def teardown(self, worker: Worker) -> None:
        """End the sandboxes and seal what is kept."""
        del worker
        leave(self.name)
        _PLACES.pop(self.name, None)


def work(token: str, number: int, tasks: Sequence[Task]) -> list[Receipt | None]:
    """Run a group of cases in this worker; None for those that did not run."""
    try:
        workplace, turns = _PLACES[token].opened()
    except MedpipeError as error:
        return [stopped(tasks[0], error), *[None] * (len(tasks) - 1)]
    return turns.work(number, tasks, workplace)


def seal(token: str) -> Sealed:
    """Make durable what this worker keeps."""
    return _ended(token, is_closing=False)


def leave(token: str) -> Sealed:
    """End what runs in this worker, and make durable what it keeps."""
    return _ended(token, is_closing=True)


def _ended(token: str, *, is_closing: bool) -> Sealed:
    place = _PLACES.get(token)
    if place is None:
        return Sealed()
    place.is_closed = place.is_closed or is_closing
    if is_closing and place.turns is not None:
        place.turns.close()
    workplace = place.workplace
    if workplace is None:
        return Sealed()
    try:
        return Sealed(workplace.name, workplace.close() if is_closing else workplace.flush())
    except MedpipeError as error:
        return Sealed(workplace.name, workplace.sealed, type(error).__name__, str(error))
