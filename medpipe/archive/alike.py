"""Slices that are alike: what all of them have in common is kept once, and of each what is its own.

Nearly all values of a series' headers are the same in all of its slices. Headers that go from
one process to another, or to the disk, go as a line for what is common and a short line each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from medpipe.archive.header import Header
from medpipe.archive.integers import Integer
from medpipe.keys import bytes_digest

TIME: Final = "acquisition_time"
"""The one of the facts that slices have of their own."""

LIKE_DIGITS: Final = 32
"""Digits of what names a common part."""

_WHOLE: Final = ord("{")
_MOST_COMMON: Final = 256
"""Common parts that are remembered from batch to batch."""


class Own(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a slice has of its own: fields of its header, the position of its plane, one of its facts.

    The bytes of its pixels and their fragments where they are encapsulated, else 0 and -1: they are common.
    """

    path: str
    size: Integer
    version: str
    head_digest: str
    head_bytes: Integer
    sop_instance_uid: str
    instance_number: Integer | None
    pixel_bytes: Integer
    pixel_offset: Integer
    n_fragments: Integer
    position: tuple[float, ...]
    acquisition_time: str


class Common(NamedTuple):
    """What slices have in common.

    Attributes
    ----------
    header : Header
        Without what is a slice's own.
    like : str
        A digest of it.
    line : bytes
        The header as a line.
    """

    header: Header
    like: str
    line: bytes


class Sliced(NamedTuple):
    """A header as what it has in common with others and what is its own."""

    common: Common
    own: Own


_OWN: Final = msgspec.json.Decoder(Own)
_ENCODER: Final = msgspec.json.Encoder()


def common_of(header: Header) -> Common | None:
    """Return what a header has in common with slices like it; None where it is none of a plain image.

    Which it is depends on the header alone.
    """
    is_plain = header.sop_class_uid and header.pixel_keyword and not header.code and not header.format
    has_more = header.frames or header.n_groups or header.is_mosaic or header.pet is not None or header.structures
    if not is_plain or has_more or header.block is not None or header.is_segmentation or header.is_structure_set:
        return None
    bare = replace(
        header,
        path="",
        size=0,
        version="",
        head_digest="",
        head_bytes=0,
        sop_instance_uid="",
        instance_number=None,
        pixel_bytes=header.pixel_bytes if header.n_fragments < 0 else 0,
        pixel_offset=-1,
        n_fragments=min(header.n_fragments, 0),
        top=replace(header.top, position=()),
        # the order of the facts stays
        facts={**header.facts, TIME: ""} if TIME in header.facts else header.facts,
        like="",
    )
    line = bare.to_line()
    return Common(bare, bytes_digest(line)[:LIKE_DIGITS], line)


def own_of(header: Header) -> Own:
    """Return what a slice has of its own."""
    return Own(
        header.path,
        header.size,
        header.version,
        header.head_digest,
        header.head_bytes,
        header.sop_instance_uid,
        header.instance_number,
        0 if header.n_fragments < 0 else header.pixel_bytes,
        header.pixel_offset,
        header.n_fragments,
        header.top.position,
        header.facts.get(TIME, ""),
    )


def header_of_own(common: Common, own: Own) -> Header:
    """Return the header of a slice."""
    bare = common.header
    return replace(
        bare,
        path=own.path,
        size=own.size,
        version=own.version,
        head_digest=own.head_digest,
        head_bytes=own.head_bytes,
        sop_instance_uid=own.sop_instance_uid,
        instance_number=own.instance_number,
        pixel_bytes=bare.pixel_bytes if bare.n_fragments < 0 else own.pixel_bytes,
        pixel_offset=own.pixel_offset,
        n_fragments=bare.n_fragments if bare.n_fragments < 0 else own.n_fragments,
        top=replace(bare.top, position=own.position),
        facts={**bare.facts, TIME: own.acquisition_time} if TIME in bare.facts else bare.facts,
        like=common.like,
    )


def alike(header: Header) -> Header:
    """Return a header that says which it is like, if any can be."""
    common = common_of(header)
    return header if common is None else replace(header, like=common.like)


