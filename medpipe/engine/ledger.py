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

    def add(self, task: Task, receipt: Receipt) -> None:
        """Write down a receipt that has an event."""
        assert receipt.event is not None
        entries = self._open.setdefault(receipt.workplace, [])
        entries.append(_Entry(receipt.number, task, receipt.event))

    def settle(self, sealed: Mapping[str, int]) -> Iterator[Event]:
        """Strike out and yield the events whose results are durable.

        Parameters
        ----------
        sealed : mapping
            For workplaces by name, the number up to which their results are durable.
        """
        for name, number in sealed.items():
            entries = self._open.pop(name, [])
            still_open = [entry for entry in entries if entry.number > number]
            if still_open:
                self._open[name] = still_open
            for entry in entries:
                if entry.number <= number:
                    yield entry.event

    def lost(self) -> list[Task]:
        """Strike out and return the tasks that are left: their results went with a process."""
        tasks = [entry.task for entries in self._open.values() for entry in entries]
        self._open.clear()
        return tasks
