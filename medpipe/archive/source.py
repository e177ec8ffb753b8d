"""A folder or an archive file as an archive: every entry is listed once, nothing is followed, nothing escapes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any, Final, Protocol

from medpipe.archive.containers import container_of
from medpipe.archive.encoding import decode_path, encode_path, path_order
from medpipe.archive.members import Container, Member
from medpipe.archive.open_file import MAX_FILE_BYTES, OpenFile
from medpipe.contracts.protocols import Item, Source
from medpipe.errors import Rejected, StoppedError

_OTHER_KIND: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENODEV})
"""What opening says of a link, of something else in the place of a folder, of a socket, of a device."""


class FolderSource:
    """A folder of files, as a :class:`medpipe.contracts.protocols.Source`.

    The members of an archive file (zip or tar) have paths below its own, as if it were a folder;
    which it has, only :meth:`members` tells.

    Parameters
    ----------
    root : path
        The archive's folder, or a file: then the only one, under its own name.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def scan(self) -> Iterator[Item]:
        """Yield every entry below the root that is no folder, in the order of the names' bytes.

        Symbolic links are not followed and carry ``E_SYMLINK``; pipes, sockets and devices
        carry ``E_SPECIAL_FILE``; what cannot be looked at carries ``E_UNREADABLE``, a folder
        too: then nothing is known of what is below it.

        Raises
        ------
        StoppedError
            If the root is no folder that can be listed, and no file.
        """
        if self.root.is_file():
            yield _stated(os.fsencode(self.root.name), self.root.stat(follow_symlinks=False))
            return
        base = os.fsencode(self.root)
        try:
            entries = _listed(base)
        except OSError as error:
            raise StoppedError(
                f"archive {self.root} cannot be listed ({_name(error)}): check that it is mounted and readable"
            ) from None
        # entries are let go as they are told: each holds its name, its path and its state
        open_folders = [(b"", entries)]
        while open_folders:
            folder, entries = open_folders[-1]
            if not entries:
                open_folders.pop()
                continue
            entry = entries.pop()
            relative = folder + entry.name
            if not _is_folder(entry):
                yield _item(relative, entry)
                continue
            try:
                open_folders.append((relative + b"/", _listed(entry.path)))
            except OSError:
                yield Item(path=encode_path(relative), size=0, version="", problem="E_UNREADABLE")

    def open(self, path: str) -> bytes:
        """Return the bytes of a regular file below the root; see :meth:`opened`."""
        with self.opened(path) as file:
            return file.whole()

    @contextmanager
    def opened(self, path: str) -> Iterator[OpenFile]:
        """Open a regular file below the root, or a member of an archive file.

        Every folder on the way is opened without following links, so a link put in place
        after the scan leads nowhere. Only what :meth:`scan` yields without a problem is to be
        opened: what has one now has changed since.

        Raises
        ------
        Rejected
            ``E_VANISHED`` if it is gone, ``E_CHANGED`` if it or a folder on the way is a link or
            of another kind now, ``E_UNREADABLE`` if it cannot be read or the path leaves the root;
            of a member what is wrong with it, see :mod:`medpipe.archive.zips` and
            :mod:`medpipe.archive.tars`.
        StoppedError
            If the root itself is gone: that says nothing about the file.
        """
        with self._descriptor(path) as (file, found, inner):
            if inner:
                yield _member(file, inner)
                return
            with os.fdopen(os.dup(file), "rb", buffering=0) as stream:
                yield OpenFile(stream, size=found.st_size, version=_version(found))

    def members(self, path: str) -> tuple[list[Item], str]:
        """Return what an archive file holds, in the order of the names' bytes, and why that may not be all.

        Parameters
        ----------
        path : str

        Returns
        -------
        list of Item
            With their paths below the root; a problem where one must not be read.
        str
            A code, or an empty string.

        Raises
        ------
        Rejected
            As for :meth:`opened`; ``E_CHANGED`` if it is no archive file.
        """
        with self._descriptor(path) as (file, _, inner):
            container = None if inner else container_of(file)
            if container is None:
                raise Rejected("E_CHANGED")
            members, code = container.listing(file)
        items = [
            Item(path=f"{path}/{one.path}", size=one.size, version=one.version, problem=one.problem) for one in members
        ]
        return sorted(items, key=lambda item: path_order(item.path)), code

    def has(self, path: str) -> bool:
        """Tell whether there is a regular file below the root, or a member of an archive file.

        Raises
        ------
        StoppedError
            If the root itself is gone.
        """
        try:
            with self._descriptor(path) as (file, _, inner):
                return not inner or _found(file, inner) is not None
        except Rejected:
            return False

    @contextmanager
    def _descriptor(self, path: str) -> Iterator[tuple[int, os.stat_result, str]]:
        """Open the file of a path; of a member, that of the archive file, with the member's path below it."""
        parts = path.split("/")
        names = [decode_path(part) for part in parts]
        if any(name in {b"", b".", b".."} or b"/" in name or b"\0" in name for name in names):
            raise Rejected("E_UNREADABLE")
        try:
            file, depth = self._walked(names)
            try:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode):
                    raise Rejected("E_CHANGED")
                yield file, found, "/".join(parts[depth:])
            finally:
                os.close(file)
        except OSError as error:
            raise Rejected(_code(error)) from None

    def _walked(self, names: list[bytes]) -> tuple[int, int]:
        """Return a descriptor of what lies where folders end, and how many parts of the path lead there."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        folder = self._opened_root(names[0])
        try:
            for depth, name in enumerate(names[:-1], 1):
                try:
                    inner = os.open(name, flags | os.O_DIRECTORY, dir_fd=folder)
                except NotADirectoryError:
                    return os.open(name, flags | os.O_NONBLOCK, dir_fd=folder), depth
                os.close(folder)
                folder = inner
            # without O_NONBLOCK, opening a pipe waits for a writer that may never come
            return os.open(names[-1], flags | os.O_NONBLOCK, dir_fd=folder), len(names)
        finally:
            os.close(folder)

    def _opened_root(self, first: bytes) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            return os.open(self.root, flags)
        except NotADirectoryError:
            if first != os.fsencode(self.root.name):
                raise Rejected("E_VANISHED") from None
            return os.open(self.root.parent, flags)
        except OSError as error:
            raise StoppedError(
                f"archive {self.root}: its folder cannot be opened ({_name(error)}): check that it is mounted and "
                "readable, then give the same command again; if it will not come back, medpipe forget takes it out "
                "of the lake"
            ) from None


class FolderSources:
    """Several folders read as one: the first part of a path names the folder.

    Parameters
    ----------
    roots : mapping of str to path
        By first part.
    source_at : callable
        What reads the files of a root.
    """

    def __init__(
        self, roots: Mapping[str, str | Path], source_at: Callable[[str | Path], Archive] = FolderSource
    ) -> None:
        self._sources = {name: source_at(root) for name, root in roots.items()}

    def open(self, path: str) -> bytes:
        """Return the bytes of a file; see :meth:`FolderSource.open`."""
        with self.opened(path) as file:
            return file.whole()

    @contextmanager
    def opened(self, path: str) -> Iterator[OpenFile]:
        """Open a file; see :meth:`FolderSource.opened`."""
        name, _, rest = path.partition("/")
        with self._sources[name].opened(rest) as file:
            yield file


class Opener(Protocol):
    """What files are opened by: a folder, several, or what a case list names."""

    def opened(self, path: str) -> AbstractContextManager[OpenFile]:
        """Open a file; raises ``Rejected`` if that cannot be."""


class Archive(Opener, Source, Protocol):
    """An archive: it lists its files and opens them."""

    def members(self, path: str) -> tuple[list[Item], str]:
        """Return what an archive file in it holds, and why that may not be all; raises ``Rejected``."""

    def has(self, path: str) -> bool:
        """Tell whether there is a file."""


class Loader:
    """Reads files one after the other into the same memory.

    Parameters
    ----------
    source : Opener
    """

    def __init__(self, source: Opener) -> None:
        self._source = source
        self._held = bytearray()

    def open(self, path: str) -> memoryview:
        """Return a file's bytes; they are there until the next file is opened."""
        return self.load(path)[0]

    def load(self, path: str) -> tuple[memoryview, str]:
        """Return a file's bytes, there until the next file is opened, and the version they are of.

        Raises
        ------
        Rejected
            As :meth:`FolderSource.opened`.
        """
        with self._source.opened(path) as file:
            if len(self._held) < file.size:
                self._held = bytearray(file.size)
            place = memoryview(self._held)[: file.size]
            return place[: file.into(place)], file.version


