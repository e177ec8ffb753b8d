"""Groups of cases at work in one process: case by case, and handed back if one is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from medpipe.engine.tasks import Receipt, Task, execute
from medpipe.engine.workplace import Workplace

_PATIENCE_S = 0.5


class Turns:
    """The groups at work; a case that takes long keeps no other waiting.

    Parameters
    ----------
    hand_back : callable
        Called with (number of the group, receipts) once a group has taken half a second: the
        receipts it has by then. After the case that follows those no other will run here,
        unless the group is given out anew.
    """

    def __init__(self, hand_back: Callable[[int, list[Receipt]], None]) -> None:
        self._hand_back = hand_back
        self._lock = threading.Lock()
        self._at_work: dict[int, _Turn] = {}
        self._closing = threading.Event()
        threading.Thread(target=self._look, name="medpipe-turns", daemon=True).start()

    def work(self, number: int, tasks: Sequence[Task], workplace: Workplace) -> list[Receipt | None]:
        """Run a group; None for cases that did not run, because one before them took long or stopped the work."""
        turn = _Turn(end=len(tasks))
        if len(tasks) > 1:
            with self._lock:
                self._at_work[number] = turn
        try:
            while turn.begins():
                receipt = execute(tasks[len(turn.receipts)], workplace)
                turn.receipts.append(receipt)
                if receipt.event is not None and receipt.event.kind == "stopped":
                    break
        finally:
            with self._lock:
                self._at_work.pop(number, None)
        return [*turn.receipts, *[None] * (len(tasks) - len(turn.receipts))]

    def close(self) -> None:
        """End the thread that looks after groups."""
        self._closing.set()

    def _look(self) -> None:
        while not self._closing.wait(_PATIENCE_S / 2):
            with self._lock:
                late = [(number, turn) for number, turn in self._at_work.items() if turn.age_s() > _PATIENCE_S]
            for number, turn in late:
                receipts = turn.cut()
                if receipts is not None:
                    self._hand_back(number, receipts)


class _Turn:
    """How far a group is, and where it ends."""

    def __init__(self, *, end: int) -> None:
        self.receipts: list[Receipt] = []
        self._end = end
        self._is_cut = False
        self._start_s = time.monotonic()
        self._lock = threading.Lock()

    def age_s(self) -> float:
        return time.monotonic() - self._start_s

    def begins(self) -> bool:
        """Tell whether another case begins."""
        with self._lock:
            return len(self.receipts) < self._end

    def cut(self) -> list[Receipt] | None:
        """Let the group end with the case at work and return the receipts before it; None if that was done."""
        with self._lock:
            if self._is_cut:
                return None
            self._is_cut = True
            receipts = list(self.receipts)
            self._end = min(self._end, len(receipts) + 1)
            return receipts
