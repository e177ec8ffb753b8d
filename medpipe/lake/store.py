"""The store on a local or shared POSIX file system."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from medpipe.errors import LakeError, SecurityError, StoppedError
from medpipe.lake.durable import (
    ensure_folder,
    fsync_path,
    fsync_tree,
    link_exclusive,
    rename_exclusive,
    storage_faults,
    write_file,
)
from medpipe.lake.failpoints import hit
from medpipe.lake.layout import LAYOUT


class LocalStore:
    """Immutable objects, pointers and published folders below a root.

    Implements :class:`medpipe.contracts.protocols.Store`, and adds exclusive publishing of
    whole folders. Every write is made aside under ``tmp/`` and appears whole or not at all.

    Parameters
    ----------
    root : Path
        Folder of the lake.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._folders: dict[Path, int] = {}
        self._synced: set[Path] = set()

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    def absolute(self, path: str) -> Path:
        """Return where a path of the layout is on this host.

        Raises
        ------
        SecurityError
            If the path is absolute or climbs out of the root.
        """
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            raise SecurityError("a path out of the lake was asked for; refused")
        return self.root.joinpath(*parts)

    def get(self, path: str) -> bytes:
        """Return an object's bytes.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        """
        return self.absolute(path).read_bytes()

    def exists(self, path: str) -> bool:
        """Tell whether an object or folder is there."""
        return self.absolute(path).exists()

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the paths of all objects below a folder, sorted."""
        top = self.absolute(prefix)
        found = (Path(folder, name) for folder, _, names in os.walk(top) for name in names)
        yield from sorted(path.relative_to(self.root).as_posix() for path in found)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Write an object durably unless it is there; tell whether this call wrote it.

        Raises
        ------
        StoppedError
            If the disk is full or read-only; nothing half-written stays.
        """
        target = self.absolute(path)
        if target.exists():
            # Its writer may not have come to this line yet; who reads it must be able to rely on it.
            fsync_path(target.parent)
            return False
        with storage_faults(path), self._aside("put", data) as aside:
            self._ensure(target.parent)
            hit("put.before_link")
            won = link_exclusive(aside, target)
            hit("put.after_link")
            fsync_path(target.parent)
        return won

    def swap_pointer(self, path: str, data: bytes) -> None:
        """Replace a small object atomically and durably.

        Raises
        ------
        StoppedError
            If the disk is full or read-only; the old object stays.
        """
        target = self.absolute(path)
        with storage_faults(path), self._aside("pointer", data) as aside:
            self._ensure(target.parent)
            _replace(aside, target)

    def swap_link(self, path: str, to: str) -> None:
        """Point a symbolic link at another path of the lake, atomically and durably.

        Raises
        ------
        LakeError
            If something else stands in the link's place.
        """
        self.refuse_unless_link(path)
        target = self.absolute(path)
        relative = os.path.relpath(self.absolute(to), target.parent)
        with storage_faults(path), self.attempt("link") as aside:
            self._ensure(target.parent)
            ensure_folder(aside)
            link = aside / "link"
            link.symlink_to(relative, target_is_directory=True)
            _replace(link, target)

    def refuse_unless_link(self, path: str) -> None:
        """Refuse what is there and no symbolic link, as in a lake that was copied with its links followed.

        It may hold what is nowhere else, so nobody but its owner removes it.

        Raises
        ------
        LakeError
        """
        target = self.absolute(path)
        if target.exists() and not target.is_symlink():
            raise LakeError(
                f"{target} is no link, and no run can publish while it is there (was the lake copied with links "
                "followed, as cp -L does?): remove it, or move it out of the lake, and run again"
            )

    def publish_tree(self, attempt: Path, path: str) -> bool:
        """Move a written folder to its final path, which must not exist.

        Parameters
        ----------
        attempt : Path
            Folder below ``tmp/`` with everything in it.
        path : str
            Final path.

        Returns
        -------
        bool
            False if the final path was taken; the attempt is left alone then.

        Raises
        ------
        StoppedError
            If the disk is full or read-only, or the attempt was swept meanwhile.
        """
        target = self.absolute(path)
        with storage_faults(path):
            self._refuse_swept(attempt)
            hit("publish.before_fsync")
            fsync_tree(attempt)
            self._ensure(target.parent)
            hit("publish.before_rename")
            won = rename_exclusive(attempt, target)
            hit("publish.after_rename")
            fsync_path(target.parent)
        return won

    @contextmanager
    def attempt(self, label: str) -> Iterator[Path]:
        """Give a private path to write at; what is still there afterwards is removed.

        Parameters
        ----------
        label : str
            What is written, for a person who looks into ``tmp/``.
        """
        path = self.absolute(LAYOUT.attempt(label, uuid.uuid4().hex))
        ensure_folder(path.parent)
        try:
            yield path
        finally:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _ensure(self, folder: Path) -> None:
        """Create a folder durably, or make one durable that is there: once, up to the root.

        Another process may have made it and not yet come to sync its name.
        """
        if folder in self._synced and folder.is_dir():
            return
        if folder != self.root:
            self._ensure(folder.parent)
        if folder != self.root and folder.is_dir():
            fsync_path(folder.parent)
        else:
            ensure_folder(folder)
        self._synced.add(folder)

    @contextmanager
    def attempt_folder(self, label: str) -> Iterator[Path]:
        """Give a private folder to write in; it is published only if nobody has swept it meanwhile.

        A writer that was stopped for long, and wakes after gc took it for dead, may make the
        folder anew without knowing. What is in that is not whole.
        """
        with self.attempt(label) as path:
            path.mkdir()
            self._folders[path] = os.open(path, os.O_RDONLY)
            try:
                yield path
            finally:
                os.close(self._folders.pop(path))

    def _refuse_swept(self, attempt: Path) -> None:
        if attempt not in self._folders:
            return
        # Held open, so that no other folder can have its inode.
        own = os.fstat(self._folders[attempt])
        if not attempt.is_dir() or not os.path.samestat(own, attempt.stat()):
            raise StoppedError("what was being written was swept by gc, which took its writer for dead; run again")

    @contextmanager
    def _aside(self, label: str, data: bytes) -> Iterator[Path]:
        with self.attempt(label) as path:
            write_file(path, data)
            yield path


def _replace(aside: Path, target: Path) -> None:
    hit("pointer.before_replace")
    aside.replace(target)
    hit("pointer.after_replace")
    fsync_path(target.parent)
