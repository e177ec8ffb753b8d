"""The Dask engine: cases on a cluster, one worker per host, a sandbox per thread.

Dask places cases and notices lost workers; it keeps nothing. Keys of tasks are numbers, and
tasks carry keys of cases, so neither its logs nor its pages can show more.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.scheduler import DEFAULT_EXTENSIONS
from distributed.security import Security
from distributed.system import MEMORY_LIMIT

from medpipe.engine.dask_window import LOST, Window
from medpipe.engine.dask_worker import MEMORY_RESOURCE, Sealed, WorkplacePlugin, leave, seal
from medpipe.engine.ledger import Ledger
from medpipe.engine.replies import error_named
from medpipe.engine.signals import stop_on_signals
from medpipe.engine.spec import EngineSpec
from medpipe.engine.tasks import Event, Receipt, Task
from medpipe.errors import ConfigError, SecurityError, StoppedError

_WINDOW_PER_THREAD = 4
_TURN_S = 0.2
_LOOK_S = 5.0
_PATIENCE_S = 120.0
_MEMORY_SHARE = 0.8

_SETTINGS = {
    # a worker's death says nothing about the cases it held: their crashes cost a sandbox only
    "distributed.scheduler.allowed-failures": 100,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    # logs for the developers of Dask hold tasks, thousands of them, in the memory of the driver
    "distributed.admin.log-length": 100,
    "distributed.admin.low-level-log-length": 20,
    "distributed.admin.system-monitor.log-length": 20,
    "distributed.diagnostics.computations.max-history": 1,
    "distributed.diagnostics.erred-tasks.max-history": 1,
}


class DaskEngine:
    """Runs cases on a Dask cluster.

    Parameters
    ----------
    spec : EngineSpec
        Without an address a cluster is started on this host: loopback only, behind TLS with a
        certificate made for the occasion.

    Raises
    ------
    SecurityError
        If the address is beyond this host and not ``tls://``.
    StoppedError
        If the cluster cannot be reached.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._token = f"medpipe-{uuid.uuid4().hex}"
        self._stopping = threading.Event()
        self._sealed: dict[str, int] = {}
        self._windows: list[Window] = []
        self._turns = itertools.count()
        self._seen_s = time.monotonic()
        self._cluster: LocalCluster | None = None
        with dask.config.set(_SETTINGS):
            if spec.address is None:
                self._cluster = _local_cluster(spec)
                self._client = Client(self._cluster, set_as_default=False)  # type: ignore[no-untyped-call]  # distributed is typed in part
            else:
                self._client = _client_of(spec, spec.address)
        self._client.subscribe_topic(self._token, self._on_news)  # type: ignore[no-untyped-call]  # distributed is typed in part
        self._client.register_plugin(WorkplacePlugin(self._token, spec, is_local=spec.address is None))
        self._look()

    def run(self, tasks: Iterable[Task], on_event: Callable[[Event], None]) -> None:
        """Run the tasks; see :class:`medpipe.engine.spec.Engine`."""
        ledger = Ledger()
        window = Window(self._client, self._token, turns=self._turns)
        self._windows.append(window)
        with stop_on_signals(self._stopping.set):
            try:
                self._work(iter(tasks), window, ledger, on_event)
            except BaseException:
                self._stopping.set()
                self._leave(window, ledger, on_event)
                raise
            finally:
                self._windows.remove(window)

    def stop(self) -> None:
        """End all calls of :meth:`run` soon; cases at work are given up and run again next time."""
        self._stopping.set()

    def close(self) -> None:
        """End the sandboxes and what else was started."""
        self._stopping.set()
        if self._client.status == "running":
            # another scheduler may have come to the address of the one that knew the plugin
            with contextlib.suppress(ValueError, OSError):
                self._client.unregister_worker_plugin(self._token)  # type: ignore[no-untyped-call]  # distributed is typed in part
        self._client.close()  # type: ignore[no-untyped-call]  # distributed is typed in part
        if self._cluster is not None:
            self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self, todo: Iterator[Task], window: Window, ledger: Ledger, on_event: Callable[[Event], None]) -> None:
        while True:
            self._check()
            window.memory_bytes, window.share_bytes = self._memory_bytes, self._share_bytes
            window.fill(todo, groups=_WINDOW_PER_THREAD * self._threads)
            if len(window) == 0:
                window.again += self._seal(ledger, on_event)
                if not window.again:
                    return
            for task, receipt in window.finished(timeout_s=_TURN_S):
                if receipt.again is not None:
                    window.again.append(receipt.again)
                elif receipt.event is not None and receipt.event.kind == "stopped":
                    on_event(receipt.event)
                    raise error_named(receipt.event.error, receipt.event.message)
                else:
                    ledger.add(task, receipt)
                    self._note(receipt.workplace, receipt.sealed)
            for event in ledger.settle(self._sealed):
                on_event(event)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise StoppedError("the run was stopped; give the same command again to go on")
        if self._client.status != "running":
            raise StoppedError(LOST)
        if time.monotonic() - self._looked_s > _LOOK_S:
            self._look()
        if time.monotonic() - self._seen_s > _PATIENCE_S:
            raise StoppedError("the cluster has had no workers for two minutes; give the same command again to go on")

    def _look(self) -> None:
        # how many threads there are, and whether they ration memory, may change as hosts come and go
        self._looked_s = time.monotonic()
        with _lost_if_silent():
            workers = self._client.scheduler_info()["workers"].values()
        if workers:
            self._seen_s = self._looked_s
        memory = [worker["resources"].get(MEMORY_RESOURCE) for worker in workers]
        self._memory_bytes = int(max(memory)) if memory and None not in memory else None
        self._threads = max(1, sum(worker["nthreads"] for worker in workers))
        most = max((worker["nthreads"] for worker in workers), default=1)
        self._share_bytes = None if self._memory_bytes is None else self._memory_bytes // most

    def _seal(self, ledger: Ledger, on_event: Callable[[Event], None]) -> list[Task]:
        answers = self._ask(seal)
        for event in ledger.settle(self._sealed):
            on_event(event)
        for answer in answers:
            if answer.error:
                raise error_named(answer.error, answer.message)
        return ledger.lost()

    def _leave(self, window: Window, ledger: Ledger, on_event: Callable[[Event], None]) -> None:
        # the reason to stop is on its way up: a scheduler that is lost by now adds nothing to it
        with contextlib.suppress(StoppedError), _lost_if_silent():
            window.cancel()
            if self._client.status == "running":
                self._ask(leave)
        for event in ledger.settle(self._sealed):
            on_event(event)

    def _ask(self, question: Callable[[str], Sealed]) -> list[Sealed]:
        with _lost_if_silent():
            answers = self._client.run(question, self._token, on_error="ignore")
        known = [answer for answer in (answers or {}).values() if answer.workplace]
        for answer in known:
            self._note(answer.workplace, answer.number)
        return known

    def _on_news(self, event: tuple[float, dict[str, Any]]) -> None:
        news = event[1]
        if "workplace" in news:
            self._note(news["workplace"], news["number"])
            return
        receipts = [Receipt.from_json(value) for value in news["receipts"]]
        for window in tuple(self._windows):
            window.hand_back(news["group"], receipts)

    def _note(self, workplace: str, number: int) -> None:
        self._sealed[workplace] = max(number, self._sealed.get(workplace, 0))


