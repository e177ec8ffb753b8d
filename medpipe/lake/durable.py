"""Durable writes on a POSIX file system: what survives a kill and a loss of power.

A file's bytes are safe after ``fsync`` of the file, its name after ``fsync`` of its folder.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from medpipe.errors import LakeError, StoppedError

_REFUSED = {
    errno.ENOSPC: ("no space is left on the device", "make room"),
    errno.EDQUOT: ("the disk quota is used up", "make room"),
    errno.EROFS: ("the file system is read-only", "have it mounted for writing"),
}
_DENIED = {errno.EACCES, errno.EPERM}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


@contextmanager
def storage_faults(where: str) -> Iterator[None]:
    """Turn a full or read-only disk into a stop that resumes, and missing permissions into a refusal.

    Parameters
    ----------
    where : str
        What was being written, for the message.

    Raises
    ------
    StoppedError
        For ENOSPC, EDQUOT and EROFS.
    LakeError
        For EACCES and EPERM; other errors pass.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _DENIED:
            raise LakeError(
                f"writing {where}: permission denied; make the lake's folder writable for this user, or choose another"
            ) from error
        refused = _REFUSED.get(error.errno or 0)
        if refused is None:
            raise
        why, remedy = refused
        raise StoppedError(
            f"writing {where}: {why}; nothing committed is lost: {remedy}, then run the same command again"
        ) from error


def fsync_path(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(root: Path) -> None:
    """Make a folder with all that is in it durable, from the leaves up."""
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            fsync_path(Path(folder, name))
        fsync_path(Path(folder))


def sync_disk(folder: Path) -> None:
    """Make everything durable that any process has written to the file system of a folder.

    Who takes over from a killed process calls this before it believes what it finds: a name can
    be seen before its folder was synced, and be gone after a loss of power.
    """
    syncfs = _function_of_libc("syncfs")
    if syncfs is None:
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)


def ensure_folder(folder: Path) -> None:
    """Create a folder and its parents durably; nothing happens if it is there."""
    if folder.is_dir():
        return
    ensure_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    fsync_path(folder.parent)


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write a new file and make its bytes durable (its name is not yet)."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def link_exclusive(source: Path, target: Path) -> bool:
    """Give a file a second name that must not be taken; tell whether it was free.

    Where the file system has no hard links the file is renamed instead.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return rename_exclusive(source, target)
    return True


def rename_exclusive(source: Path, target: Path) -> bool:
    """Rename a file or folder onto a name that must not be taken; tell whether it was free.

    Plain ``rename`` replaces files and empty folders silently, so Linux is asked for
    ``RENAME_NOREPLACE``; elsewhere a lock file beside the source orders those who rename.
    """
    code = _rename_noreplace(source, target)
    if code == 0:
        return True
    if code in {errno.EEXIST, errno.ENOTEMPTY}:
        return False
    if code in {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}:
        return _rename_locked(source, target)
    raise OSError(code, os.strerror(code), str(target))


def _rename_noreplace(source: Path, target: Path) -> int:
    rename = _renameat2()
    if rename is None:
        return errno.ENOSYS
    done = rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE)
    return 0 if done == 0 else ctypes.get_errno()


@cache
def _renameat2() -> Any:
    function = _function_of_libc("renameat2")
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        function.restype = ctypes.c_int
    return function


def _function_of_libc(name: str) -> Any:
    return getattr(ctypes.CDLL(None, use_errno=True), name, None)


def _rename_locked(source: Path, target: Path) -> bool:
    with (source.parent / "rename.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.lexists(target):
            return False
        source.rename(target)
        return True
