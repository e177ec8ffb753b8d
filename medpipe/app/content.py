"""What is sealed of a range: headers as lines of text, so that a few can change without the others being read."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from medpipe.app.rows import Naming
from medpipe.archive.alike import Lines, alike, common_line_of, like_in, line_of
from medpipe.archive.header import Header
from medpipe.keys import digest

Json = dict[str, Any]

_UNIT_DIGITS = 16
_REMEMBERED = 4096
_VERSION = 3
_ENCODER: Final = msgspec.json.Encoder()
_EDIT: Final = msgspec.json.Decoder(tuple[str, str, str, tuple[str, ...]])


class Edit(NamedTuple):
    """A change in a range.

    Attributes
    ----------
    kind, path : str
        What, of which file; of slices that are alike, the name of what they have in common.
    unit : str
        Of what comes in.
    header : bytes
        As a line; of slices that are alike, what they have in common and what each has of its own, between tabs.
    paths : tuple of str
        Of slices that are alike.
    """

    kind: str
    path: str
    unit: str = ""
    header: bytes = b""
    paths: tuple[str, ...] = ()

    def to_line(self) -> bytes:
        """Return the edit as a line."""
        # JSON has no tab of its own
        return _ENCODER.encode((self.kind, self.path, self.unit, self.paths)) + b"\t" + self.header

    @classmethod
    def from_line(cls, line: bytes) -> Edit:
        """Read what :meth:`to_line` wrote."""
        head, _, header = line.partition(b"\t")
        kind, path, unit, paths = _EDIT.decode(head)
        return cls(kind, path, unit, header, paths)


REMOVE, BURY, REVIVE, PUT, PUT_ALIKE = "remove", "bury", "revive", "put", "put alike"
"""Take a header out; the same and leave a tombstone; lift a tombstone; put a header in, or several that are alike."""


def unit_of(header: Header) -> str:
    """Return the unit of a file: what makes rows of one never depends on the files of another.

    Files that may be copies of each other, stacks of one series and rows of one series key are
    in one unit. The same UID makes one of series of several studies; all series of a study that
    have no UID are one, and so is all that names neither.
    """
    is_image = header.has_pixels and not header.code
    if header.series_uid or header.study_uid:
        own = ("series", header.series_uid) if header.series_uid else ("study", header.study_uid)
    elif header.patient_id or is_image:
        own = ("nameless", "")
    else:
        own = ("file", header.path)
    return _unit(own)


@lru_cache(_REMEMBERED)
def _unit(own: tuple[str, str]) -> str:
    # files of a series come one after the other
    return digest(["nameless"] if own == ("nameless", "") else own)[:_UNIT_DIGITS]


@dataclass(slots=True, kw_only=True)
class Content:
    """What is sealed of a range.

    Attributes
    ----------
    lines : dict of str to bytes
        By path, a header as a line of :func:`medpipe.archive.alike.line_of`.
    units : dict of str to str
        By path, the unit.
    hosts : dict of str to list of str
        By unit, tokens by which companion objects find its stacks.
    wholes, pixels : dict of str to list
        By path, the version, the digest of its bytes or of its pixels, or why there is none, and under which
        conditions.
    tombstones : dict of str to list
        By instance, its series and the scan that took it out.
    commons : dict of str to bytes
        By name, what headers have in common.
    """

    lines: dict[str, bytes] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, list[str]] = field(default_factory=dict)
    wholes: dict[str, list[str]] = field(default_factory=dict)
    pixels: dict[str, list[str]] = field(default_factory=dict)
    tombstones: dict[str, list[Any]] = field(default_factory=dict)
    commons: dict[str, bytes] = field(default_factory=dict)
    _read: Lines = field(init=False)

    def __post_init__(self) -> None:
        self._read = Lines(self.commons)

    def to_bytes(self) -> bytes:
        """Return the content as bytes, to be sealed."""
        paths = sorted(self.lines)
        lines = [self.lines[path] for path in paths]
        likes = sorted(set(map(like_in, lines)) - {""})
        head = {
            "content_version": _VERSION,
            "paths": paths,
            "units": [self.units[path] for path in paths],
            "likes": likes,
            "hosts": dict(sorted(self.hosts.items())),
            "wholes": {path: found for path, found in self.wholes.items() if path in self.lines},
            "pixels": {path: found for path, found in self.pixels.items() if path in self.lines},
            "tombstones": self.tombstones,
        }
        return b"\n".join([_text(head), *(self.commons[like] for like in likes), *lines])

    @classmethod
    def from_bytes(cls, data: bytes) -> Content:
        """Read what :meth:`to_bytes` wrote, or what it wrote before common parts or units were kept."""
        first, *lines = data.split(b"\n")
        head = json.loads(first)
        if "content_version" not in head:
            content = cls(pixels=head["pixels"], tombstones=head["tombstones"])
            for header in head["headers"]:
                content.take(alike(Header.from_line(json.dumps(header))))
            return content
        if head["content_version"] < _VERSION:
            content = cls(
                hosts=head["hosts"],
                wholes=head.get("wholes", {}),
                pixels=head["pixels"],
                tombstones=head["tombstones"],
            )
            for line in lines:
                content.take(alike(Header.from_line(line)))
            return content
        paths, likes = head["paths"], head.get("likes", [])
        return cls(
            commons=dict(zip(likes, lines, strict=False)),
            lines=dict(zip(paths, lines[len(likes) :], strict=True)),
            units=dict(zip(paths, head["units"], strict=True)),
            hosts=head["hosts"],
            wholes=head["wholes"],
            pixels=head["pixels"],
            tombstones=head["tombstones"],
        )

    def take(self, header: Header) -> None:
        """Put a header in, or in the place of the one before."""
        if header.like and header.like not in self.commons:
            self.commons[header.like] = common_line_of(header)
        self.lines[header.path], self.units[header.path] = line_of(header), unit_of(header)

    def header(self, path: str) -> Header:
        """Return a header."""
        return self._read.header(self.lines[path])

    def headers(self, units: Collection[str] | None = None) -> list[Header]:
        """Return the headers of some units, or all, in the order of paths."""
        paths = (path for path, unit in self.units.items() if units is None or unit in units)
        return [self.header(path) for path in sorted(paths)]

    def touched(self, edits: Iterable[Edit]) -> set[str]:
        """Return the units that edits, not made yet, change."""
        found: set[str] = set()
        for edit in edits:
            if edit.path in self.units and edit.kind != REVIVE:
                found.add(self.units[edit.path])
            if edit.header:
                found.add(edit.unit)
                found.update([self.units[path] for path in edit.paths if path in self.units])
        return found

    def apply(self, edits: Iterable[Edit], naming: Naming, *, scan: int) -> None:
        """Make edits; ``scan`` is the number of the scan that makes them."""
        coming: list[Edit] = []
        # a file that changed within the range goes out before it comes in
        for edit in edits:
            if edit.kind == REVIVE:
                self.tombstones.pop(naming.instance(edit.path), None)
            elif edit.header:
                coming.append(edit)
            elif edit.path in self.lines:
                if edit.kind == BURY:
                    series = naming.series(self.header(edit.path))
                    self.tombstones[naming.instance(edit.path)] = [series, scan]
                self._remove(edit.path)
        for edit in coming:
            if edit.kind == PUT:
                self.lines[edit.path], self.units[edit.path] = edit.header, edit.unit
                continue
            like = edit.path.encode()
            self.commons[edit.path], *owns = edit.header.split(b"\t")
            self.lines.update(zip(edit.paths, [like + own for own in owns], strict=True))
            self.units.update(dict.fromkeys(edit.paths, edit.unit))

    def _remove(self, path: str) -> None:
        del self.lines[path], self.units[path]


@dataclass(slots=True, kw_only=True)
class Locators:
    """The sealed part of a range's volumes, one line to each in JSON that can be read whole too.

    Attributes
    ----------
    volumes : dict of str to bytes
        By volume key, the locator as JSON text.
    dates : dict of str to bytes
        By series key, patient key and study date as JSON text.
    """

    volumes: dict[str, bytes] = field(default_factory=dict)
    dates: dict[str, bytes] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return them as bytes, to be sealed."""
        return b'{"volumes":{\n' + _joined(self.volumes) + _BETWEEN + _joined(self.dates) + b"\n}}"

    @classmethod
    def from_bytes(cls, data: bytes) -> Locators:
        """Read what :meth:`to_bytes` wrote."""
        volumes, _, dates = data.partition(_BETWEEN)
        return cls(volumes=_split(volumes), dates=_split(dates))

    def replace(self, going: Iterable[str], coming: Mapping[str, Json]) -> None:
        """Take volumes out, then put volumes in."""
        _replace(self.volumes, going, coming)

    def replace_dates(self, going: Iterable[str], coming: Mapping[str, Sequence[str]]) -> bool:
        """Take the dates of series out, then put dates in; tell whether that changed any."""
        return _replace(self.dates, going, coming)


_BETWEEN = b'\n},"dates":{\n'


def _replace(lines: dict[str, bytes], going: Iterable[str], coming: Mapping[str, object]) -> bool:
    gone = {key: lines.pop(key) for key in going if key in lines}
    fresh = {key: _text(one) for key, one in coming.items()}
    lines |= fresh
    return gone != fresh


def _joined(lines: Mapping[str, bytes]) -> bytes:
    return b",\n".join(b'"%s":%s' % (key.encode(), line) for key, line in sorted(lines.items()))


def _split(data: bytes) -> dict[str, bytes]:
    # the first and the last line are brackets
    lines: dict[str, bytes] = {}
    for line in data.split(b"\n"):
        if line.startswith(b'"'):
            key, _, text = line.removesuffix(b",").partition(b":")
            lines[key[1:-1].decode()] = text
    return lines


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