def _listed(folder: bytes) -> list[os.DirEntry[bytes]]:
    """Return a folder's entries, the first by name at the end."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name, reverse=True)


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _item(relative: bytes, entry: os.DirEntry[bytes]) -> Item:
    try:
        return _stated(relative, entry.stat(follow_symlinks=False))
    except OSError:
        return Item(path=encode_path(relative), size=0, version="", problem="E_UNREADABLE")


def _stated(relative: bytes, found: os.stat_result) -> Item:
    problem = None
    if stat.S_ISLNK(found.st_mode):
        problem = "E_SYMLINK"
    elif not stat.S_ISREG(found.st_mode):
        problem = "E_SPECIAL_FILE"
    return Item(path=encode_path(relative), size=found.st_size, version=_version(found), problem=problem)


def _found(file: int, inner: str) -> Member | None:
    container = container_of(file)
    if container is None:
        raise Rejected("E_CHANGED")
    return container.find(file, inner)


def _member(file: int, inner: str) -> OpenFile:
    member, container = _found(file, inner), container_of(file)
    if member is None or container is None:
        raise Rejected("E_VANISHED")
    if member.problem is not None or member.size > MAX_FILE_BYTES:
        raise Rejected("E_CHANGED")
    return OpenFile(_Unread(container, file, member), size=member.size, version=member.version, is_member=True)


class _Unread(RawIOBase):
    """The bytes of a member, which nobody has asked for yet."""

    def __init__(self, container: Container, file: int, member: Member) -> None:
        self._read: Callable[[], bytes] = lambda: container.read(file, member)
        self._bytes: BytesIO | None = None

    @property
    def _stream(self) -> BytesIO:
        if self._bytes is None:
            self._bytes = BytesIO(self._read())
        return self._bytes

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size)

    def readinto(self, buffer: Any, /) -> int:
        return self._stream.readinto(buffer)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)


def changed_at(version: str) -> str:
    """Return what of a file's version tells when it was changed last."""
    _, _, rest = version.partition("-")
    return rest.partition("-")[0]


def _version(found: os.stat_result) -> str:
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"


def _code(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "E_VANISHED"
    if error.errno in _OTHER_KIND:
        return "E_CHANGED"
    return "E_UNREADABLE"


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "OSError")
