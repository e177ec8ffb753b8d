"""What an engine is, and how one is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

from medpipe.engine.numeric import numeric_class, sandbox_class
from medpipe.engine.tasks import Event, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What an engine runs, on what.

    Attributes
    ----------
    kind : {"serial", "dask"}
    session : str
        ``package.module:function``; called with ``init`` in each sandbox, returns the session.
    init : mapping
        JSON values, perhaps secrets; shown nowhere. ``debug_log`` names a file for the places
        of crashes, if wanted. A sandbox is told beside it how many ``processes`` its host has.
    sink : str
        ``package.module:function``; called with ``sink_init`` once per worker, returns the sink.
    sink_init : mapping
        JSON values.
    workers : int or None
        Cases at the same time on this host; None for one per processor. A cluster given by its
        address has its own number.
    memory_bytes : int or None
        Memory of this host for all cases; None for four fifths of what it has.
    sandbox_bytes : int or None
        Memory no single case may exceed. One projected above it, or above the host's memory,
        is not run and ends as failed with ``E_MEMORY``.
    address : str or None
        Address of a Dask scheduler; None to start one on this host.
    tls_ca, tls_cert, tls_key : str or None
        Files for a scheduler at a ``tls://`` address.
    address_space_bytes : int or None
        Limit of a sandbox's address space (it breaks CUDA).
    start_timeout_s : float
        Seconds the start of a sandbox may take.
    forks : bool
        Whether sandboxes are forked from a process that has done their imports; not with CUDA.
    silence_s : float
        Seconds without a sign of life after which a worker of this host is started anew.
    seal_cases : int
        Results after which they are made durable.
    seal_s : float
        Seconds after which a result is made durable.
    """

    kind: Literal["serial", "dask"]
    session: str
    init: Mapping[str, Any] = field(repr=False)
    sink: str
    sink_init: Mapping[str, Any] = field(repr=False)
    workers: int | None = None
    memory_bytes: int | None = None
    sandbox_bytes: int | None = None
    address: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    address_space_bytes: int | None = None
    start_timeout_s: float = 120.0
    forks: bool = True
    silence_s: float = 30.0
    seal_cases: int = 256
    seal_s: float = 2.0

    @property
    def numeric_class(self) -> str:
        """Class this engine's cases compute in on the CPU; the plan must name it."""
        return numeric_class() if self.kind == "serial" else sandbox_class()


class Engine(Protocol):
    """Runs tasks and reports what became of each; a context manager."""

    def run(self, tasks: Iterable[Task], on_event: Callable[[Event], None]) -> None:
        """Run tasks to their ends.

        Several threads may run at the same time on one engine. A ``finished`` event means that
        the case's result is durable; each task gets exactly one, in no given order.

        Parameters
        ----------
        tasks : iterable of Task
            Read as there is room for them.
        on_event : callable
            Called in the thread of this call.

        Raises
        ------
        StoppedError
            After :meth:`stop`, SIGINT or SIGTERM, if a disk is full or the cluster is lost.
            Results kept until then are durable.
        MedpipeError
            Any other that a session or sink raised to stop the work.
        """

    def stop(self) -> None:
        """End all calls of :meth:`run` soon; may be called from any thread."""

    def close(self) -> None:
        """End everything that was started."""

    def __enter__(self) -> Self:
        """Return the engine."""

    def __exit__(self, *_: object) -> None:
        """Close the engine."""
