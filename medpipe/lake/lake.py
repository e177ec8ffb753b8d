"""A lake: what it is, who may open it, and the one driver that works on it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, Literal

from medpipe.errors import IntegrityError, LakeError, SecurityError, StoppedError
from medpipe.lake.durable import ensure_folder, storage_faults, sync_disk
from medpipe.lake.layout import FORMAT_VERSION, LAYOUT, Layout
from medpipe.lake.private import Private
from medpipe.lake.store import LocalStore
from medpipe.lake.sums import read_with_sum, read_word_with_sum, with_sum, word_with_sum
from medpipe.privacy.secret import Secret

PrivacyMode = Literal["pseudonymized", "identified"]

_PRIVACY_MODES = ("pseudonymized", "identified")
_LOCK_PAUSES_S = (0.0, 0.05, 0.2)
_IGNORED = {"tmp", "lost+found"}
"""What may be in a folder that is to become a lake: a killed attempt, a fresh disk's own."""


class Lake:
    """A folder of results; made by :meth:`create`, opened by :meth:`open`.

    Attributes
    ----------
    root : Path
    store : LocalStore
    layout : Layout
    privacy : {"pseudonymized", "identified"}
    key_id : str
        Public id of the key the lake was made with.
    """

    def __init__(self, root: Path, description: dict[str, Any], secret: Secret | None) -> None:
        self.root = root.absolute()
        self.store = LocalStore(root)
        self.layout: Layout = LAYOUT
        self.privacy: PrivacyMode = description["privacy"]
        self.key_id: str = description["key_id"]
        self._driven_as: int | None = None
        self._private = None if secret is None else Private(self.store, secret)

    def __repr__(self) -> str:
        return f"Lake({str(self.root)!r})"

    @property
    def private(self) -> Private:
        """The sealed blobs.

        Raises
        ------
        SecurityError
            If the lake was opened without its key.
        """
        if self._private is None:
            raise SecurityError(f"the lake was opened without its key {self.key_id}, which this needs: name the key")
        return self._private

    @classmethod
    def create(cls, root: Path, *, privacy: PrivacyMode, secret: Secret) -> Lake:
        """Make a lake in a folder that is empty or does not exist.

        Raises
        ------
        LakeError
            If the folder holds a lake or anything else, or the privacy mode is unknown.
        """
        if privacy not in _PRIVACY_MODES:
            raise LakeError(f"privacy is {' or '.join(_PRIVACY_MODES)}, nothing else")
        if is_lake(root):
            raise LakeError(f"{root} is a lake already: open it, or choose another folder")
        _refuse_other_content(root)
        description = {
            "format_version": FORMAT_VERSION,
            "privacy": privacy,
            "key_id": secret.key_id,
            "created_by": _maker(),
        }
        with storage_faults(str(root)):
            ensure_folder(root.absolute())
        if not LocalStore(root).put_if_absent(LAYOUT.description(), with_sum(description)):
            raise LakeError(f"{root} has just been made a lake by another process: open it")
        return cls(root, description, secret)

    @classmethod
    def open(cls, root: Path, *, secret: Secret | None = None) -> Lake:
        """Open a lake; without its key the private room stays closed.

        Raises
        ------
        LakeError
            If the folder is no lake, has another format version, or was made with another key.
        """
        description = _read_description(root)
        if secret is not None and secret.key_id != description["key_id"]:
            raise LakeError(
                f"{root} was made with key {description['key_id']}, not with {secret.key_id}: "
                "name the lake's own key, or make another lake"
            )
        return cls(root, description, secret)

    @contextmanager
    def driver(self) -> Iterator[int]:
        """Be the one driver of this lake, and learn its epoch: a number higher than that of any driver before.

        The lock is the kernel's: it ends with the process, however that ends.

        Raises
        ------
        StoppedError
            If another run is working on this lake.
        IntegrityError
            If the number of the last driver was altered on the disk.
        """
        path = self.store.absolute(LAYOUT.driver_lock())
        with storage_faults(LAYOUT.driver_lock()):
            ensure_folder(path.parent)
            # Unbuffered: closing must not try again what a full disk refused.
            file = path.open("a+b", buffering=0)
        with file:
            had_drivers = os.fstat(file.fileno()).st_size > 0
            _lock_or_stop(file)
            # What a killed run left half done must not be believed and then go with the power.
            sync_disk(self.root)
            self._driven_as = self._next_epoch(is_first=not had_drivers)
            try:
                yield self._driven_as
            finally:
                self._driven_as = None

    def refuse_if_superseded(self) -> None:
        """Refuse to go on where another driver has come since this one began.

        The lock keeps others out. This is for file systems that drop locks, and for a driver
        that was stopped for so long that its lock was taken for lost.

        Raises
        ------
        StoppedError
        """
        if self._driven_as is not None and self.epoch() != self._driven_as:
            raise StoppedError("another run has taken this lake over; this one ends here and changes nothing more")

    def is_driven(self) -> bool:
        """Tell whether a run is working on this lake now, on this host or another."""
        path = self.store.absolute(LAYOUT.driver_lock())
        if not path.exists():
            return False
        with path.open("rb") as file:
            try:
                # Shared, so that two who ask do not take each other for a driver.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def epoch(self) -> int:
        """Return the number of the last driver, of one at work if there is one; 0 where that is not known.

        Raises
        ------
        IntegrityError
            If the file that holds it was altered.
        """
        path = LAYOUT.driver_epoch()
        try:
            return int(read_word_with_sum(self.store.get(path), path))
        except FileNotFoundError:
            return 0
        except IntegrityError as error:
            raise IntegrityError(f"{error}; remove it and run again: drivers get higher numbers then") from None

    def _next_epoch(self, *, is_first: bool) -> int:
        epoch = self.epoch()
        # a count that was lost must not come to the number of a driver that may still be about
        epoch = int(time.time()) if epoch == 0 and not is_first else epoch + 1
        self.store.swap_pointer(LAYOUT.driver_epoch(), word_with_sum(str(epoch)))
        return epoch


