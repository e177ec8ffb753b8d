"""Archive files, known by what they hold, never by their names."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from medpipe.archive.inflating import Inflated, first_bytes, opener_of
from medpipe.archive.lone import Lone, begins_like_dicom
from medpipe.archive.members import Container
from medpipe.archive.tars import BLOCK, Plain, Tar, is_header
from medpipe.archive.zips import MAGICS, Zip

_KEPT = 4
_BLOCK_OF_BZIP2: Final = 1 << 20
_PADDING_BYTES: Final = 1 << 20
"""What zeros behind the end of a compressed tar are looked through: the longest record tapes commonly have."""

_known: OrderedDict[tuple[int, ...], Container | None] = OrderedDict()
"""Archive files this process has opened last: a case reads many members of one."""


def begins_like_archive(begin: bytes) -> bool:
    """Tell of a file's first 512 bytes whether it may be an archive file; nothing is inflated."""
    return begin.startswith(MAGICS) or is_header(begin[:BLOCK]) or opener_of(begin) is not None


def is_archive(head: Callable[[int], bytes]) -> bool:
    """Tell whether a file is a zip, a tar, plain or compressed, or a compressed DICOM file.

    Parameters
    ----------
    head : callable
        Returns at least so many first bytes of the file, or all.
    """
    begin = head(BLOCK)
    if begin.startswith(MAGICS) or is_header(begin[:BLOCK]):
        return True
    if opener_of(begin) is None:
        return False
    first = _first_block(head)
    return is_header(first) or begins_like_dicom(first)


def _first_block(head: Callable[[int], bytes]) -> bytes:
    """Return the first block that a compressed file inflates to."""
    # a bzip2 stream gives nothing before its first block is whole
    return first_bytes(head(_BLOCK_OF_BZIP2)[:_BLOCK_OF_BZIP2], BLOCK)


def container_of(file: int) -> Container | None:
    """Return the archive file that is open, or None if it is none.

    Parameters
    ----------
    file : int
        Descriptor of a regular file. What is returned is kept until the file changes.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    found = os.fstat(file)
    identity = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    if identity not in _known:
        _known[identity] = _opened(file, found)
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    _known.move_to_end(identity)
    return _known[identity]


def _opened(file: int, found: os.stat_result) -> Container | None:
    def head(n_bytes: int) -> bytes:
        return os.pread(file, n_bytes, 0)

    begin = head(BLOCK)
    if not is_archive(head):
        return None
    if begin.startswith(MAGICS):
        return Zip(file, found.st_size)
    opened = None if is_header(begin) else opener_of(begin)
    changed, rest = str(found.st_mtime_ns), str(found.st_ino)
    if opened is None:
        return Tar(Plain(found.st_size), changed=changed, rest=rest, padding_bytes=found.st_size)
    source = Inflated(opened, found.st_size)
    if not is_header(_first_block(head)):
        return Lone(source, changed=changed, rest=rest, packed_bytes=found.st_size)
    return Tar(source, changed=changed, rest=rest, padding_bytes=_PADDING_BYTES, packed_bytes=found.st_size)
