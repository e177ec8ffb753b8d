"""A bounded window of Dask futures that are dropped as they come."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

from distributed import Client, Future, KilledWorker

from medpipe.engine.dask_worker import MEMORY_RESOURCE, work
from medpipe.engine.tasks import Receipt, Task
from medpipe.errors import MedpipeError, StoppedError

_FETCH_S = 1.0
LOST = "the Dask scheduler was lost; give the same command again to go on"


class Window:
    """Tasks that were given to Dask and have not come back.

    Parameters
    ----------
    client : Client
    token : str
        Name of the engine whose place in the workers runs them.
    turns : iterator of int
        Numbers no task of this engine has had: a case that runs again needs another key, or
        Dask may answer with what it remembers.

    Attributes
    ----------
    memory_bytes : int or None
        Memory of a worker, if the workers ration theirs.
    """

    def __init__(self, client: Client, token: str, *, turns: Iterator[int]) -> None:
        self._client = client
        self._token = token
        self.memory_bytes: int | None = None
        self._turns = turns
        self._out: dict[str, tuple[Future[Any], Task]] = {}
        self._back: queue.SimpleQueue[str] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._out)

    def submit(self, task: Task) -> None:
        """Give a task to Dask.

        Raises
        ------
        StoppedError
            If the scheduler is lost.
        """
        key = f"{task.run}-{task.shard}-{task.row}-{self._token[-8:]}.{next(self._turns)}"
        try:
            future = self._client.submit(
                work, self._token, task, key=key, pure=False, retries=0, resources=self._resources(task)
            )
        except (OSError, RuntimeError) as error:
            raise StoppedError(LOST) from error
        self._out[key] = (future, task)
        future.add_done_callback(self._on_done)  # type: ignore[no-untyped-call]  # distributed is typed in part

    def finished(self, *, timeout_s: float) -> Iterator[tuple[Task, Receipt]]:
        """Yield tasks that came back, waiting for the first at most ``timeout_s``.

        Raises
        ------
        StoppedError
            If the scheduler is lost.
        MedpipeError
            If a worker failed outside of what a case can do.
        """
        keys = []
        with contextlib.suppress(queue.Empty):
            keys.append(self._back.get(timeout=timeout_s))
            while True:
                keys.append(self._back.get_nowait())
        for key in keys:
            receipt = self._fetched(key)
            if receipt is not None:
                _, task = self._out.pop(key)
                yield task, receipt

    def cancel(self) -> None:
        """Take back what has not started and forget the rest."""
        futures = [future for future, _ in self._out.values()]
        self._out.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)  # type: ignore[no-untyped-call]  # distributed is typed in part

    def _resources(self, task: Task) -> dict[str, Any] | None:
        if self.memory_bytes is None:
            return None
        wanted = self.memory_bytes if task.is_alone else min(task.projected_bytes, self.memory_bytes)
        return {MEMORY_RESOURCE: max(1, wanted)}

    def _on_done(self, future: Future[Any]) -> None:
        self._back.put(str(future.key))

    def _fetched(self, key: str) -> Receipt | None:
        future, task = self._out[key]
        if _is_cancelled(future):
            raise StoppedError(LOST)
        try:
            receipt: Receipt = future.result(timeout=_FETCH_S)
        except TimeoutError:
            # the worker went with the result and Dask runs the case again
            self._back.put(key)
            return None
        except KilledWorker as error:
            raise StoppedError(
                f"workers were lost again and again at case {task.shard}/{task.row}: see to the hosts, "
                "then give the same command again"
            ) from error
        except MedpipeError:
            raise
        except Exception as error:
            if _is_cancelled(future) or self._client.status != "running":
                raise StoppedError(LOST) from error
            raise MedpipeError(f"a worker failed at case {task.shard}/{task.row} ({type(error).__name__})") from error
        return receipt


def _is_cancelled(future: Future[Any]) -> bool:
    return bool(future.cancelled())  # type: ignore[no-untyped-call]  # distributed is typed in part
