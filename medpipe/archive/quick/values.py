"""Values of elements straight from their bytes, as :mod:`medpipe.archive.elements` gives them with pydicom.

What pydicom would convert in a second way, or warn of, raises :class:`Doubt`.
"""

from __future__ import annotations

import math
import struct
import warnings
from typing import Final

from pydicom.charset import convert_encodings

from medpipe.archive.quick.doubt import Doubt

_DECIMAL: Final = b"0123456789+-.eE \\\0"
_NEVER: Final = bytes(range(33, 127)).translate(None, _DECIMAL + b"_")
"""Characters with which a text is no number in Python, nor one that is finite."""

_BINARY: Final = {"US": ("H", 2), "SS": ("h", 2), "UL": ("I", 4), "SL": ("i", 4), "FL": ("f", 4), "FD": ("d", 8)}
_LATIN: Final = frozenset({"AS", "CS", "DA", "DT", "TM", "UI"})
_SPLIT: Final = frozenset({"LO", "SH", "UC"})
_WHOLE: Final = frozenset({"LT", "ST", "UT"})
_LISTED: Final = _LATIN | _SPLIT
_SHORT_BYTES: Final = 2
_MOST_SETS_BYTES: Final = 1024
_MOST_BYTES: Final = 65_534
"""What the whole reading takes apart of one element at most."""

_PRINTABLE: Final = bytes(range(32, 127))
_SURE_ENCODINGS: Final = frozenset({"iso8859", "latin_1", "UTF8"})


def encoding_of(sets: bytes) -> str:
    """Return Python's name of the encoding that Specific Character Set (0008,0005) names first.

    ``ascii`` stands for one in which only ASCII, without escapes, is read here.
    """
    named = sets.decode("latin-1").rstrip(" \0").split("\\")
    if len(sets) > _MOST_SETS_BYTES:
        raise Doubt
    with warnings.catch_warnings():
        # they quote the header
        warnings.simplefilter("ignore")
        first = str(convert_encodings(named[0] if len(named) == 1 else named)[0])
    if first in _SURE_ENCODINGS:
        return first
    try:
        is_alike = _PRINTABLE.decode(first) == _PRINTABLE.decode("ascii")
    except (LookupError, UnicodeError):
        is_alike = False
    if not is_alike:
        raise Doubt
    return "ascii"


def texts_of(kind: str, raw: bytes, encoding: str) -> tuple[str, ...]:
    """Return all values of an element as text without padding; see :func:`medpipe.archive.elements.texts`.

    Parameters
    ----------
    kind : str
        Type, two letters.
    raw : bytes
    encoding : str
        Of the data set, see :func:`encoding_of`.
    """
    if not raw:
        return ()
    if len(raw) > _MOST_BYTES:
        raise Doubt
    if kind in _LISTED and raw.isascii() and b"\\" not in raw and b"\x1b" not in raw:
        # nearly all: one value, the same in every encoding that is read here
        said = raw.decode("ascii").rstrip(" \0")
        return (said.replace("\0", "").strip(),) if said else ()
    if kind in _LATIN:
        values = raw.decode("latin-1").rstrip(" \0").split("\\")
    elif kind in _SPLIT:
        values = [value.rstrip("\0 ") for value in _decoded(raw, encoding).split("\\")]
    elif kind in _WHOLE:
        values = [_decoded(raw, encoding).rstrip("\0 ")]
    elif kind in {"UN", "OB"}:
        values = [raw.decode("latin-1")]
    else:
        raise Doubt
    if values == [""]:
        return ()
    return tuple([value.replace("\0", "").strip() for value in values])


def numbers_of(kind: str, raw: bytes, *, is_big: bool) -> tuple[float, ...]:
    """Return all values of an element as finite floats; see :func:`medpipe.archive.elements.numbers`.

    Parameters
    ----------
    kind : str
        Type, two letters.
    raw : bytes
    is_big : bool
        Whether binary numbers begin with the highest byte.
    """
    if not raw:
        return ()
    if len(raw) > _MOST_BYTES:
        raise Doubt
    if kind == "US" and len(raw) == _SHORT_BYTES:
        return (float(raw[0] << 8 | raw[1] if is_big else raw[1] << 8 | raw[0]),)
    if kind == "DS":
        return _decimals(raw)
    if kind == "IS":
        # an integer has no negative zero
        return tuple([value + 0.0 for value in _decimals(raw)])
    letter, size = _BINARY.get(kind, ("", 1))
    if not letter or len(raw) % size:
        raise Doubt
    plain = tuple(map(float, struct.unpack(f"{'>' if is_big else '<'}{len(raw) // size}{letter}", raw)))
    return plain if all(map(math.isfinite, plain)) else ()


def _decimals(raw: bytes) -> tuple[float, ...]:
    # of these characters alone, Python reads the numbers that DICOM has, and no other
    if strange := raw.translate(None, _DECIMAL):
        if strange.translate(None, _NEVER) != strange:
            return ()
        raise Doubt
    said = raw.rstrip(b" \0").split(b"\\")
    try:
        plain = tuple(map(float, said))
    except ValueError:
        # an empty value among others, or alone: there are no numbers; anything else is not for here
        if all(not one.strip() or _is_decimal(one) for one in said):
            return ()
        raise Doubt from None
    return plain if all(map(math.isfinite, plain)) else ()


def _is_decimal(said: bytes) -> bool:
    try:
        float(said)
    except ValueError:
        return False
    return True


def _decoded(raw: bytes, encoding: str) -> str:
    if b"\x1b" in raw:
        raise Doubt
    try:
        return raw.decode(encoding)
    except UnicodeError:
        raise Doubt from None
