"""How a header asks for its pixels to be shown: window or table of values of interest, and polarity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from medpipe.archive.elements import items, number, numbers, parse, quiet, text, value
from medpipe.archive.gate import inspect
from medpipe.archive.header import Header
from medpipe.values import Display

_FUNCTIONS: Final = {"LINEAR_EXACT": "linear_exact", "SIGMOID": "sigmoid"}
_MOST_ENTRIES: Final = 1 << 16


def read_displays(data: bytes, header: Header) -> tuple[Display, ...]:
    """Return how each frame of a file is to be shown, in terms of the values that the array holds.

    Parameters
    ----------
    data : bytes
        The whole file, which passed decoding.
    header : Header
        Of this file.

    Returns
    -------
    tuple of Display
        The first item of the table counts, else the first window (PS3.3 C.11.2); functional
        groups count before the top level. A window or table that says what cannot be is none.
    """
    if header.format:
        return (Display(),) * header.n_frames
    with quiet():
        dataset = parse(inspect(data).data)
        inverted = header.photometric == "MONOCHROME1" or text(dataset, "PresentationLUTShape") == "INVERSE"
        groups: Sequence[Any] = items(dataset, "PerFrameFunctionalGroupsSequence")
        shared = items(dataset, "SharedFunctionalGroupsSequence")[:1]
        table = _table(dataset)
        return tuple(
            (table or _window((*groups[frame : frame + 1], *shared), dataset))._replace(
                inverted=inverted, ends=_ends(header, frame)
            )
            for frame in range(header.n_frames)
        )


def _window(groups: Sequence[Any], dataset: Any) -> Display:
    framed = (item for group in groups for item in items(group, "FrameVOILUTSequence")[:1])
    return next(_windows((*framed, dataset)), Display())


def _windows(levels: Sequence[Any]) -> Iterator[Display]:
    for level in levels:
        center, width = number(level, "WindowCenter"), number(level, "WindowWidth")
        function = _FUNCTIONS.get(text(level, "VOILUTFunction").upper(), "linear")
        if center is None or width is None:
            continue
        if width >= 1.0 or (width > 0.0 and function != "linear"):
            yield Display(function=function, center=center, width=width)


def _table(dataset: Any) -> Display | None:
    for item in items(dataset, "VOILUTSequence")[:1]:
        described = numbers(item, "LUTDescriptor")
        if len(described) != 3:
            return None
        count, first, bits = int(described[0]) or _MOST_ENTRIES, described[1], int(described[2])
        entries = _entries(item, count, bits)
        if entries and 8 <= bits <= 16:
            greatest = float((1 << bits) - 1)
            shares = tuple(min(entry / greatest, 1.0) for entry in entries)
            return Display(function="table", first=first, table=shares)
    return None


def _entries(item: Any, count: int, bits: int) -> tuple[float, ...]:
    """Return so many entries of a table; none where it holds another number of them."""
    found = value(item, "LUTData")
    if isinstance(found, bytes):
        # bytes of OW: 16 bits each, or two entries of 8 bits in each word
        packed = bits <= 8 and len(found) == count + count % 2
        size = 1 if packed else 2
        whole = len(found) // size if count > 0 else 0
        entries = tuple(np.frombuffer(found, f"<u{size}", count=min(whole, count)).astype(np.float64).tolist())
    else:
        entries = numbers(item, "LUTData", may_be_long=True)
    kept = entries[:count]
    return kept if len(kept) == count and 0 < count <= _MOST_ENTRIES else ()


def _ends(header: Header, frame: int) -> tuple[float, float] | None:
    """Return what the least and the greatest stored number become; None where a table or floats stand between."""
    if header.has_table or header.pixel_keyword != "PixelData" or not 0 < header.bits_stored <= 32:
        return None
    least = -(1 << header.bits_stored - 1) if header.signed else 0
    slope, intercept = (header.frames[frame] if header.frames else header.top).scale
    return least * slope + intercept, (least + (1 << header.bits_stored) - 1) * slope + intercept
