"""The driver's list of results that are kept but not yet known to be durable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from medpipe.engine.tasks import Event, Receipt, Task


class _Entry(NamedTuple):
    number: int
    task: Task
    event: Event


class Ledger:
    """Receipts of finished tasks, by workplace, until their results are sealed."""

    def __init__(self) -> None:
        self._open: dict[str, list[_Entry]] = {}
        self._next: dict[str, int] = {}

    def add(self, task: Task, receipt: Receipt) -> None:
        """Write down a receipt that has an event."""
        assert receipt.event is not None
        self._keep(receipt.workplace, _Entry(receipt.number, task, receipt.event))

    def settle(self, sealed: Mapping[str, int]) -> Iterator[Event]:
        """Strike out and yield the events whose results are durable.

        Parameters
        ----------
        sealed : mapping
            For workplaces by name, the number up to which their results are durable.
        """
        # most of the time nothing is due, and a look must not cost what the list is long
        due = [name for name, lowest in self._next.items() if sealed.get(name, 0) >= lowest]
        for name in due:
            entries, number = self._open.pop(name), sealed[name]
            del self._next[name]
            for entry in entries:
                if entry.number <= number:
                    yield entry.event
                else:
                    self._keep(name, entry)

    def lost(self) -> list[Task]:
        """Strike out and return the tasks that are left: their results went with a process."""
        tasks = [entry.task for entries in self._open.values() for entry in entries]
        self._open.clear()
        self._next.clear()
        return tasks

    def _keep(self, name: str, entry: _Entry) -> None:
        self._open.setdefault(name, []).append(entry)
        self._next[name] = min(entry.number, self._next.get(name, entry.number))
