"""Small cases share a Dask task: how many, and which of them are still awaited.

What Dask costs, it costs per task, whatever the task does. So cases that take milliseconds go
to a worker several at a time; each still has its own sandbox call, deadline, record and event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from medpipe.engine.tasks import Receipt, Task

_AIM_S = 0.08
_MOST = 64


class Pace:
    """How many cases a group holds: as many as take a twelfth of a second, at most 64.

    The first group holds one case. Groups double at most as they come back, and shrink at once.
    """

    def __init__(self) -> None:
        self.size = 1

    def note(self, receipts: Sequence[Receipt | None]) -> None:
        """Learn from a group that came back."""
        seconds = [receipt.event.wall_s for receipt in receipts if receipt is not None and receipt.event is not None]
        if len(seconds) < len(receipts):
            # a case is tried again or was handed back: not the time to grow
            self.size = max(1, self.size // 2)
            return
        fitting = int(_AIM_S * len(seconds) / max(sum(seconds), 1e-9))
        self.size = max(1, min(2 * self.size, fitting, _MOST))


def grouped(again: deque[Task], todo: Iterator[Task], pace: Pace, *, share_bytes: int | None) -> list[Task]:
    """Take the next group; empty if nothing is left.

    Parameters
    ----------
    again : deque of Task
        Taken first. What is alone, or was tried before, shares a group with no other.
    todo : iterator of Task
        Read no further than needed.
    pace : Pace
    share_bytes : int or None
        Memory of one of the cases that run at the same time; one that needs more goes alone.
    """
    group: list[Task] = []
    while len(group) < pace.size:
        task = again.popleft() if again else next(todo, None)
        if task is None:
            break
        if group and not _is_small(task, share_bytes):
            again.appendleft(task)
            break
        group.append(task)
        if not _is_small(task, share_bytes):
            break
    return group


class Group:
    """Cases given to Dask as one task, those still awaited marked.

    Parameters
    ----------
    tasks : sequence of Task
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        self._is_out = [True] * len(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def handed_back(self, start: int) -> list[Task]:
        """Return the cases from ``start`` on that were awaited, and await them no more."""
        return [task for place in range(start, len(self.tasks)) if (task := self._taken(place)) is not None]

    def settled(self, receipts: Sequence[Receipt | None]) -> Iterator[tuple[Task, Receipt | None]]:
        """Yield cases that were awaited with their receipts; None for one that did not run."""
        for place, receipt in enumerate(receipts):
            task = self._taken(place)
            if task is not None:
                yield task, receipt

    def _taken(self, place: int) -> Task | None:
        was_out, self._is_out[place] = self._is_out[place], False
        return self.tasks[place] if was_out else None


def _is_small(task: Task, share_bytes: int | None) -> bool:
    is_first = task.attempt == 1 and not task.is_alone
    return is_first and (share_bytes is None or task.projected_bytes <= share_bytes)
