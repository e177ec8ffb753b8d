"""A folder as an archive: every entry is listed once, nothing is followed, nothing escapes."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Final, Protocol

from medpipe.contracts.protocols import Item, Source
from medpipe.errors import Rejected, StoppedError

MAX_FILE_BYTES: Final = 8 << 30
_ESCAPE = re.compile(r"%([0-9A-F]{2})")

_OTHER_KIND: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENODEV})
"""What opening says of a link, of something else in the place of a folder, of a socket, of a device."""


def encode_path(raw: bytes) -> str:
    """Return a file name's bytes as text that JSON and UTF-8 can hold.

    Names in valid UTF-8 stay as they are, except that ``%`` becomes ``%25``; bytes that are
    not UTF-8 become ``%XX``. :func:`decode_path` is the inverse.
    """
    text = raw.decode("utf-8", "surrogateescape").replace("%", "%25")
    return "".join(f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in text)


def decode_path(path: str) -> bytes:
    """Return the file name's bytes that :func:`encode_path` wrote as text."""
    parts = _ESCAPE.split(path)
    return b"".join(
        bytes([int(part, 16)]) if place % 2 else part.encode("utf-8", "surrogateescape")
        for place, part in enumerate(parts)
    )


def path_order(path: str) -> bytes:
    """Return what paths are sorted by so that they come as :meth:`FolderSource.scan` lists them."""
    raw = decode_path(path) if "%" in path else path.encode("utf-8", "surrogateescape")
    return raw.replace(b"/", b"\0")


class OpenFile:
    """A file that is open for reading.

    Parameters
    ----------
    stream : RawIOBase
        At its beginning.
    size : int
        Bytes it had when it was opened.
    version : str
        As :meth:`FolderSource.scan` gives it.
    """

    def __init__(self, stream: RawIOBase, *, size: int, version: str) -> None:
        self._stream = stream
        self._held = b""
        self.size = size
        self.version = version

    def head(self, n_bytes: int) -> bytes:
        """Return the first bytes, no more than there are, and at least as many as were asked for before."""
        if len(self._held) < min(n_bytes, self.size):
            self._held += self._read(min(n_bytes, self.size) - len(self._held))
        return self._held

    def whole(self) -> bytes:
        """Return all bytes."""
        return self.head(self.size)

    def into(self, place: memoryview) -> int:
        """Read the file from its beginning into a place of its size; return how many bytes there were."""
        self._stream.seek(0)
        filled = 0
        while filled < len(place) and (n_bytes := self._stream.readinto(place[filled:])):
            filled += n_bytes
        return filled

    def _read(self, n_bytes: int) -> bytes:
        found = self._stream.read(n_bytes) or b""
        # one read gives at most 2 GiB; a file that was cut since it was opened ends early
        while len(found) < n_bytes and (more := self._stream.read(n_bytes - len(found))):
            found += more
        return found


class FolderSource:
    """A folder of files, as a :class:`medpipe.contracts.protocols.Source`.

    Parameters
    ----------
    root : path
        The archive's folder.
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
            If the root is no folder that can be listed.
        """
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
        """Open a regular file below the root.

        Every folder on the way is opened without following links, so a link put in place
        after the scan leads nowhere. Only what :meth:`scan` yields without a problem is to be
        opened: what has one now has changed since.

        Raises
        ------
        Rejected
            ``E_VANISHED`` if it is gone, ``E_CHANGED`` if it or a folder on the way is a link or
            of another kind now, or it has grown beyond 8 GiB, ``E_UNREADABLE`` if it cannot be
            read or the path leaves the root.
        StoppedError
            If the root itself is gone: that says nothing about the file.
        """
        parts = decode_path(path).split(b"/")
        if any(part in {b"", b".", b".."} for part in parts):
            raise Rejected("E_UNREADABLE")
        try:
            with os.fdopen(self._descriptor(parts), "rb", buffering=0) as stream:
                found = os.fstat(stream.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
                    raise Rejected("E_CHANGED")
                yield OpenFile(stream, size=found.st_size, version=_version(found))
        except OSError as error:
            raise Rejected(_code(error)) from None

    def _descriptor(self, parts: list[bytes]) -> int:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        folder = self._opened_root()
        try:
            for part in parts[:-1]:
                inner = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = inner
            # without O_NONBLOCK, opening a pipe waits for a writer that may never come
            return os.open(parts[-1], flags | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)

    def _opened_root(self) -> int:
        try:
            return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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
    path = encode_path(relative)
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return Item(path=path, size=0, version="", problem="E_UNREADABLE")
    version = _version(found)
    problem = None
    if stat.S_ISLNK(found.st_mode):
        problem = "E_SYMLINK"
    elif not stat.S_ISREG(found.st_mode):
        problem = "E_SPECIAL_FILE"
    elif found.st_size > MAX_FILE_BYTES:
        problem = "E_TOO_LARGE"
    return Item(path=path, size=found.st_size, version=version, problem=problem)


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
