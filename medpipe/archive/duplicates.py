"""Copies: files of one series that bear the same SOPInstanceUID."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from medpipe.archive.frames import Plane
from medpipe.archive.header import Header
from medpipe.archive.limits import NATIVE
from medpipe.errors import Rejected

PixelDigest = Callable[[str], str]
"""A file's path to a digest of its decoded pixels; raises ``Rejected``."""


class Sifted(NamedTuple):
    """What is left without copies.

    Attributes
    ----------
    kept : list of Header
        One of each image.
    copies : list of Header
        Same bytes, or same identifier and same decoded pixels, as one that is kept.
    conflicting : set of str
        Paths among ``kept`` that share an identifier although their pixels differ.
    unreadable : dict of str to str
        Path to reason, for files whose pixels could not be compared.
    """

    kept: list[Header]
    copies: list[Header]
    conflicting: set[str]
    unreadable: dict[str, str]


def sift(headers: Sequence[Header], pixel_digest: PixelDigest | None) -> Sifted:
    """Set copies aside and flag images that share an identifier.

    Without ``pixel_digest`` only equal bytes make a copy; files that share an identifier and
    differ in bytes are then all kept and flagged.
    """
    sifted = Sifted([], [], set(), {})
    groups: dict[tuple[str, ...], list[Header]] = {}
    for header in headers:
        name = header.sop_instance_uid or header.bytes_digest
        groups.setdefault((header.study_uid, header.series_uid, name), []).append(header)
    for group in groups.values():
        _sift_group(sorted(group, key=_preference), pixel_digest, sifted)
    return sifted


def _preference(header: Header) -> tuple[bool, bool, str, str]:
    # the plainest encoding is read; equal ones by name, so that a rescan takes the same file
    return header.lossy, header.transfer_syntax not in NATIVE, header.transfer_syntax, header.path


def _sift_group(group: list[Header], pixel_digest: PixelDigest | None, sifted: Sifted) -> None:
    distinct: list[Header] = []
    seen: set[str] = set()
    for header in group:
        (sifted.copies if header.bytes_digest in seen else distinct).append(header)
        seen.add(header.bytes_digest)
    if len(distinct) == 1:
        sifted.kept.extend(distinct)
        return
    images: dict[object, Header] = {}
    for header in distinct:
        try:
            content = _content(header, pixel_digest)
        except Rejected as reason:
            sifted.unreadable[header.path] = reason.code
            continue
        if content in images:
            sifted.copies.append(header)
        else:
            images[content] = header
    sifted.kept.extend(images.values())
    if len(images) > 1:
        sifted.conflicting.update(header.path for header in images.values())


def _content(header: Header, pixel_digest: PixelDigest | None) -> object:
    pixels = header.bytes_digest if pixel_digest is None else pixel_digest(header.path)
    planes = [_shown(plane) for plane in (header.top, *header.frames)]
    return pixels, _undeclared_frames(header), tuple(planes)


def _shown(plane: Plane) -> tuple[object, ...]:
    return plane.position, plane.orientation, plane.spacing_mm, plane.slope, plane.intercept


def _undeclared_frames(header: Header) -> int:
    # a file whose frame count is damaged is no copy of one that holds just that first frame
    if header.n_fragments >= 0:
        return 0
    need = header.native_bytes
    return max(header.pixel_bytes - need, 0) * header.n_frames // need