def joined(told: Header | Sliced) -> Header:
    """Return a header that came in two as one, which says nothing of others."""
    return replace(header_of_own(*told), like="") if isinstance(told, Sliced) else told


def counted(headers: Iterable[Header]) -> list[tuple[Header, int]]:
    """Return one header of each that are alike and how many they are; each other alone."""
    firsts: dict[str, Header] = {}
    likes: Counter[str] = Counter()
    found: list[tuple[Header, int]] = []
    for header in headers:
        if header.like:
            firsts.setdefault(header.like, header)
            likes[header.like] += 1
        else:
            found.append((header, 1))
    return [*((firsts[like], count) for like, count in likes.items()), *found]


def own_line(own: Own) -> bytes:
    """Return what a slice has of its own as a line."""
    return _ENCODER.encode(own)


def own_from(line: bytes | str) -> Own:
    """Read what :func:`own_line` wrote.

    Raises
    ------
    msgspec.DecodeError
        If it is none.
    """
    return _OWN.decode(line)


def line_of(header: Header) -> bytes:
    """Return a header as a line: whole, or the name of the common part and what is its own."""
    return header.like.encode() + own_line(own_of(header)) if header.like else header.to_line()


def common_line_of(header: Header) -> bytes:
    """Return the line of what a header that is like others has in common with them."""
    common = common_of(header)
    assert common is not None, "it is like others"
    return common.line


def like_in(line: bytes) -> str:
    """Return the name of the common part that a line of :func:`line_of` goes with, or nothing where it is whole."""
    return "" if line[0] == _WHOLE else line[:LIKE_DIGITS].decode()


class Lines:
    """Reads lines of :func:`line_of`.

    Parameters
    ----------
    commons : mapping of str to bytes
        By name, the lines of the common parts; it may grow.
    """

    def __init__(self, commons: Mapping[str, bytes]) -> None:
        self._lines = commons
        self._commons: dict[str, Common] = {}

    def header(self, line: bytes) -> Header:
        """Return a header."""
        like = like_in(line)
        if not like:
            return Header.from_line(line)
        common = self._commons.get(like)
        if common is None:
            text = self._lines[like]
            common = self._commons[like] = Common(Header.from_line(text), like, text)
        return header_of_own(common, own_from(line[LIKE_DIGITS:]))


class Teller:
    """Puts headers into the answers of a call, each as text; what is common once, with the first that has it."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def text(self, told: Header | Sliced) -> str:
        """Return a header as text."""
        if isinstance(told, Header):
            return told.to_line().decode()
        common, own = told
        text = own_line(own).decode()
        if common.like in self._told:
            return common.like + text
        self._told.add(common.like)
        return f"{common.like}{common.line.decode()}\n{text}"


class Hearer:
    """Takes headers out of answers, whoever wrote them.

    Parameters
    ----------
    check : callable
        Returns a header, or raises ``ValueError`` if it cannot be one; given each header that is
        whole, and what is common once.
    """

    def __init__(self, check: Callable[[Header], Header]) -> None:
        self._check = check
        self._named: dict[str, Common] = {}
        self._texts: dict[str, Common] = {}

    def header(self, text: str) -> Header:
        """Return a header, which says what it is like.

        Raises
        ------
        ValueError, TypeError, RecursionError
            If the text is none.
        """
        if text[:1] == "{":
            return alike(replace(self._check(Header.from_line(text)), like=""))
        like, rest = text[:LIKE_DIGITS], text[LIKE_DIGITS:]
        if rest[:1] == "{":
            line, _, rest = rest.partition("\n")
            self._named[like] = self._common(line)
        if like not in self._named:
            raise ValueError("no header")
        return header_of_own(self._named[like], own_from(rest))

    def forget(self) -> None:
        """Forget what is common: the next answers come from elsewhere."""
        self._named.clear()
        if len(self._texts) > _MOST_COMMON:
            self._texts.clear()

    def _common(self, line: str) -> Common:
        found = self._texts.get(line)
        if found is None:
            # of its digest nothing is believed, nor that nothing of a slice is in it
            found = common_of(self._check(Header.from_line(line)))
            if found is None:
                raise ValueError("no header")
            self._texts[line] = found
        return found
