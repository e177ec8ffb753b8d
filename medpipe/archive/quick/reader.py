"""A header out of a file's first bytes, equal to what :func:`medpipe.archive.header.read_header` makes of the file.

Only what is surely understood is read; for anything else :meth:`QuickReader.read` returns None and
the whole reading decides. What is read goes through the functions of the whole reading, once for
all slices that differ in nothing but their place and time; see :mod:`medpipe.archive.quick.pattern`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from medpipe.archive.alike import Sliced, joined
from medpipe.archive.gate import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Layout, inflate
from medpipe.archive.header import Header, head_digest, header_of, judged
from medpipe.archive.quick.dataset import HeadDataset, Known, Tag
from medpipe.archive.quick.doubt import Doubt
from medpipe.archive.quick.extent import Extent, pixel_extent
from medpipe.archive.quick.pattern import Pattern, header_of_slice, own_of_slice, pattern_of, variant_of
from medpipe.archive.quick.values import encoding_of
from medpipe.archive.quick.wanted import KINDS, KNOWN_SEQUENCES, NUMBERED, ROLES, TAGS
from medpipe.kernels import dicom_walk as walk
from medpipe.kernels.dicom_bytes import LONG, SHORT, type_number
from medpipe.kernels.dicom_records import AT, LENGTH, TAG

More = Callable[[int, int], bytes]
"""Returns bytes of the file: of an offset, so many."""

FIRST_BYTES: Final = 16 << 10
"""What a head should be read with: nearly all headers are shorter."""

MOST_HEAD_BYTES: Final = 4 << 20
_MOST_PATTERNS: Final = 4096
_MOST_VARIANTS: Final = 256
_MOST_ENCODINGS: Final = 1024
_FORGET_EVERY: Final = 1024
"""Headers between two looks at how much is remembered."""
_SYNTAX: Final = re.compile(rb"([0-9.]+)[\0 ]*")
_META: Final[Mapping[Tag, object]] = {"MediaStorageSOPClassUID": None}
_ENTRIES: Final = tuple(zip(TAGS, ROLES.values(), KINDS, strict=True))
_PLAIN: Final = {
    place: (tag, kind) for place, (tag, role, kind) in enumerate(_ENTRIES) if role not in {walk.SEQUENCE, walk.PRESENCE}
}
# an implicit encoding gives no type, and an unknown one says nothing
_KIND_OF: Final = {type_number(kind): kind for kind in (*LONG, *SHORT)} | {0: "", type_number("UN"): ""}


class _Head(NamedTuple):
    """The bytes of a head, and what the pass over it found.

    Attributes
    ----------
    data : bytes
    found : list of int
    size : int
        Bytes of the file, with what was deflated in it inflated.
    is_inflated : bool
        Whether that was needed.
    """

    data: bytes
    found: list[int]
    size: int
    is_inflated: bool = False

    def at(self, place: int) -> bytes:
        """Return the bytes of which the pass gives the offset here and the length in the next place."""
        begin = self.found[place]
        return self.data[begin : begin + self.found[place + 1]]


class QuickReader:
    """Reads headers one after the other; remembers values and slices alike, so keep it for an archive.

    Parameters
    ----------
    splits : bool
        Whether :meth:`told` gives headers in two where they are like others.
    """

    def __init__(self, *, splits: bool = False) -> None:
        self._splits = splits
        self._walk = walk.HeadWalk(NUMBERED, tuple(ROLES.values()), KNOWN_SEQUENCES)
        self._known = Known()
        self._patterns: dict[tuple[object, ...], dict[bytes, Pattern]] = {}
        self._encodings: dict[bytes, str] = {}
        self._count = 0

    def read(
        self,
        head: bytes,
        *,
        path: str,
        size: int,
        version: str,
        more: More,
    ) -> Header | None:
        """Return the header of a file, or None where the whole file must be read to tell; see :meth:`told`."""
        told = self.told(head, path=path, size=size, version=version, more=more)
        return None if told is None else joined(told)

    def told(
        self,
        head: bytes,
        *,
        path: str,
        size: int,
        version: str,
        more: More,
    ) -> Header | Sliced | None:
        """Return the header of a file, in two where it is like others, or None where the whole file must be read.

        Parameters
        ----------
        head : bytes
            The file's first bytes, best :data:`FIRST_BYTES` of them.
        path, size, version : str, int, str
            Kept in the result; ``size`` is that of the file.
        more : callable
            Returns bytes of the file: of an offset, so many. Asked for what the head lacks:
            headers up to 4 MiB, what follows the pixels up to 64 KiB, where fragments begin.
        """
        try:
            walked = self._whole_head(head, size, more)
            if walked.is_inflated:
                placed = {"head_bytes": size, "head_digest": head_digest(_whole(head, size, more), size)}
            else:
                placed = _placed(walked, size)
            told = self._read(walked, more, path=path, size=size, version=version, **placed)
            if isinstance(told, Header) and (told.is_segmentation or not told.sop_instance_uid):
                # copies of them are told by their bytes alone
                told = replace(told, head_bytes=size, head_digest=head_digest(_whole(head, size, more), size))
        except Exception:  # noqa: BLE001  # what damage raises in reading values is judged where all of it is
            return None
        self._count += 1
        if self._count % _FORGET_EVERY == 0:
            self._forget()
        return told

    def _forget(self) -> None:
        self._known.forget()
        for known, most in ((self._patterns, _MOST_PATTERNS), (self._encodings, _MOST_ENCODINGS)):
            if len(known) > most:
                known.clear()

    def _whole_head(self, head: bytes, size: int, more: More) -> _Head:
        found, least = self._walk.file(head, size), 0
        while found[walk.STATUS] == walk.MORE:
            # most headers that go on end soon; those that do not are long
            end = min(max(found[walk.NEED], least), size)
            least = 4 * end
            if not len(head) < end <= MOST_HEAD_BYTES:
                raise Doubt
            head += more(len(head), end - len(head))
            if len(head) != end:
                raise Doubt
            found = self._walk.file(head, size)
        if found[walk.STATUS] == walk.DEFLATED:
            return self._inflated(_whole(head, size, more), found[walk.BEGIN])
        if found[walk.STATUS] != walk.COMPLETE:
            raise Doubt
        return _Head(head, found, size)

    def _inflated(self, data: bytes, begin: int) -> _Head:
        inflated = inflate(data[begin:], MOST_HEAD_BYTES)
        if inflated is None or len(inflated) > MOST_HEAD_BYTES:
            raise Doubt
        whole = data[:begin] + inflated
        found = self._walk.file(whole, len(whole), is_inflated=True)
        if found[walk.STATUS] != walk.COMPLETE:
            raise Doubt
        return _Head(whole, found, len(whole), is_inflated=True)

    def _read(self, head: _Head, more: More, **given: Any) -> Header | Sliced:
        found = head.found
        extent = pixel_extent(head.data, found, head.size, more, self._walk)
        if extent.cut and extent.n_fragments >= 0:
            # of a stream that does not end pydicom gives no element at all
            return header_of(self._empty(head, b""), _layout(head, extent), **given)
        # what does not fit into a key has no pattern
        key = self._key(head, extent) if found[walk.KEY_BYTES] > 0 else None
        patterns = self._patterns.get(key) if key is not None else None
        pattern = self._pattern(patterns, head) if patterns is not None else None
        if pattern is not None:
            own = _varying(head, pattern.dataset, pattern.own)
            known = {**given, "pixel_offset": _pixel_offset(head, extent)}
            if self._splits and pattern.common is not None and extent.n_fragments < 0:
                found_own = own_of_slice(pattern, own, **known)
                if found_own is not None and found_own.sop_instance_uid:
                    return Sliced(pattern.common, found_own)
            if extent.n_fragments >= 0:
                known |= {"pixel_bytes": extent.pixel_bytes, "n_fragments": extent.n_fragments}
            header = header_of_slice(pattern, own, **known)
            if header is not None:
                return judged(header, _layout(head, extent)) if extent.n_fragments >= 0 else header
        dataset = self._dataset(head)
        header = header_of(dataset, _layout(head, extent), **given)
        if key is not None and pattern is None:
            made = pattern_of(header, dataset)
            if made is not None:
                self._patterns.setdefault(key, {})[self._walk.seldom(found[walk.SELDOM_BYTES])] = made
        return header

    def _pattern(self, patterns: dict[bytes, Pattern], head: _Head) -> Pattern | None:
        """Return the pattern for what varies seldom, made of another one if need be."""
        seldom = self._walk.seldom(head.found[walk.SELDOM_BYTES])
        pattern = patterns.get(seldom)
        if pattern is None:
            other = next(iter(patterns.values()))
            pattern = variant_of(other, _varying(head, other.dataset, other.seldom))
            if pattern is not None and len(patterns) < _MOST_VARIANTS:
                patterns[seldom] = pattern
        return pattern

    def _key(self, head: _Head, extent: Extent) -> tuple[object, ...]:
        found = head.found
        return (
            self._walk.key(found[walk.KEY_BYTES]),
            head.at(walk.SYNTAX_AT),
            head.at(walk.CLASS_AT),
            found[walk.IMPLICIT],
            found[walk.BIG],
            found[walk.BEGIN] == 0,
            extent if extent.n_fragments < 0 else extent.keyword,
        )

    def _dataset(self, head: _Head) -> HeadDataset:
        """Return the wanted elements of a data set, those of items among them."""
        data, found = head.data, head.found
        implicit = bool(found[walk.IMPLICIT])
        records = self._walk.records(found[walk.RECORDS])
        top = self._empty(head, _character_sets(data, records))
        leaves = top.leaves
        holders: dict[int, HeadDataset] = {-1: top}
        sequences: dict[int, list[HeadDataset]] = {}
        for row, (place, kind, at, length, parent) in enumerate(records):
            if parent < 0 and place in _PLAIN:
                # nearly all
                tag, own_kind = _PLAIN[place]
                leaves[tag] = (_KIND_OF[kind] or own_kind, data[at : at + length])
                continue
            if place < 0:
                holders[row] = item = top.alike()
                sequences[parent].append(item)
                continue
            tag, role, own_kind = _ENTRIES[place]
            if role == walk.SEQUENCE:
                if implicit and isinstance(tag, tuple):
                    raise Doubt
                sequences[row] = []
                holders[parent].add_sequence(tag, sequences[row])
            elif role == walk.PRESENCE:
                holders[parent].leaves[tag] = ("SQ", b"")
            else:
                holders[parent].leaves[tag] = (_KIND_OF[kind] or own_kind, data[at : at + length])
        return top

    def _empty(self, head: _Head, sets: bytes) -> HeadDataset:
        """Return a data set without elements, but with the meta information."""
        is_big = bool(head.found[walk.BIG])
        top = HeadDataset(listed=ROLES, known=self._known, encoding=self._encoding(sets), is_big=is_big)
        top.file_meta = HeadDataset(listed=_META, known=self._known, encoding="ascii", is_big=False)
        top.file_meta.leaves["MediaStorageSOPClassUID"] = ("UI", head.at(walk.CLASS_AT))
        return top

    def _encoding(self, sets: bytes) -> str:
        found = self._encodings.get(sets)
        if found is None:
            found = self._encodings[sets] = encoding_of(sets)
        return found


def _whole(head: bytes, size: int, more: More) -> bytes:
    found = head + more(len(head), size - len(head)) if len(head) < size else head
    if len(found) != size:
        raise Doubt
    return found


def _placed(head: _Head, size: int) -> dict[str, object]:
    end = head.found[walk.END]
    return {
        "head_bytes": end,
        "head_digest": head_digest(head.data[:end], size),
    }


def _varying(head: _Head, empty: HeadDataset, kinds: tuple[tuple[str, str, int], ...]) -> HeadDataset:
    data, found = head.data, head.found
    # the next slice puts its own in their place
    empty.leaves = {keyword: (kind, data[found[slot] : found[slot] + found[slot + 1]]) for keyword, kind, slot in kinds}
    return empty


def _character_sets(data: bytes, records: list[list[int]]) -> bytes:
    # it has the lowest tag of all
    if not records or TAGS[records[0][TAG]] != "SpecificCharacterSet":
        return b""
    at = records[0][AT]
    return data[at : at + records[0][LENGTH]]


def _layout(head: _Head, extent: Extent) -> Layout:
    return Layout(
        transfer_syntax=_syntax(head),
        pixel_keyword=extent.keyword,
        pixel_bytes=extent.pixel_bytes,
        pixel_offset=_pixel_offset(head, extent),
        n_fragments=extent.n_fragments,
        cut=extent.cut,
    )


def _pixel_offset(head: _Head, extent: Extent) -> int:
    return head.found[walk.PIXEL_AT] if extent.keyword and not head.is_inflated else -1


def _syntax(head: _Head) -> str:
    """Return what the meta information says; where there is none, what the data set is written in."""
    found = head.found
    if not found[walk.BEGIN]:
        return IMPLICIT_LITTLE if found[walk.IMPLICIT] else EXPLICIT_BIG if found[walk.BIG] else EXPLICIT_LITTLE
    if not found[walk.SYNTAX_BYTES]:
        return ""
    said = _SYNTAX.fullmatch(head.at(walk.SYNTAX_AT))
    if said is None:
        raise Doubt
    return said[1].decode("ascii")
