"""A bounded window of Dask futures that are dropped as they come."""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

from distributed import Client, Future, KilledWorker

from medpipe.engine.dask_worker import MEMORY_RESOURCE, work
from medpipe.engine.groups import Group, Pace, grouped
from medpipe.engine.tasks import Receipt, Task
from medpipe.errors import MedpipeError, StoppedError

_FETCH_S = 1.0
# one name for all: Dask keeps books on every name of tasks it has ever seen
_NAME = "medpipe-cases"
LOST = "the Dask scheduler was lost; give the same command again to go on"


class Window:
    """Groups of cases that were given to Dask and have not come back.

    Parameters
    ----------
    client : Client
    token : str
        Name of the engine whose place in the workers runs them.
    turns : iterator of int
        Numbers no group of this engine has had: a case that runs again needs another key, or
        Dask may answer with what it remembers.

    Attributes
    ----------
    memory_bytes : int or None
        Memory of a worker, if the workers ration theirs.
    share_bytes : int or None
        Memory of a worker for each of its threads.
    again : deque of Task
        Cases to be submitted before any other.
    """

    def __init__(self, client: Client, token: str, *, turns: Iterator[int]) -> None:
        self._client = client
        self._token = token
        self.memory_bytes: int | None = None
        self.share_bytes: int | None = None
        self.again: deque[Task] = deque()
        self._turns = turns
        self._pace = Pace()
        self._out: dict[int, tuple[Future[Any], Group]] = {}
        self._back: queue.SimpleQueue[tuple[int, Sequence[Receipt] | None]] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._out)

    def fill(self, todo: Iterator[Task], *, groups: int) -> None:
        """Submit cases until ``groups`` are out or none is left.

        Raises
        ------
        StoppedError
            If the scheduler is lost.
        """
        while len(self._out) < groups:
            tasks = grouped(self.again, todo, self._pace, share_bytes=self.share_bytes)
            if not tasks:
                return
            self._submit(Group(tasks))

    def finished(self, *, timeout_s: float) -> Iterator[tuple[Task, Receipt]]:
        """Yield cases that came back, waiting for the first at most ``timeout_s``.

        Cases that came back without having run are put into :attr:`again`.

        Raises
        ------
        StoppedError
            If the scheduler is lost.
        MedpipeError
            If a worker failed outside of what a case can do.
        """
        backs = []
        with contextlib.suppress(queue.Empty):
            backs.append(self._back.get(timeout=timeout_s))
            while True:
                backs.append(self._back.get_nowait())
        for number, early in backs:
            if number not in self._out:
                continue
            group = self._out[number][1]
            if early is not None:
                self.again += group.handed_back(len(early) + 1)
                yield from self._settled(group, early)
                continue
            receipts = self._fetched(number)
            if receipts is not None:
                del self._out[number]
                self._pace.note(receipts)
                yield from self._settled(group, receipts)

    def hand_back(self, number: int, receipts: Sequence[Receipt]) -> None:
        """Note what a group has done before a slow case, and that others wait behind it; from any thread."""
        self._back.put((number, receipts))

    def cancel(self) -> None:
        """Take back what has not started and forget the rest."""
        futures = [future for future, _ in self._out.values()]
        self._out.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)  # type: ignore[no-untyped-call]  # distributed is typed in part

    def _submit(self, group: Group) -> None:
        number = next(self._turns)
        key = (f"{_NAME}-{self._token[-8:]}", number)
        try:
            future = self._client.submit(
                work,
                self._token,
                number,
                group.tasks,
                key=key,
                pure=False,
                retries=0,
                resources=self._resources(group.tasks),
            )
        except (OSError, RuntimeError) as error:
            raise StoppedError(LOST) from error
        self._out[number] = (future, group)
        future.add_done_callback(lambda _: self._back.put((number, None)))  # type: ignore[no-untyped-call]  # distributed is typed in part

    def _settled(self, group: Group, receipts: Sequence[Receipt | None]) -> Iterator[tuple[Task, Receipt]]:
        for task, receipt in group.settled(receipts):
            if receipt is None:
                self.again.append(task)
            else:
                yield task, receipt

    def _resources(self, tasks: Sequence[Task]) -> dict[str, Any] | None:
        if self.memory_bytes is None:
            return None
        is_alone = any(task.is_alone for task in tasks)
        wanted = self.memory_bytes if is_alone else max(task.projected_bytes for task in tasks)
        return {MEMORY_RESOURCE: max(1, min(wanted, self.memory_bytes))}

    def _fetched(self, number: int) -> Sequence[Receipt | None] | None:
        future, group = self._out[number]
        if _is_cancelled(future):
            raise StoppedError(LOST)
        try:
            receipts: Sequence[Receipt | None] = future.result(timeout=_FETCH_S)
        except TimeoutError:
            # the worker went with the result and Dask runs the group again
            self._back.put((number, None))
            return None
        except KilledWorker as error:
            raise StoppedError(
                f"workers were lost again and again at {_place(group)}: see to the hosts, "
                "then give the same command again"
            ) from error
        except MedpipeError:
            raise
        except Exception as error:
            # a connection may be gone before the client has noticed
            is_lost = isinstance(error, OSError | CancelledError) or self._client.status != "running"
            if is_lost or _is_cancelled(future):
                raise StoppedError(LOST) from error
            raise MedpipeError(f"a worker failed at {_place(group)} ({type(error).__name__})") from error
        return receipts


def _place(group: Group) -> str:
    first = group.tasks[0]
    return f"case {first.shard}/{first.row}" + (f" or one of the {len(group) - 1} after it" if len(group) > 1 else "")


def _is_cancelled(future: Future[Any]) -> bool:
    return bool(future.cancelled())  # type: ignore[no-untyped-call]  # distributed is typed in part
