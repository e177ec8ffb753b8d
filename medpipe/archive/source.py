"""A folder or an archive file as an archive: every entry is listed once, nothing is followed, nothing escapes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any, Final, Protocol

from medpipe.archive.containers import container_of
from medpipe.archive.encoding import encode_path, name_of, path_order
from medpipe.archive.members import Container, Member
from medpipe.archive.memory import KeptMemory
from medpipe.archive.open_file import MAX_FILE_BYTES, OpenFile, OpenMember, code_of, version_of
from medpipe.contracts.protocols import Item, Source
from medpipe.errors import Rejected, StoppedError

_PLAIN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_AS_FOLDER: Final = _PLAIN | os.O_DIRECTORY
# without it, opening a pipe waits for a writer that may never come
_AS_FILE: Final = _PLAIN | os.O_NONBLOCK


class FolderSource:
    """A folder of files, as a :class:`medpipe.contracts.protocols.Source`.

    The members of an archive file (zip or tar) have paths below its own, as if it were a folder;
    which it has, only :meth:`members` tells.

    Parameters
    ----------
    root : path
        The archive's folder, or a file: then the only one, under its own name.
    stays : bool
        Keep the folder open that a file was opened in last, for the next file: for who reads the files of
        a case and then lets go. Whoever stays does not see another folder put in its place.
    """

    def __init__(self, root: str | Path, *, stays: bool = False) -> None:
        self.root = Path(root)
        self._stays = stays
        self._last: _Folder | None = None

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

    def opened(self, path: str) -> OpenFile:
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
        file, inner = self._regular(path)
        if not inner:
            return file
        with ExitStack() as closing:
            closing.enter_context(file)
            member = _member(file, inner)
            # from here on it is the member's to close
            closing.pop_all()
        return member

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
        file, inner = self._regular(path)
        with file:
            container = None if inner else container_of(file.descriptor)
            if container is None:
                raise Rejected("E_CHANGED")
            members, code = container.listing(file.descriptor)
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
            file, inner = self._regular(path)
            with file:
                return not inner or _found(file.descriptor, inner) is not None
        except Rejected:
            return False

    def _regular(self, path: str) -> tuple[OpenFile, str]:
        """Open the file of a path; of a member, the archive file, and with it the member's path below it."""
        try:
            descriptor, inner = self._walked(path)
            found = _state_of(descriptor)
        except OSError as error:
            raise Rejected(code_of(error)) from None
        return OpenFile(descriptor, found), inner

    def _walked(self, path: str) -> tuple[int, str]:
        """Return a descriptor of what lies where folders end, and the rest of the path."""
        folder, _, name = path.rpartition("/")
        last = self._last
        if last is not None and last.path == folder:
            try:
                return os.open(name_of(name), _AS_FILE, dir_fd=last.descriptor), ""
            except FileNotFoundError:
                # it may be the folder that is gone, or the root: the whole way tells
                self._last = None
        parts = path.split("/")
        names = [name_of(part) for part in parts]
        holder = _Folder(folder, self._opened_root(names[0]))
        for depth, one in enumerate(names[:-1], 1):
            try:
                inner = os.open(one, _AS_FOLDER, dir_fd=holder.descriptor)
            except NotADirectoryError:
                return os.open(one, _AS_FILE, dir_fd=holder.descriptor), "/".join(parts[depth:])
            holder = _Folder(folder, inner)
        file = os.open(names[-1], _AS_FILE, dir_fd=holder.descriptor)
        if self._stays:
            self._last = holder
        return file, ""

    def _opened_root(self, first: bytes) -> int:
        flags = _AS_FOLDER & ~os.O_NOFOLLOW
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

    def opened(self, path: str) -> AbstractContextManager[OpenFile]:
        """Open a file; see :meth:`FolderSource.opened`."""
        name, _, rest = path.partition("/")
        return self._sources[name].opened(rest)


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
    memory : KeptMemory, optional
        Where files go that it keeps memory for.
    """

    def __init__(self, source: Opener, memory: KeptMemory | None = None) -> None:
        self._source = source
        self._memory = KeptMemory(0) if memory is None else memory
        self._held = memoryview(b"")

    def open(self, path: str) -> memoryview:
        """Return a file's bytes; they are there until the next file is opened."""
        return self._read(path)[0]

    def load(self, path: str) -> tuple[memoryview, str]:
        """Return a file's bytes, there until the next file is opened, and the version they are of.

        Raises
        ------
        Rejected
            As :meth:`FolderSource.opened`.
        """
        found, file = self._read(path)
        return found, file.version

    def _read(self, path: str) -> tuple[memoryview, OpenFile]:
        with self._source.opened(path) as file:
            if len(self._held) < file.size:
                self._held = self._memory.block(file.size).data
            place = self._held[: file.size]
            return place[: file.into(place)], file


class _Folder:
    """A folder that is open until nobody uses it."""

    __slots__ = ("descriptor", "path")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)


def _state_of(descriptor: int) -> os.stat_result:
    """Return the state of a file that was opened; if it is no regular one, close it and raise ``Rejected``."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise Rejected("E_CHANGED")
    return found


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
    return Item(path=encode_path(relative), size=found.st_size, version=version_of(found), problem=problem)


def _found(file: int, inner: str) -> Member | None:
    container = container_of(file)
    if container is None:
        raise Rejected("E_CHANGED")
    return container.find(file, inner)


def _member(file: OpenFile, inner: str) -> OpenFile:
    member, container = _found(file.descriptor, inner), container_of(file.descriptor)
    if member is None or container is None:
        raise Rejected("E_VANISHED")
    if member.problem is not None or member.size > MAX_FILE_BYTES:
        raise Rejected("E_CHANGED")
    stream = _Unread(container, file.descriptor, member)
    return OpenMember(file.descriptor, file.state, size=member.size, version=member.version, stream=stream)


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


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "OSError")
