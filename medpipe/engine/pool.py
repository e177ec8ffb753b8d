"""A pool of sandboxes: threads borrow one, batches lose only the guilty."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from medpipe.engine.numeric import sandbox_class
from medpipe.engine.replies import Death, Reply
from medpipe.engine.sandbox import Sandbox, SandboxSpec
from medpipe.errors import MedpipeError, StoppedError

_DEATHS = 2


class SandboxPool:
    """Sandboxes that threads share; each starts when it is first used.

    Parameters
    ----------
    spec : SandboxSpec
    size : int
        Number of sandboxes.
    """

    def __init__(self, spec: SandboxSpec, *, size: int) -> None:
        self._zygote = spec.zygote()
        self._all = [Sandbox(spec, zygote=self._zygote) for _ in range(size)]
        # last in, first out: the sandbox whose caches and models are warm
        self._idle: queue.LifoQueue[Sandbox | None] = queue.LifoQueue()
        for sandbox in self._all:
            self._idle.put(sandbox)
        self._closed = threading.Event()

    @property
    def numeric_class(self) -> str:
        """Class the sandboxes compute in on the CPU."""
        return sandbox_class()

    @property
    def is_renewed(self) -> bool:
        """Return True: a sandbox starts anew when it has to."""
        return True

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Sandbox]:
        """Lend a sandbox, waiting for one if all are lent.

        Raises
        ------
        StoppedError
            If the pool is closed.
        """
        sandbox = self._idle.get()
        if sandbox is None or self._closed.is_set():
            if sandbox is not None:
                sandbox.close()
            # hand the news on to the next that waits
            self._idle.put(None)
            raise StoppedError("the sandboxes are closed: the work was stopped")
        try:
            yield sandbox
        finally:
            if self._closed.is_set():
                sandbox.close()
            self._idle.put(sandbox)

    def preload(self, modules: Sequence[str]) -> None:
        """Say what all sandboxes will need: those that are forked have it from the start."""
        if self._zygote is not None:
            self._zygote.preload(modules)

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
        """Ask the session of any sandbox; see :meth:`Sandbox.call`.

        Raises
        ------
        StoppedError
            If the pool is closed, also while the call runs.
        """
        with self.borrow() as sandbox:
            outcome = sandbox.call(
                kind,
                payload,
                deadline_s=deadline_s,
                memory_bytes=memory_bytes,
                stall_s=stall_s,
                is_fresh=is_fresh,
            )
            if isinstance(outcome, Death) and self._closed.is_set():
                raise StoppedError("the sandboxes are closed: the work was stopped")
            return outcome

    def map_batches(
        self,
        kind: str,
        batches: Iterable[Sequence[Any]],
        *,
        item_s: float,
        memory_bytes: int | None = None,
        subject: Callable[[Any], str] = str,
    ) -> Iterator[list[Any]]:
        """Work through batches of items on all sandboxes, in the order given.

        The session gets ``{"items": [...]}``, marks each item's subject before it works on it,
        and returns ``{"results": [...]}`` of the same length. If it dies or raises, the item
        marked last is tried alone and the others again, so only the guilty has no result. One
        death may have been somebody else's doing: an item is given up at its second.

        Parameters
        ----------
        kind : str
        batches : iterable of sequence
            Items are JSON values.
        item_s : float
            Seconds an item may take.
        memory_bytes : int, optional
            Resident memory of a sandbox.
        subject : callable, optional
            The subject the session marks for an item.

        Yields
        ------
        list
            For each item of a batch its result, or the :class:`Death` it causes.

        Raises
        ------
        MedpipeError
            If the session raises one on purpose, such as ``StoppedError``.
        """

        def settle(batch: Sequence[Any]) -> list[Any]:
            return self._settle(kind, batch, item_s=item_s, memory_bytes=memory_bytes, subject=subject)

        waiting: deque[Future[list[Any]]] = deque()
        with ThreadPoolExecutor(len(self._all), thread_name_prefix="medpipe-batch") as threads:
            try:
                for batch in batches:
                    waiting.append(threads.submit(settle, batch))
                    if len(waiting) >= 2 * len(self._all):
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def close(self) -> None:
        """End all sandboxes at once, those at work too."""
        self._closed.set()
        while True:
            try:
                sandbox = self._idle.get_nowait()
            except queue.Empty:
                break
            if sandbox is not None:
                sandbox.close()
        for sandbox in self._all:
            sandbox.kill()
        if self._zygote is not None:
            self._zygote.close()
        self._idle.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settle(
        self,
        kind: str,
        batch: Sequence[Any],
        *,
        item_s: float,
        memory_bytes: int | None,
        subject: Callable[[Any], str],
    ) -> list[Any]:
        results: list[Any] = [None] * len(batch)
        parts = [list(range(len(batch)))] if batch else []
        subjects = [subject(item) for item in batch]
        deaths: Counter[int] = Counter()
        while parts:
            places = parts.pop()
            outcome = self.call(
                kind,
                {"items": [batch[place] for place in places]},
                deadline_s=item_s * len(places),
                memory_bytes=memory_bytes,
                stall_s=item_s,
            )
            if isinstance(outcome, Reply) and outcome.value is not None:
                for place, result in zip(places, _results(outcome.value, len(places)), strict=True):
                    results[place] = result
                continue
            if isinstance(outcome, Reply):
                outcome.raise_if_stopping()
            guilty = _guilty(places, subjects, outcome.subject)
            if guilty is not None:
                deaths[guilty] += 1
            if len(places) > 1:
                parts += _split(places, guilty)
            elif isinstance(outcome, Death) and deaths[places[0]] < _DEATHS:
                parts.append(places)
            else:
                results[places[0]] = _death_of(outcome)
        return results


def _results(value: dict[str, Any], count: int) -> list[Any]:
    results: list[Any] = value["results"]
    if len(results) != count:
        raise MedpipeError(f"a session returned {len(results)} results for {count} items")
    return results


def _death_of(outcome: Reply | Death) -> Death:
    if isinstance(outcome, Death):
        return outcome
    return Death(
        code=outcome.code,
        stage=outcome.stage,
        subject=outcome.subject,
        wall_s=outcome.wall_s,
        cpu_s=outcome.cpu_s,
        peak_bytes=outcome.peak_bytes,
    )


def _guilty(places: list[int], subjects: list[str], marked: str) -> int | None:
    """Return the place of the item that was marked last, or of the only one."""
    if len(places) == 1:
        return places[0]
    return next((place for place in places if subjects[place] == marked), None)


def _split(places: list[int], guilty: int | None) -> list[list[int]]:
    if guilty is not None:
        at = places.index(guilty)
        parts = [places[:at], [places[at]], places[at + 1 :]]
    else:
        # no mark to go by: halve until the guilty stands alone
        middle = len(places) // 2
        parts = [places[:middle], places[middle:]]
    return [part for part in parts if part]
