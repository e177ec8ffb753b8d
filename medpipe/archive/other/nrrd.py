"""NRRD with its voxels in the same file: a bounded reader of its text header.

After the definition of the format (teem, nrrd/format.html): lines of ``field: value``, an empty
line, then the voxels, raw or as a gzip stream.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, NamedTuple

import numpy as np

from medpipe.archive.frames import Vector
from medpipe.archive.other.block import Block, check_block
from medpipe.archive.other.place import place_of, to_lps
from medpipe.errors import Rejected

MAX_HEADER_BYTES: Final = 1 << 20
_MAGIC: Final = re.compile(rb"NRRD000[1-5]\r?\n")
_END: Final = re.compile(rb"\r?\n\r?\n")
_SEGMENT: Final = re.compile(r"(?m)^Segment([0-9]{1,4})_(Name|LabelValue|Layer):=(.*)$")
_MOST_NAME: Final = 256
_VECTOR: Final = re.compile(r"none|\(([^()]*)\)")
_SIGNS: Final = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_TYPES: Final = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_DTYPES: Final = {name: dtype for dtype, names in _TYPES.items() for name in names.split("|")}
_UNITS_MM: Final = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001, "micron": 0.001, "microns": 0.001}
_COLOURS: Final = frozenset({"rgb-color", "3-color"})
_TIMES: Final = frozenset({"time", "list", "domain", "space", "none", "???", ""})
_ALIASES: Final = {"datafile": "data file", "byteskip": "byte skip", "lineskip": "line skip"}


class _Axes(NamedTuple):
    """What the axes are, fastest first: letters, and the directions of those in space."""

    letters: str
    directions: tuple[tuple[float, ...], ...]


def is_nrrd(head: bytes) -> bool:
    """Tell whether a file begins like NRRD."""
    return _MAGIC.match(head) is not None


def describe(head: bytes, size: int) -> dict[str, Any]:
    """Return the fields of a :class:`medpipe.archive.header.Header` that a NRRD file gives.

    Parameters
    ----------
    head : bytes
        Its first MiB, or all of it.
    size : int
        Of the whole file.

    Raises
    ------
    Rejected
        Why it cannot be read.
    """
    end = _END.search(head, 0, MAX_HEADER_BYTES)
    fields = _fields(head[: MAX_HEADER_BYTES if end is None else end.start()])
    if "data file" in fields:
        raise Rejected("E_DETACHED")
    if end is None:
        raise Rejected("E_TRUNCATED" if size < MAX_HEADER_BYTES else "E_HEADER")
    sizes = _integers(fields.get("sizes", ""))
    if not sizes or [len(sizes)] != _integers(fields.get("dimension", "")) or not 3 <= len(sizes) <= 4:
        raise Rejected("E_DIMENSIONS")
    axes = _axes(fields, sizes)
    packing, start, skip = _stream(fields, end.end(), size, sizes)
    block = Block(
        start=start,
        packing=packing,
        skip=skip,
        dtype=_dtype(fields),
        shape=tuple(reversed(sizes)),
        axes=axes.letters[::-1],
        **_placed(fields, axes, sizes),
    )
    check_block(block, size)
    return {
        "block": block,
        "notes": () if block.affine_lps else ("W_UNPLACED",),
        "pixel_bytes": block.n_bytes if packing else size - start,
    }


class Segment(NamedTuple):
    """A segment as 3D Slicer describes it in key/value pairs: its value, in which list entry, its name."""

    label: int
    layer: int
    name: str


def segments_of(data: bytes) -> list[Segment]:
    """Return the segments a NRRD file describes, in stored order; none where it describes none."""
    end = _END.search(data, 0, MAX_HEADER_BYTES)
    text = data[: 0 if end is None else end.start()].decode("utf-8", "replace")
    found: dict[str, dict[str, str]] = {}
    for number, what, value in _SEGMENT.findall(text):
        found.setdefault(number, {})[what] = value.strip()[:_MOST_NAME]
    segments = []
    for one in found.values():
        label, layer = _integers(one.get("LabelValue", "")), _integers(one.get("Layer", "0"))
        if label and layer:
            segments.append(Segment(label[0], layer[0], one.get("Name", "")))
    return segments


def _fields(head: bytes) -> dict[str, str]:
    """Return the fields by their names in lower case; key/value pairs (``:=``) are none."""
    found: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").splitlines()[1:]:
        name, colon, value = line.partition(": ")
        if line.startswith("#") or ":=" in line or not colon:
            continue
        name = name.strip().lower()
        name = _ALIASES.get(name, name)
        if name in found:
            raise Rejected("E_HEADER")
        found[name] = value.strip()
    return found


def _integers(said: str) -> list[int]:
    words = said.split()
    return [int(word) for word in words] if words and all(re.fullmatch(r"[0-9]{1,18}", word) for word in words) else []


def _floats(words: list[str]) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        raise Rejected("E_HEADER") from None


def _dtype(fields: dict[str, str]) -> str:
    name = _DTYPES.get(fields.get("type", "").lower())
    if name is None:
        raise Rejected("E_FORMAT" if fields.get("type", "").lower() == "block" else "E_HEADER")
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower())
    if order is None and not name.endswith("1"):
        raise Rejected("E_HEADER")
    return np.dtype(f"{order or '<'}{name}").str


def _stream(fields: dict[str, str], start: int, size: int, sizes: list[int]) -> tuple[str, int, int]:
    """Return the packing, where the stream begins, and how much of what it holds is skipped."""
    encoding = fields.get("encoding", "").lower()
    if fields.get("line skip", "0") != "0" or encoding not in {"raw", "gzip", "gz"}:
        raise Rejected("E_FORMAT" if encoding else "E_HEADER")
    packing = "" if encoding == "raw" else "gzip"
    said = fields.get("byte skip", "0")
    if said == "-1" and not packing:
        # the voxels are the last bytes of the file
        n_bytes = math.prod(sizes) * np.dtype(_dtype(fields)).itemsize
        if n_bytes > size - start:
            raise Rejected("E_TRUNCATED")
        return packing, size - n_bytes, 0
    skips = _integers(said)
    if len(skips) != 1:
        raise Rejected("E_FORMAT")
    return (packing, start, skips[0]) if packing else (packing, start + skips[0], 0)


def _axes(fields: dict[str, str], sizes: list[int]) -> _Axes:
    kinds = fields.get("kinds", "").lower().split() or [""] * len(sizes)
    vectors = _vectors(fields["space directions"]) if "space directions" in fields else [()] * len(sizes)
    if len(kinds) != len(sizes) or len(vectors) != len(sizes):
        raise Rejected("E_HEADER")
    if "space directions" in fields:
        in_space = [bool(vector) for vector in vectors]
    else:
        in_space = [len(sizes) == 3 or kind in {"domain", "space"} for kind in kinds]
    if sum(in_space) != 3:
        raise Rejected("E_DIMENSIONS")
    names = iter("xyz")
    letters = ""
    for is_spatial, kind, side in zip(in_space, kinds, sizes, strict=True):
        if is_spatial:
            letters += next(names)
        elif kind in _COLOURS and side == 3:
            letters += "c"
        elif kind in _TIMES:
            letters += "t"
        else:
            raise Rejected("E_FORMAT")
    return _Axes(letters, tuple(vector for vector in vectors if vector))


def _vectors(said: str) -> list[tuple[float, ...]]:
    """Return a vector for each axis, an empty one for an axis that lies in no space."""
    if _VECTOR.sub("", said).strip():
        raise Rejected("E_HEADER")
    found = [() if one[0] == "none" else _floats(one[1].split(",")) for one in _VECTOR.finditer(said)]
    if len({len(vector) for vector in found if vector}) > 1:
        raise Rejected("E_HEADER")
    return found


def _placed(fields: dict[str, str], axes: _Axes, sizes: list[int]) -> dict[str, Any]:
    """Return what is known of the place: an affine, or spacing alone where the space is not a patient's."""
    signs = _SIGNS.get(fields.get("space", "").lower())
    scale = _unit_mm(fields)
    if signs is None or not axes.directions or "space origin" not in fields:
        return {"spacing_mm": _spacing(fields, axes, scale)}
    origin = _vectors(fields["space origin"])
    if len(axes.directions[0]) != 3 or len(origin) != 1 or len(origin[0]) != 3:
        raise Rejected("E_HEADER")
    affine: Vector = np.eye(4)
    affine[:3, :3] = np.array(axes.directions).T
    affine[:3, 3] = origin[0]
    place = place_of(to_lps(affine, signs=signs, scale=scale), sizes[axes.letters.index("z")])
    return {"affine_lps": place.affine_lps, "reverse": place.reverse}


def _unit_mm(fields: dict[str, str]) -> float:
    """Return the length of a unit of the space; one that is not said is a millimetre, as programs for images have it."""
    units = set(re.findall(r'"([^"]*)"', fields.get("space units", ""))) - {"", "???"}
    if len(units) > 1 or not units <= _UNITS_MM.keys():
        raise Rejected("E_FORMAT")
    return _UNITS_MM[units.pop()] if units else 1.0


def _spacing(fields: dict[str, str], axes: _Axes, scale: float) -> tuple[float, ...]:
    if axes.directions:
        steps = [math.hypot(*vector) * scale for vector in axes.directions]
    else:
        said = fields.get("spacings", "").split()
        if len(said) != len(axes.letters):
            return ()
        steps = [step for step, letter in zip(_floats(said), axes.letters, strict=True) if letter in "xyz"]
    return tuple(reversed(steps)) if all(math.isfinite(step) and step > 0 for step in steps) else ()
