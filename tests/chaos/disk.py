"""What a process does to a folder, operation by operation: told, refused, slowed or cut off.

Python's own ways to the file system are wrapped (``os``, and every ``open`` by its audit
event), and the one call that medpipe makes by itself (``renameat2``). Each function that can be
named as a job's ``prepare`` takes ``given``, with the folder to watch as ``lake``.
"""

# ruff: noqa: PTH100, PTH115, PTH118  # what is wrapped here is what pathlib stands on

from __future__ import annotations

import errno
import functools
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.chaos.mutations import replace_everywhere

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

Listener = Callable[[str, tuple[str, ...]], None]
"""Called with the operation and its paths relative to the folder."""


class Watched:
    """A folder whose changes by this process are seen.

    Parameters
    ----------
    root : Path
    before, after : callable
        Called around each operation, one at a time over all threads; what ``before`` raises the
        operation raises.
    """

    def __init__(self, root: Path, *, before: Listener, after: Listener) -> None:
        self._root = os.path.realpath(root)
        self._before = before
        self._after = after
        self._lock = threading.RLock()
        self._is_deaf = threading.local()

    def watch(self) -> None:
        """Begin, for the rest of this process."""
        self._wrap("mkdir", 1)
        self._wrap("rmdir", 1)
        self._wrap("unlink", 1)
        self._wrap("remove", 1, told="unlink")
        self._wrap("rename", 2)
        self._wrap("replace", 2, told="rename")
        self._wrap("link", 2)
        self._wrap_symlink()
        self._wrap_fsync()
        self._wrap_rename_noreplace()
        self._wrap_sync_disk()
        sys.addaudithook(self._on_audit)

    def inside(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Return a path relative to the folder, or None where it leads elsewhere."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fsdecode(path))
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        full = os.path.join(os.path.realpath(folder), name)
        if full == self._root:
            return "."
        return full[len(self._root) + 1 :] if full.startswith(self._root + os.sep) else None

    def told(self, operation: str, paths: tuple[str | None, ...], call: Callable[[], Any]) -> Any:
        """Do an operation between its two listeners."""
        named = tuple(path for path in paths if path is not None)
        if not named or getattr(self._is_deaf, "now", False):
            return call()
        with self._lock:
            self._quietly(self._before, operation, named)
            outcome = call()
            self._quietly(self._after, operation, named)
            return outcome

    def _quietly(self, listener: Listener, operation: str, paths: tuple[str, ...]) -> None:
        """Call a listener, whose own files are not listened to."""
        self._is_deaf.now = True
        try:
            listener(operation, paths)
        finally:
            self._is_deaf.now = False

    def _wrap(self, name: str, n_paths: int, *, told: str = "") -> None:
        original = getattr(os, name)

        @functools.wraps(original)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            folders = (
                [options.get("dir_fd")] if n_paths == 1 else [options.get("src_dir_fd"), options.get("dst_dir_fd")]
            )
            paths = tuple(self.inside(path, fd) for path, fd in zip(arguments[:n_paths], folders, strict=True))
            return self.told(told or name, paths, lambda: original(*arguments, **options))

        setattr(os, name, wrapped)

    def _wrap_symlink(self) -> None:
        original = os.symlink

        def symlink(to: Any, path: Any, *rest: Any, **options: Any) -> None:
            self.told("symlink", (self.inside(path),), lambda: original(to, path, *rest, **options))

        os.symlink = symlink

    def _wrap_fsync(self) -> None:
        original = os.fsync

        def fsync(file: Any) -> None:
            number = file if isinstance(file, int) else file.fileno()
            self.told("fsync", (self.inside(number),), lambda: original(number))

        os.fsync = fsync

    def _wrap_rename_noreplace(self) -> None:
        from medpipe.lake import durable

        original = durable._rename_noreplace

        def rename(source: Path, target: Path) -> int:
            # a refused one is told as well: a replay finds the name taken just so
            return self.told("rename_new", (self.inside(source), self.inside(target)), lambda: original(source, target))

        durable._rename_noreplace = rename

    def _wrap_sync_disk(self) -> None:
        from medpipe.lake import durable

        original = durable.sync_disk

        def sync_disk(folder: Path) -> None:
            self.told("syncall", (self.inside(folder),), lambda: original(folder))

        replace_everywhere(original, sync_disk)

    def _on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or getattr(self._is_deaf, "now", False):
            return
        path, mode, flags = arguments
        is_writing = bool(flags & WRITING) if mode is None else bool(set("wxa+") & set(mode))
        if is_writing and not isinstance(path, int):
            named = self.inside(path)
            if named is not None:
                with self._lock:
                    self._quietly(self._before, "open", (named,))
                    self._quietly(self._after, "open", (named,))


# what can be done to a job ----------------------------------------------------------------------


def _nothing(_operation: str, _paths: tuple[str, ...]) -> None:
    pass


def kill_at(given: Mapping[str, Any]) -> None:
    """Kill this process before its operation number ``given["at"]`` on the lake."""
    left = [given["at"]]

    def before(_operation: str, _paths: tuple[str, ...]) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Watched(Path(given["lake"]), before=before, after=_nothing).watch()


def full_from(given: Mapping[str, Any]) -> None:
    """Let every operation on the lake that needs room fail, from number ``given["at"]`` on."""
    left = [given["at"]]

    def before(operation: str, paths: tuple[str, ...]) -> None:
        if operation in {"unlink", "rmdir", "syncall"}:
            return
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), paths[0])

    Watched(Path(given["lake"]), before=before, after=_nothing).watch()


