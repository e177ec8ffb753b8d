"""A loss of power: every state a recorded run could leave on the disk.

The model is the pessimistic reading of POSIX. A file's bytes are safe once it was synced, an
entry of a folder once that folder was; until then each may have reached the disk or not,
whatever the order: bytes as nothing, as a part or whole, entries each by itself. A rename is
one entry less and one more, both or neither.
"""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = 0
"""Number of the folder itself."""

Place = tuple[int, str]
"""A folder's number and a name in it."""


@dataclass(slots=True)
class Node:
    """A file (`now` and, once synced, `safe`), a folder (neither) or a link (`to`)."""

    number: int
    is_folder: bool = False
    to: str | None = None
    now: bytes = b""
    safe: bytes | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Entries that change together; None takes an entry away."""

    entries: tuple[tuple[Place, Node | None], ...]

    def touches(self, folder: int) -> bool:
        """Tell whether syncing a folder makes this durable."""
        return any(place[0] == folder for place, _ in self.entries)

    def places(self) -> set[Place]:
        """Return the entries it changes."""
        return {place for place, _ in self.entries}


@dataclass(slots=True)
class Disk:
    """What a run has done so far: as it sees it, and what of that is durable."""

    seen: dict[Place, Node] = field(default_factory=dict)
    durable: dict[Place, Node] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1 << 40)))

    def load(self, root: Path) -> None:
        """Take what is in a folder as durable."""
        for folder, folders, files in os.walk(root):
            at = self.folder(os.path.relpath(folder, root))
            for name in [*folders, *files]:
                path = Path(folder, name)
                node = Node(next(self._numbers), is_folder=path.is_dir() and not path.is_symlink())
                if path.is_symlink():
                    node.to = str(path.readlink())
                elif path.is_file():
                    node.now = node.safe = path.read_bytes()
                self.seen[at, name] = self.durable[at, name] = node

    def apply(self, record: Sequence[Any]) -> None:
        """Take one recorded operation."""
        operation, path, *rest = record
        if operation in {"sealed", "ended"}:
            self.told.append((operation, path))
        elif operation == "write":
            self._file(path).now = rest[0]
        elif operation == "sync":
            node = self._file(path)
            node.safe = node.now
        elif operation == "syncdir":
            self._sync(self.folder(path))
        elif operation == "syncall":
            self._sync_all()
        else:
            self._change(self._changed(operation, path, *rest))

    def folder(self, path: str) -> int:
        """Return the number of a folder."""
        at = ROOT
        for name in path.split("/") if path != "." else ():
            at = self.seen[at, name].number
        return at

    def _place(self, path: str) -> Place:
        folder, _, name = path.rpartition("/")
        return self.folder(folder or "."), name

    def _file(self, path: str) -> Node:
        place = self._place(path)
        if place not in self.seen:
            self._change(Change(((place, Node(next(self._numbers))),)))
        return self.seen[place]

    def _changed(self, operation: str, path: str, *rest: str) -> Change:
        place = self._place(path)
        if operation in {"unlink", "rmdir"}:
            return Change(((place, None),))
        if operation == "link":
            return Change(((self._place(rest[0]), self.seen[place]),))
        if operation == "rename":
            return Change(((place, None), (self._place(rest[0]), self.seen[place])))
        to = rest[0] if operation == "symlink" else None
        return Change(((place, Node(next(self._numbers), is_folder=operation == "mkdir", to=to)),))

    def _change(self, change: Change) -> None:
        _enter(self.seen, change)
        self.pending.append(change)

    def _sync(self, folder: int) -> None:
        safe = {number for number, change in enumerate(self.pending) if change.touches(folder)}
        settled: set[Place] = set()
        outdated = set()
        for number in reversed(range(len(self.pending))):
            change = self.pending[number]
            if number not in safe and change.places() & settled:
                # what came later at the same entry is durable: a rename comes with it, the rest is past
                (safe if len(change.entries) > 1 else outdated).add(number)
            if number in safe:
                settled |= change.places()
        for number in sorted(safe):
            _enter(self.durable, self.pending[number])
        gone = safe | outdated
        self.pending = [change for number, change in enumerate(self.pending) if number not in gone]

    def _sync_all(self) -> None:
        self.durable = dict(self.seen)
        self.pending = []
        for node in self.seen.values():
            node.safe = node.now

    # states -------------------------------------------------------------------------------------

    def state(self, rng: random.Random, how: str) -> dict[str, bytes | str | None]:
        """Return what could be on the disk: bytes by path, link targets as text, None for folders.

        Parameters
        ----------
        rng : random.Random
        how : {"least", "most", "any"}
            ``least``: what is durable and no more; ``most``: all entries, no byte that was not
            synced; ``any``: of everything that was not synced some.
        """
        entries = dict(self.durable)
        for change in self.pending:
            if how == "most" or (how == "any" and rng.random() < 0.5):
                _enter(entries, change)
        below: dict[int, list[tuple[str, Node]]] = {}
        for (at, name), node in entries.items():
            below.setdefault(at, []).append((name, node))
        return dict(_walked(below, ROOT, "", rng, how))


def _enter(entries: dict[Place, Node], change: Change) -> None:
    for place, node in change.entries:
        if node is None:
            entries.pop(place, None)
        else:
            entries[place] = node


def _walked(
    below: dict[int, list[tuple[str, Node]]], at: int, prefix: str, rng: random.Random, how: str
) -> Iterator[tuple[str, bytes | str | None]]:
    for name, node in sorted(below.get(at, ()), key=lambda entry: entry[0]):
        path = prefix + name
        if node.is_folder:
            yield path, None
            yield from _walked(below, node.number, f"{path}/", rng, how)
        elif node.to is not None:
            yield path, node.to
        else:
            yield path, _bytes_of(node, rng, how)


def _bytes_of(node: Node, rng: random.Random, how: str) -> bytes:
    if node.safe == node.now:
        return node.now
    old = node.safe or b""
    if how != "any":
        return old
    part = node.now[: rng.randrange(len(node.now) + 1)]
    return rng.choice((old, part, part.ljust(len(node.now), b"\0"), node.now))


# a recorded run ---------------------------------------------------------------------------------


def read_log(path: Path) -> list[tuple[Any, ...]]:
    """Return the records of a log; the last may be torn by a kill."""
    records = []
    with path.open("rb") as log:
        while True:
            try:
                records.append(pickle.load(log))
            except (EOFError, pickle.UnpicklingError):
                return records


def put_state(state: dict[str, bytes | str | None], root: Path) -> None:
    """Write a state into a new folder."""
    root.mkdir()
    for path, content in state.items():
        if content is None:
            (root / path).mkdir()
        elif isinstance(content, str):
            (root / path).symlink_to(content)
        else:
            (root / path).write_bytes(content)
