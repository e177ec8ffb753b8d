"""Images of a series that no stack holds, or that lie apart from all others: slices that may be missing elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from medpipe.archive.closed import LOCALIZERS
from medpipe.archive.doubts import frames_of
from medpipe.archive.frames import Plane
from medpipe.archive.header import Header
from medpipe.archive.stacks import Stack

_STACKED: Final = frozenset({"volume", "series4d", "enhanced"})
_LONE: Final = frozenset({"single", "planar", "enhanced"})
_SECONDARY_CAPTURES: Final = "1.2.840.10008.5.1.4.1.1.7"
_LAST: Final = ("W_LOSSY",)
"""Flags that are less serious than a slice that may be missing."""


def with_strays(stacks: Sequence[Stack], headers: Mapping[str, Header], lost: Iterable[Header]) -> list[Stack]:
    """Flag the volumes of a series beside which images of the same kind were refused, or lie alone.

    A slice that has lost its place leaves no gap if it was the first or the last. Localizers,
    colours and copies of images that are used are no slices, and neither are derived images and
    secondary captures that lie alone.

    Parameters
    ----------
    stacks : sequence of Stack
        Of one series, their verdicts final.
    headers : mapping of str to Header
        By path, of the members.
    lost : iterable of Header
        Images of the series that are in no stack, for what is wrong with them.
    """
    if not any(_is_volume(stack) for stack in stacks):
        return list(stacks)
    missing = list(lost)
    kept = [stack for stack in stacks if missing and not stack.refused]
    used = {headers[path].sop_instance_uid for stack in kept for path in stack.paths} - {""}
    found = [(header, header.top) for header in missing if header.sop_instance_uid not in used]
    for stack in stacks:
        # the flag of the volumes before it says what is left of a cut time series
        if stack.refused and stack.code != "E_INCOMPLETE":
            found += frames_of(stack, headers)
        elif stack.kind in _LONE and stack.shape[-3] == 1:
            found += [one for one in frames_of(stack, headers) if not _is_beside(*one)]
    strays = [one for one in found if not one[0].is_colour and not LOCALIZERS & set(one[1].image_type)]
    if not strays:
        return list(stacks)
    return [_flagged(one) if _is_volume(one) and _has_stray(one, headers, strays) else one for one in stacks]


def _has_stray(stack: Stack, headers: Mapping[str, Header], strays: Sequence[tuple[Header, Plane]]) -> bool:
    first = frames_of(stack, headers)[0]
    return any(_is_alike(first, one) for one in strays)


def _is_volume(stack: Stack) -> bool:
    return not stack.refused and stack.kind in _STACKED and stack.shape[-3] > 1 and "W_LOCALIZER" not in stack.flags


def _is_beside(header: Header, plane: Plane) -> bool:
    """Tell whether a sound image that lies alone is a picture of others rather than one of them."""
    return "DERIVED" in plane.image_type[:1] or header.sop_class_uid.startswith(_SECONDARY_CAPTURES)


def _is_alike(one: tuple[Header, Plane], stray: tuple[Header, Plane]) -> bool:
    (header, plane), (other, shown) = one, stray
    # files that are not DICOM are each a whole of their own
    if not header.sop_class_uid or header.sop_class_uid != other.sop_class_uid:
        return False
    if plane.image_type[:1] != shown.image_type[:1]:
        return False
    # a header cut before its size may be that of any slice
    return not other.rows or (header.rows, header.columns) == (other.rows, other.columns)


def _flagged(stack: Stack) -> Stack:
    before = [flag for flag in stack.flags if flag not in _LAST]
    flags = (*before, "W_STRAYS", *(flag for flag in stack.flags if flag in _LAST))
    return replace(stack, code=flags[0], flags=flags)