def slow(given: Mapping[str, Any]) -> None:
    """Let every operation on the lake take ``given["pause_s"]`` longer."""

    def before(_operation: str, _paths: tuple[str, ...]) -> None:
        time.sleep(given["pause_s"])

    Watched(Path(given["lake"]), before=before, after=_nothing).watch()


def listed(given: Mapping[str, Any]) -> None:
    """Write every operation on the lake as a line into the file ``given["count"]``."""
    lines = open(given["count"], "w", encoding="utf-8", buffering=1)  # noqa: SIM115, PTH123  # open until the end

    def before(operation: str, paths: tuple[str, ...]) -> None:
        lines.write(" ".join((operation, *paths)) + "\n")

    Watched(Path(given["lake"]), before=before, after=_nothing).watch()


def recorded(given: Mapping[str, Any]) -> None:
    """Append every operation to the file ``given["log"]``, with the bytes that were written."""
    Recorder(Path(given["lake"]), Path(given["log"])).begin()


class Recorder:
    """Keeps what a replay of a loss of power needs; see :mod:`tests.chaos.power`.

    Parameters
    ----------
    root : Path
        Folder to watch.
    log : Path
        Gets pickled tuples: the operation, its paths, and for ``write`` and ``symlink`` what is
        written.
    """

    def __init__(self, root: Path, log: Path) -> None:
        self._root = root
        self._log = log.open("ab", buffering=0)
        self._dirty: dict[str, bytes | None] = {}

    def begin(self) -> None:
        """Watch from now on."""
        from medpipe.lake.store import LocalStore

        Watched(self._root, before=self._before, after=self._after).watch()
        original = LocalStore.put_if_absent

        def put_if_absent(store: LocalStore, path: str, data: bytes) -> bool:
            done = original(store, path, data)
            if "/segments/" in path:
                self._note("sealed", path)
            return done

        LocalStore.put_if_absent = put_if_absent  # type: ignore[method-assign]

    def _note(self, *record: Any) -> None:
        self._log.write(pickle.dumps(record))

    def _before(self, operation: str, paths: tuple[str, ...]) -> None:
        self._read_dirty()
        if operation == "open" and paths[0] not in self._dirty:
            # what an older process wrote there is not this one's doing
            self._dirty[paths[0]] = self._content(paths[0])
            if self._dirty[paths[0]] is None:
                self._note("create", *paths)
                self._dirty[paths[0]] = b""

    def _after(self, operation: str, paths: tuple[str, ...]) -> None:
        if operation == "open" or (operation == "mkdir" and paths[0] == "."):
            return  # told before; and the folder itself is there in every state
        if operation == "fsync":
            self._synced(paths[0])
        elif operation == "rename_new":
            if not os.path.lexists(self._root / paths[0]):
                self._renamed(*paths)
        elif operation == "rename":
            self._renamed(*paths)
        elif operation == "symlink":
            self._note("symlink", paths[0], os.readlink(self._root / paths[0]))
        else:
            if operation == "unlink":
                self._dirty.pop(paths[0], None)
            self._note(operation, *paths)

    def _synced(self, path: str) -> None:
        if (self._root / path).is_dir():
            self._note("syncdir", path)
            return
        if path not in self._dirty:
            self._dirty[path] = None
            self._read_dirty()
        self._note("sync", path)

    def _renamed(self, source: str, target: str) -> None:
        self._note("rename", source, target)
        moved = {path for path in self._dirty if path == source or path.startswith(f"{source}/")}
        self._dirty.update({target + path[len(source) :]: self._dirty.pop(path) for path in moved})

    def _read_dirty(self) -> None:
        for path, known in list(self._dirty.items()):
            content = self._content(path)
            if content is not None and content != known:
                self._dirty[path] = content
                self._note("write", path, content)

    def _content(self, path: str) -> bytes | None:
        try:
            return (self._root / path).read_bytes()
        except OSError:
            return None
