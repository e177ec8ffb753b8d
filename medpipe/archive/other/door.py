"""The door for files that are not DICOM: told apart by their first bytes, never by a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from msgspec.structs import replace

from medpipe.archive.header import Header, read_header
from medpipe.archive.other import nifti, nrrd, picture
from medpipe.archive.other.block import Block, frames_in
from medpipe.archive.other.media import medium_code
from medpipe.errors import Rejected

Array = np.ndarray[Any, np.dtype[Any]]

UNKNOWN_MODALITY: Final = "OT"

_DOORS: Final[tuple[tuple[str, Callable[[bytes], bool], Callable[[bytes, int], dict[str, Any]]], ...]] = (
    ("nifti", nifti.is_nifti, nifti.describe),
    ("nrrd", nrrd.is_nrrd, nrrd.describe),
    ("png", picture.is_png, picture.describe_png),
    ("jpeg", picture.is_jpeg, picture.describe_jpeg),
    ("tiff", picture.is_tiff, picture.describe_tiff),
)

HEAD_BYTES: Final = 1 << 20
"""Of a file that is no TIFF, this much of its beginning tells all."""


def read_any(data: bytes, *, path: str, size: int, version: str) -> Header:
    """Read the header of a file of any kind that is known; whatever is wrong becomes ``code``.

    Parameters
    ----------
    data : bytes
        The whole file.
    path, size, version : str, int, str
        Kept in the result.

    Returns
    -------
    Header
        As :func:`medpipe.archive.header.read_header` gives it; of a file that is not DICOM
        ``format`` says what it is. One that nobody knows has ``E_NOT_DICOM``.
    """
    header = read_header(data, path=path, size=size, version=version)
    if header.code != "E_NOT_DICOM":
        return header
    return (
        read_other(data, path=path, size=size, version=version, digest=header.head_digest, head_bytes=header.head_bytes)
        or header
    )


def read_other(head: bytes, *, path: str, size: int, version: str, digest: str, head_bytes: int) -> Header | None:
    """Read the header of a file that is not DICOM, or return None where nobody knows it.

    Parameters
    ----------
    head : bytes
        The file, or its first MiB; of a file that :func:`needs_whole`, all of it.
    path, size, version, digest, head_bytes : str, int, str, str, int
        Kept in the result.
    """
    empty = Header(
        path=path,
        size=size,
        version=version,
        head_digest=digest,
        head_bytes=head_bytes,
        modality=UNKNOWN_MODALITY,
    )
    for name, begins, describe in _DOORS:
        if not begins(head):
            continue
        try:
            return _described(replace(empty, format=name), describe(head, size))
        except Rejected as rejected:
            return replace(empty, format=name, code=rejected.code)
    code = medium_code(head)
    return replace(empty, format=code.removeprefix("S_").lower(), code=code) if code else None


def needs_whole(head: bytes) -> bool:
    """Tell by a file's first bytes whether its header may lie anywhere in it."""
    return picture.is_tiff(head)


def decode_other(header: Header, data: bytes) -> Array:
    """Return all frames of a file that is not DICOM, as stored.

    Parameters
    ----------
    header : Header
        Of this very file.
    data : bytes
        The whole file.

    Returns
    -------
    array, (frames, rows, columns) or (frames, rows, columns, 3)

    Raises
    ------
    Rejected
        Why that cannot be.
    """
    if header.block is None:
        return picture.decode_picture(header, data)
    return frames_in(header.block, data)


def _described(header: Header, found: dict[str, Any]) -> Header:
    block: Block | None = found.get("block")
    if block is None:
        return replace(header, **found)
    width = np.dtype(block.dtype)
    is_colour = "c" in block.axes
    return replace(
        header,
        rows=block.side("y"),
        columns=block.side("x"),
        samples=3 if is_colour else 1,
        bits_allocated=8 * width.itemsize,
        bits_stored=8 * width.itemsize,
        high_bit=8 * width.itemsize - 1,
        signed=width.kind != "u",
        photometric="RGB" if is_colour else "MONOCHROME2",
        n_frames=block.side("t") * block.side("z"),
        pixel_keyword="PixelData",
        **found,
    )
