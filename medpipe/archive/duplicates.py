"""Copies: files of one series that bear the same SOPInstanceUID."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from medpipe.archive.frames import Plane
from medpipe.archive.header import Header
from medpipe.archive.limits import NATIVE
from medpipe.errors import Rejected

Answer = TypeVar("Answer")


class Looks(NamedTuple):
    """What can be asked of a file by its path; both raise ``Rejected``.

    Attributes
    ----------
    whole : callable
        A digest of all its bytes.
    pixels : callable
        A digest of its decoded pixels.
    """

    whole: Callable[[str], str]
    pixels: Callable[[str], str]


class Sifted(NamedTuple):
    """What is left without copies.

    Attributes
    ----------
    kept : list of Header
        One of each image.
    copies : list of Header
        Same bytes, or same identifier and same decoded pixels, as one that is kept.
    conflicting : dict of str to str
        Paths among ``kept`` that share an identifier although their pixels differ; what tells them apart.
    unreadable : dict of str to str
        Path to reason, for files that could not be compared.
    """

    kept: list[Header]
    copies: list[Header]
    conflicting: dict[str, str]
    unreadable: dict[str, str]


def sift(headers: Sequence[Header], looks: Looks | None) -> Sifted:
    """Set copies aside and flag images that share an identifier.

    Without ``looks`` only files with the same head, changed at the same time, are copies; others
    that share an identifier are then all kept and flagged.
    """
    if not _share_names(headers):
        return Sifted(list(headers), [], {}, {})
    sifted = Sifted([], [], {}, {})
    for group in _named(headers):
        _sift_group(group, looks, sifted)
    return sifted


def to_look_into(headers: Iterable[Header]) -> list[str]:
    """Return the paths of the files that :func:`sift` will ask the whole of."""
    images = [header for header in headers if header.pixel_keyword and not header.code]
    if not _share_names(images):
        return []
    groups = (group for group in _named(images) if len(group) > 1)
    return [header.path for group in groups for header in group if header.head_bytes < header.size]


def _share_names(headers: Sequence[Header]) -> bool:
    """Tell whether any two headers may be of one group: hardly any archive has copies."""
    return len({header.sop_instance_uid or header.head_digest for header in headers}) < len(headers)


def _named(headers: Iterable[Header]) -> list[list[Header]]:
    groups: dict[tuple[str, ...], list[Header]] = {}
    for header in headers:
        name = header.sop_instance_uid or header.head_digest
        groups.setdefault((header.study_uid, header.series_uid, name), []).append(header)
    return [sorted(group, key=_preference) if len(group) > 1 else group for group in groups.values()]


def _preference(header: Header) -> tuple[bool, bool, str, str]:
    # the plainest encoding is read; equal ones by name, so that a rescan takes the same file
    return header.lossy, header.transfer_syntax not in NATIVE, header.transfer_syntax, header.path


def _sift_group(group: Sequence[Header], looks: Looks | None, sifted: Sifted) -> None:
    if len(group) == 1:
        sifted.kept.extend(group)
        return
    distinct: dict[str, Header] = {}
    images: dict[object, tuple[str, Header]] = {}
    for header, whole in _asked(group, lambda one: _whole(one, looks), sifted.unreadable):
        if whole in distinct:
            sifted.copies.append(header)
        else:
            distinct[whole] = header
    if len(distinct) == 1:
        sifted.kept.extend(distinct.values())
        return
    names = {header.path: whole for whole, header in distinct.items()}
    for header, content in _asked(
        distinct.values(), lambda one: _content(one, names[one.path], looks), sifted.unreadable
    ):
        if content in images:
            sifted.copies.append(header)
        else:
            images[content] = names[header.path], header
    sifted.kept.extend(header for _, header in images.values())
    if len(images) > 1:
        sifted.conflicting.update({header.path: whole for whole, header in images.values()})


def _asked(
    headers: Iterable[Header], ask: Callable[[Header], Answer], unreadable: dict[str, str]
) -> Iterator[tuple[Header, Answer]]:
    """Yield headers with what was asked of their files, without those that cannot be read."""
    for header in headers:
        try:
            answer = ask(header)
        except Rejected as reason:
            unreadable[header.path] = reason.code
            continue
        yield header, answer


def _whole(header: Header, looks: Looks | None) -> str:
    if header.head_bytes >= header.size:
        return header.head_digest
    return header.content if looks is None else looks.whole(header.path)


def _content(header: Header, whole: str, looks: Looks | None) -> object:
    pixels = whole if looks is None else looks.pixels(header.path)
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
