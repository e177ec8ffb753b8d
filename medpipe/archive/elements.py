"""Reading elements of a parsed data set without trusting their values.

The one module that sets pydicom up. Its warnings and log lines quote header values, so they
are silenced; what they warn of is judged by this package.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final

import pydicom
import pydicom.config
from pydicom.dataelem import RawDataElement

from medpipe.archive.quick.dataset import HeadDataset

Tag = str | tuple[int, int]
"""A keyword of the dictionary, or a (group, element) pair for a private element."""

_MOST_BYTES: Final = 65_534
"""What a type with a short length field holds; only an implicit encoding can declare more for it."""

_MOST_INTEGER: Final = 2.0**63

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
for _name in ("pydicom", "pylibjpeg", "openjpeg", "libjpeg", "rle", "PIL"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of pydicom and the codecs: they quote header values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parse(data: bytes) -> Any:
    """Return the data set of a file that passed the gate; errors are pydicom's own."""
    with quiet():
        return pydicom.dcmread(BytesIO(data), force=True)


def value(dataset: Any, tag: Tag) -> Any:
    """Return an element's value, or None where it is absent, empty or cannot be converted."""
    if isinstance(dataset, HeadDataset):
        return dataset.plain_bytes(tag) or None
    try:
        found = dataset[tag].value
    except (KeyError, AttributeError):
        return None
    except Exception:  # noqa: BLE001  # a hostile value may raise anything in its converter
        return None
    if found is None or (isinstance(found, (str, bytes)) and not found):
        return None
    return found


def _is_too_long(dataset: Any, tag: Tag) -> bool:
    # before it is taken apart: half a million values where three belong cost seconds
    if isinstance(dataset, HeadDataset):
        return False
    try:
        held = dataset.get_item(tag)
    except (KeyError, AttributeError):
        return False
    return isinstance(held, RawDataElement) and held.value is not None and len(held.value) > _MOST_BYTES


def is_unreadable_number(dataset: Any, keyword: str, *, count: int = 1) -> bool:
    """Tell whether an element holds something other than so many finite numbers; absent or empty is nothing."""
    if isinstance(dataset, HeadDataset):
        return dataset.is_unreadable(keyword, count=count)
    if keyword not in dataset or len(numbers(dataset, keyword)) == count:
        return False
    # as it stands in the file: what cannot be converted has no value to ask for
    said = dataset.get_item(keyword).value
    plain = said if isinstance(said, bytes) else str("" if said is None else said).encode()
    return bool(plain.strip(b" \0"))


def is_beyond_integers(dataset: Any, keyword: str) -> bool:
    """Tell whether an element holds a number, or so many, that no integer of DICOM is."""
    is_number = number(dataset, keyword) is not None
    return _is_too_long(dataset, keyword) or (is_number and integer(dataset, keyword) is None)


def text(dataset: Any, tag: Tag) -> str:
    """Return an element's first value as text without padding; empty where there is none."""
    if type(dataset) is HeadDataset:
        return dataset.text(tag)
    values = texts(dataset, tag)
    return values[0] if values else ""


def texts(dataset: Any, tag: Tag) -> tuple[str, ...]:
    """Return all values of an element as text without padding; none of one beyond 64 KiB."""
    if isinstance(dataset, HeadDataset):
        return dataset.texts(tag)
    # of what is not there, asked for its elements, too
    found = None if not dataset or _is_too_long(dataset, tag) else value(dataset, tag)
    if found is None:
        return ()
    if isinstance(found, bytes):
        found = found.decode("latin-1")
    values = [found] if isinstance(found, str) or not isinstance(found, Sequence) else found
    return tuple(_plain_text(item) for item in values)


def number(dataset: Any, tag: Tag) -> float | None:
    """Return an element's first value as a finite float, or None."""
    if type(dataset) is HeadDataset:
        return dataset.number(tag)
    values = numbers(dataset, tag)
    return values[0] if values else None


def integer(dataset: Any, tag: Tag) -> int | None:
    """Return an element's first value as an integer, or None; no type of DICOM holds more than 64 bits."""
    found = dataset.number(tag) if type(dataset) is HeadDataset else number(dataset, tag)
    return None if found is None or abs(found) >= _MOST_INTEGER else int(found)


def numbers(dataset: Any, tag: Tag, *, may_be_long: bool = False) -> tuple[float, ...]:
    """Return all values of an element as finite floats; empty if any is not one.

    Empty, too, for an element beyond 64 KiB, unless it ``may_be_long``.
    """
    if isinstance(dataset, HeadDataset):
        return dataset.numbers(tag)
    found = None if not dataset or (not may_be_long and _is_too_long(dataset, tag)) else value(dataset, tag)
    if found is None:
        return ()
    values = [found] if isinstance(found, (str, bytes)) or not hasattr(found, "__iter__") else found
    try:
        plain = tuple(float(item) for item in values)
    except (TypeError, ValueError):
        return ()
    return plain if all(math.isfinite(item) for item in plain) else ()


def decimals(dataset: Any, keyword: str) -> tuple[float, ...]:
    """Return what :func:`numbers` does of an element that may be long, without keeping an object for each value.

    The text is taken apart as it stands in the file, and the data set holds no more than that.
    """
    try:
        held = dataset.get_item(keyword)
    except (KeyError, AttributeError):
        return ()
    if not isinstance(held, RawDataElement) or not isinstance(held.value, bytes) or held.VR not in {None, "DS"}:
        return numbers(dataset, keyword, may_be_long=True)
    try:
        plain = tuple(map(float, held.value.rstrip(b" \0").split(b"\\")))
    except ValueError:
        return ()
    return plain if all(map(math.isfinite, plain)) else ()


def items(dataset: Any, tag: Tag) -> tuple[Any, ...]:
    """Return the items of a sequence; empty where it is absent or is no sequence."""
    if isinstance(dataset, HeadDataset):
        return dataset.items(tag)
    found = value(dataset, tag)
    if found is None or isinstance(found, (str, bytes)) or not hasattr(found, "__iter__"):
        return ()
    return tuple(item for item in found if hasattr(item, "keys"))


def levels(dataset: Any, tag: Tag) -> tuple[Any, ...]:
    """Return the items of a sequence at the top, in the shared and in the per-frame groups."""
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    if not shared and not frames:
        return items(dataset, tag)
    return tuple(item for level in (dataset, *shared, *frames) for item in items(level, tag))


def may_be_there(dataset: Any, named: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Return names and keywords of elements, without some of those that are not there."""
    if type(dataset) is HeadDataset:
        leaves = dataset.leaves
        return [(name, keyword) for name, keyword in named.items() if keyword in leaves]
    return named.items()


def _plain_text(item: Any) -> str:
    return str(item).replace("\0", "").strip()