def is_lake(root: Path) -> bool:
    """Tell whether a folder holds a lake of any version."""
    return (root / LAYOUT.description()).is_file()


def _maker() -> str:
    try:
        return f"medpipe {version('medpipe')}"
    except PackageNotFoundError:
        return "medpipe from a checkout"


def _refuse_other_content(root: Path) -> None:
    if not root.exists():
        return
    if not root.is_dir():
        raise LakeError(f"{root} is a file, not a folder: choose a folder for the lake")
    if any(entry.name not in _IGNORED for entry in root.iterdir()):
        raise LakeError(f"{root} is not empty and is no lake: choose an empty or new folder")


def _read_description(root: Path) -> dict[str, Any]:
    path = root / LAYOUT.description()
    if not root.is_dir():
        raise LakeError(f"there is no lake at {root}: check the path, or make one with medpipe scan or run")
    if not path.is_file():
        raise LakeError(f"{root} is no lake (no {path.name}): check the path")
    data = path.read_bytes()
    _refuse_other_version(root, data)
    try:
        description = read_with_sum(data, path.name)
        complete = description["privacy"] in _PRIVACY_MODES and isinstance(description["key_id"], str)
    except (IntegrityError, KeyError, TypeError):
        complete = False
    if not complete:
        raise LakeError(f"{path} is damaged: restore it from a backup")
    return description


def _refuse_other_version(root: Path, data: bytes) -> None:
    # Asked first: the description of another version may be summed in another way.
    try:
        found = json.loads(data)["format_version"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(found, int) and found != FORMAT_VERSION:
        raise LakeError(
            f"{root} has format version {found}, this medpipe reads {FORMAT_VERSION}: "
            "use the medpipe that made it, or make a new lake"
        )


def _lock_or_stop(file: IO[bytes]) -> None:
    if not _locked(file):
        file.seek(0)
        holder = file.read().decode().strip() or "not known"
        raise StoppedError(
            f"another run is working on this lake ({holder}): wait for it to end, or stop it, then run again"
        )
    with storage_faults(LAYOUT.driver_lock()):
        file.truncate(0)
        file.write(f"pid {os.getpid()}, host {socket.gethostname()}".encode())


def _locked(file: IO[bytes]) -> bool:
    # More than one try: who asks is_driven() holds the lock for an instant.
    for pause_s in _LOCK_PAUSES_S:
        time.sleep(pause_s)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False
