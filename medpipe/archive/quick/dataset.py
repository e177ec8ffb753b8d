"""A data set of which only what is wanted was read, for the functions of :mod:`medpipe.archive.elements`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydicom.datadict import private_dictionary_VR, tag_for_keyword

from medpipe.archive.quick.doubt import Doubt
from medpipe.archive.quick.values import numbers_of, texts_of

Tag = str | tuple[int, int]
Said = tuple[str, bytes]
"""Type and bytes of an element."""

_DEPENDENT: Final = frozenset({"UN", "US or SS"})
MOST_KNOWN: Final = 1 << 14
_NO_SEQUENCES: Final[dict[Tag, Sequence[HeadDataset]]] = {}


@dataclass(slots=True)
class Known:
    """Values that were met before, by type and bytes: slices of a series share nearly all.

    Attributes
    ----------
    texts, little, big : dict
        Texts in ASCII; numbers by the order of their bytes.
    """

    texts: dict[Said, tuple[str, ...]] = field(default_factory=dict)
    little: dict[Said, tuple[float, ...]] = field(default_factory=dict)
    big: dict[Said, tuple[float, ...]] = field(default_factory=dict)

    def forget(self) -> None:
        """Forget all of a kind once there are too many."""
        for known in (self.texts, self.little, self.big):
            if len(known) > MOST_KNOWN:
                known.clear()


class HeadDataset:
    """Wanted elements of a data set or an item, by keyword, or by (group, element) if private.

    Parameters
    ----------
    listed : collection of tag
        What was looked for: another element raises :class:`Doubt`, since it may be there.
    known : Known
    encoding : str
        Of texts, see :func:`medpipe.archive.quick.values.encoding_of`.
    is_big : bool
        Whether binary numbers begin with the highest byte.
    """

    __slots__ = ("_encoding", "_is_big", "_known", "_listed", "_numbers", "_texts", "file_meta", "leaves", "sequences")

    def __init__(self, *, listed: Mapping[Tag, object], known: Known, encoding: str, is_big: bool) -> None:
        self._listed = listed
        self._known = known
        self._texts = known.texts
        self._numbers = known.big if is_big else known.little
        self._encoding = encoding
        self._is_big = is_big
        self.leaves: dict[Tag, Said] = {}
        self.sequences: dict[Tag, Sequence[HeadDataset]] = _NO_SEQUENCES
        self.file_meta: HeadDataset | None = None

    def alike(self) -> HeadDataset:
        """Return an empty data set of the same encoding."""
        # written out: structure sets and functional groups have thousands of items
        made = HeadDataset.__new__(HeadDataset)
        made._listed, made._known, made._texts, made._numbers = self._listed, self._known, self._texts, self._numbers
        made._encoding, made._is_big = self._encoding, self._is_big
        made.leaves, made.sequences, made.file_meta = {}, _NO_SEQUENCES, None
        return made

    def add_sequence(self, tag: Tag, items: Sequence[HeadDataset]) -> None:
        """Add a sequence."""
        if self.sequences is _NO_SEQUENCES:
            self.sequences = {}
        self.sequences[tag] = items

    def __contains__(self, tag: Tag) -> bool:
        if tag in self.leaves or tag in self.sequences:
            return True
        self._check(tag)
        return False

    def keys(self) -> Iterator[int]:
        """Yield the tags that are there, as numbers."""
        for tag in (*self.leaves, *self.sequences):
            yield tag[0] << 16 | tag[1] if isinstance(tag, tuple) else int(tag_for_keyword(tag) or 0)

    def texts(self, tag: Tag) -> tuple[str, ...]:
        """Return all values of an element as text without padding."""
        said = self.leaves.get(tag)
        if said is None:
            if tag not in self._listed or tag in self.sequences:
                raise Doubt
            return ()
        found = self._texts.get(said)
        if found is None:
            kind, raw = said if said[0] not in _DEPENDENT else self._typed(tag, said)
            found = texts_of(kind, raw, self._encoding)
            if raw.isascii() and kind == said[0]:
                self._texts[said] = found
        return found

    def text(self, tag: Tag) -> str:
        """Return the first value of an element as text without padding; empty where there is none."""
        said = self.leaves.get(tag)
        if said is None:
            if tag not in self._listed or tag in self.sequences:
                raise Doubt
            return ""
        found = self._texts.get(said)
        if found is None:
            found = self.texts(tag)
        return found[0] if found else ""

    def number(self, tag: Tag) -> float | None:
        """Return the first value of an element as a finite float, or None."""
        said = self.leaves.get(tag)
        if said is None:
            if tag not in self._listed or tag in self.sequences:
                raise Doubt
            return None
        found = self._numbers.get(said)
        if found is None:
            found = self.numbers(tag)
        return found[0] if found else None

    def numbers(self, tag: Tag) -> tuple[float, ...]:
        """Return all values of an element as finite floats."""
        said = self.leaves.get(tag)
        if said is None:
            if tag not in self._listed or tag in self.sequences:
                raise Doubt
            return ()
        found = self._numbers.get(said)
        if found is None:
            kind, raw = said if said[0] not in _DEPENDENT else self._typed(tag, said)
            if kind == "UN":
                return _of_bytes(raw)
            found = numbers_of(kind, raw, is_big=self._is_big)
            if kind == said[0]:
                self._numbers[said] = found
        return found

    def items(self, tag: Tag) -> tuple[HeadDataset, ...]:
        """Return the items of a sequence."""
        found = self.sequences.get(tag)
        if found is None:
            if tag not in self._listed or tag in self.leaves:
                raise Doubt
            return ()
        return tuple(found)

    def plain_bytes(self, tag: Tag) -> bytes:
        """Return the value of an element that is bytes; empty where it is absent."""
        said = self.leaves.get(tag)
        if said is None:
            self._check(tag)
            return b""
        kind, raw = self._typed(tag, said)
        if kind not in {"OB", "OW", "UN"}:
            raise Doubt
        return raw

    def is_unreadable(self, tag: Tag, *, count: int) -> bool:
        """Tell whether an element holds something other than so many finite numbers; absent or empty is nothing."""
        said = self.leaves.get(tag)
        if said is None:
            self._check(tag)
            return False
        if len(self.numbers(tag)) == count:
            return False
        kind, raw = self._typed(tag, said)
        if kind not in {"DS", "IS"}:
            raise Doubt
        return bool(raw.strip(b" \0"))

    def _check(self, tag: Tag) -> None:
        if tag not in self._listed or tag in self.sequences:
            raise Doubt

    def _typed(self, tag: Tag, said: Said) -> Said:
        """Return an element with the type it has, where that depends on others."""
        kind, raw = said
        if kind == "US or SS":
            signed = self.leaves.get("PixelRepresentation")
            if signed is None or len(signed[1]) != 2 or self.numbers("PixelRepresentation") not in {(0.0,), (1.0,)}:
                raise Doubt
            kind = "SS" if self.numbers("PixelRepresentation") == (1.0,) else "US"
        elif kind == "UN" and isinstance(tag, tuple):
            kind = self._private(tag)
        return kind, raw

    def _private(self, tag: tuple[int, int]) -> str:
        creator = self.leaves.get((tag[0], tag[1] >> 8))
        if creator is None or not creator[1]:
            return "UN"
        named = creator[1].decode("latin-1").rstrip("\0 ")
        if not named.isascii() or "\\" in named:
            raise Doubt
        try:
            return str(private_dictionary_VR(tag, named))
        except KeyError:
            return "UN"


def _of_bytes(raw: bytes) -> tuple[float, ...]:
    # an unknown type: pydicom gives the bytes as they are, and Python reads a number from some
    if raw:
        raise Doubt
    return ()