@contextlib.contextmanager
def _lost_if_silent() -> Iterator[None]:
    try:
        yield
    except (OSError, TimeoutError) as error:
        # the client may not have noticed yet that nobody answers
        raise StoppedError(LOST) from error


def _local_cluster(spec: EngineSpec) -> LocalCluster:
    memory_bytes = spec.memory_bytes or int(MEMORY_LIMIT * _MEMORY_SHARE)
    _silence()
    try:
        return _started_cluster(spec, memory_bytes)
    except (OSError, RuntimeError, TimeoutError) as error:
        raise StoppedError(
            f"the workers on this host could not be started ({type(error).__name__}); give the same command again"
        ) from error


def _started_cluster(spec: EngineSpec, memory_bytes: int) -> LocalCluster:
    # a worker that is stopped, or stuck in the kernel, is lost as well: its nanny starts it anew
    with dask.config.set({"distributed.scheduler.worker-ttl": f"{spec.silence_s}s"}):
        return LocalCluster(  # type: ignore[no-untyped-call]  # distributed is typed in part
            n_workers=1,
            threads_per_worker=spec.workers or CPU_COUNT,
            processes=True,
            host="127.0.0.1",
            # None would listen on port 8787 all the same; no routes are served here
            dashboard_address="127.0.0.1:0",
            # Dask does not see the memory of sandboxes; their supervisors do
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            resources={MEMORY_RESOURCE: memory_bytes},
            security=True,
            # spans keep a record of every submission for as long as the scheduler lives
            scheduler_kwargs={
                "extensions": {name: kind for name, kind in DEFAULT_EXTENSIONS.items() if name != "spans"}
            },
            extensions={},
        )


def _silence() -> None:
    """Silence every logger of distributed: they hold texts of exceptions; what matters is raised."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    for name in ("distributed", *names):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _client_of(spec: EngineSpec, address: str) -> Client:
    _silence()
    security = None
    if address.startswith("tls://"):
        _check_files(spec)
        security = Security(  # type: ignore[no-untyped-call]  # distributed is typed in part
            require_encryption=True,
            tls_ca_file=spec.tls_ca,
            tls_client_cert=spec.tls_cert,
            tls_client_key=spec.tls_key,
        )
    elif urlsplit(address).hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise SecurityError("site: a scheduler beyond this host needs a tls:// address; anyone on the way reads tcp://")
    try:
        return Client(address, security=security, set_as_default=False, timeout=30)  # type: ignore[no-untyped-call]  # distributed is typed in part
    except OSError as error:
        raise StoppedError("the Dask scheduler does not answer at its address") from error


def _check_files(spec: EngineSpec) -> None:
    for name in ("tls_ca", "tls_cert", "tls_key"):
        value = getattr(spec, name)
        if value is None or not Path(value).is_file():
            raise ConfigError(f"site: {name} names no file, and a tls:// address needs it")
