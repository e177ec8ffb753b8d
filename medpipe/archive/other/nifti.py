"""NIfTI-1 and NIfTI-2 in one file, plain or packed with gzip.

Read by the text of the standard (nifti1.h, nifti2.h): 348 or 540 bytes of header, extensions,
voxels. The second file of a header/image pair cannot be found by its content, so pairs are refused.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from medpipe.archive.frames import Plane, Vector
from medpipe.archive.other.block import Block, check_block, unpacked_head
from medpipe.archive.other.place import place_of, to_lps
from medpipe.errors import Rejected

_TYPES: Final = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    128: "u1",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_RGB: Final = 128
_UNITS_MM: Final = {1: 1000.0, 2: 1.0, 3: 0.001}
_RAS: Final = (-1, -1, 1)
_APART: Final = 0.1
"""Part of a voxel that two affines of one file may differ by, at any corner."""


class _Raw(NamedTuple):
    """The fields of a header that say what the voxels are and where."""

    dim: tuple[int, ...]
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    vox_offset: float
    slope: float
    intercept: float
    units: int
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    offset: tuple[float, ...]
    rows: tuple[float, ...]


def is_nifti(head: bytes) -> bool:
    """Tell whether a file begins like NIfTI, plain or packed."""
    raw = _plain(head)
    return _kind(raw) is not None


def describe(head: bytes, size: int) -> dict[str, Any]:
    """Return the fields of a :class:`medpipe.archive.header.Header` that a NIfTI file gives.

    Parameters
    ----------
    head : bytes
        At least its first 32 KiB, or all of it.
    size : int
        Of the whole file.

    Raises
    ------
    Rejected
        Why it cannot be read.
    """
    raw = _plain(head)
    kind = _kind(raw)
    assert kind is not None, "it begins like NIfTI"
    version, order, is_pair = kind
    if is_pair:
        raise Rejected("E_DETACHED")
    fields = _first(raw, order) if version == 1 else _second(raw, order)
    sides = _sides(fields.dim)
    is_packed = head[:2] == b"\x1f\x8b"
    block = Block(
        start=0,
        packing="gzip" if is_packed else "",
        skip=_skip(fields.vox_offset, least=352 if version == 1 else 544),
        dtype=_dtype(fields, order),
        shape=(*reversed(sides), 3) if fields.datatype == _RGB else tuple(reversed(sides)),
        axes="tzyxc" if fields.datatype == _RGB else "tzyx",
    )
    check_block(block, size)
    affine, notes = _affine(fields, sides)
    if affine is not None:
        place = place_of(affine, sides[2])
        block = replace(block, affine_lps=place.affine_lps, reverse=place.reverse)
    else:
        block = replace(block, spacing_mm=_steps(fields))
    return {
        "block": block,
        "top": _scaling(fields),
        "notes": notes,
        "pixel_bytes": block.n_bytes if is_packed else size - block.skip,
    }


def _plain(head: bytes) -> bytes:
    return unpacked_head(head, 544) if head[:2] == b"\x1f\x8b" else head[:544]


def _kind(raw: bytes) -> tuple[int, str, bool] | None:
    """Return the version, the byte order, and whether the voxels are in another file."""
    for order in "<>":
        if len(raw) >= 348 and struct.unpack_from(f"{order}i", raw)[0] == 348 and raw[344:348] in {b"n+1\0", b"ni1\0"}:
            return 1, order, raw[344:348] == b"ni1\0"
        is_second = len(raw) >= 540 and struct.unpack_from(f"{order}i", raw)[0] == 540
        if is_second and raw[4:12] in {b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"}:
            return 2, order, raw[4:7] == b"ni2"
    return None


def _first(raw: bytes, order: str) -> _Raw:
    def take(form: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(order + form, raw, at)

    (datatype, bitpix), (qform, sform) = take("2h", 70), take("2h", 252)
    (vox_offset, slope, intercept), numbers = take("3f", 108), take("18f", 256)
    return _Raw(
        dim=take("8h", 40),
        datatype=datatype,
        bitpix=bitpix,
        pixdim=take("8f", 76),
        vox_offset=vox_offset,
        slope=slope,
        intercept=intercept,
        units=raw[123],
        qform_code=qform,
        sform_code=sform,
        quaternion=numbers[:3],
        offset=numbers[3:6],
        rows=numbers[6:],
    )


def _second(raw: bytes, order: str) -> _Raw:
    def take(form: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(order + form, raw, at)

    (datatype, bitpix), (qform, sform) = take("2h", 12), take("2i", 344)
    (vox_offset,), (slope, intercept), numbers = take("q", 168), take("2d", 176), take("18d", 352)
    return _Raw(
        dim=take("8q", 16),
        datatype=datatype,
        bitpix=bitpix,
        pixdim=take("8d", 104),
        vox_offset=vox_offset,
        slope=slope,
        intercept=intercept,
        units=take("i", 500)[0] & 0xFF,
        qform_code=qform,
        sform_code=sform,
        quaternion=numbers[:3],
        offset=numbers[3:6],
        rows=numbers[6:],
    )


def _sides(dim: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the voxels along (x, y, z, t)."""
    n_axes = dim[0]
    if not 1 <= n_axes <= 7:
        raise Rejected("E_DIMENSIONS")
    sides = [*dim[1 : n_axes + 1], *(1,) * (7 - n_axes)]
    # axes 5 to 7 hold vectors, tensors and the like: no image of one number a voxel
    if min(sides) < 1 or max(sides[4:]) > 1:
        raise Rejected("E_DIMENSIONS")
    x, y, z, t = sides[:4]
    return x, y, z, t


def _skip(vox_offset: float, *, least: int) -> int:
    if not math.isfinite(vox_offset) or vox_offset < least or vox_offset != int(vox_offset):
        raise Rejected("E_LENGTH")
    return int(vox_offset)


def _dtype(fields: _Raw, order: str) -> str:
    name = _TYPES.get(fields.datatype)
    if name is None:
        raise Rejected("E_FORMAT")
    samples = 3 if fields.datatype == _RGB else 1
    if fields.bitpix != 8 * samples * int(name[1]):
        raise Rejected("E_HEADER")
    return np.dtype(order + name).str


def _scaling(fields: _Raw) -> Plane:
    # a slope of 0 means that values are as stored; so, by custom, does one that is no number
    if fields.datatype == _RGB or fields.slope == 0 or not math.isfinite(fields.slope):
        return Plane()
    if not math.isfinite(fields.intercept):
        raise Rejected("E_RESCALE")
    return Plane(slope=float(fields.slope), intercept=float(fields.intercept))


def _affine(fields: _Raw, sides: tuple[int, ...]) -> tuple[Vector | None, tuple[str, ...]]:
    """Return the affine in LPS mm, or None where the file gives no place, and what to say of it.

    The sform counts where it has a code, then the qform (methods 3 and 2 of nifti1.h). Method 1,
    steps without an orientation, is no place.
    """
    scale = _UNITS_MM.get(fields.units & 0x07)
    notes = () if scale is not None else ("W_UNITS",)
    by_rows = np.vstack([np.reshape(fields.rows, (3, 4)), (0, 0, 0, 1)]) if fields.sform_code > 0 else None
    by_quaternion = _from_quaternion(fields) if fields.qform_code > 0 else None
    if by_rows is None and by_quaternion is None:
        return None, ("W_UNPLACED", *notes)
    found = by_quaternion if by_rows is None else by_rows
    assert found is not None
    if by_rows is not None and by_quaternion is not None and _differ(by_rows, by_quaternion, sides):
        notes = ("W_AFFINES", *notes)
    return to_lps(found, signs=_RAS, scale=scale or 1.0), notes


def _from_quaternion(fields: _Raw) -> Vector:
    b, c, d = fields.quaternion
    steps = np.array(fields.pixdim[1:4], dtype=np.float64)
    if not all(map(math.isfinite, (b, c, d, *steps, *fields.offset))):
        raise Rejected("E_NONFINITE")
    if steps.min() <= 0:
        raise Rejected("E_SPACING")
    rest = 1.0 - (b * b + c * c + d * d)
    a = math.sqrt(rest) if rest > 0 else 0.0
    norm = math.sqrt(a * a + b * b + c * c + d * d)
    if abs(norm - 1) > 1e-3:
        raise Rejected("E_ORIENTATION")
    a, b, c, d = a / norm, b / norm, c / norm, d / norm
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    # pixdim[0] is the handedness; by the standard 0 is taken as 1
    steps[2] *= -1.0 if fields.pixdim[0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = turn * steps
    affine[:3, 3] = fields.offset
    return affine


def _differ(one: Vector, other: Vector, sides: tuple[int, ...]) -> bool:
    last = [side - 1 for side in sides[:3]]
    corners = np.array(
        [[i, j, k, 1] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])], dtype=np.float64
    )
    with np.errstate(over="ignore", invalid="ignore"):  # such numbers are refused later
        away = np.linalg.norm((one - other)[:3] @ corners.T, axis=0).max()
        return not away <= _APART * np.linalg.norm(one[:3, :3], axis=0).min()


def _steps(fields: _Raw) -> tuple[float, ...]:
    """Return the spacing (z, y, x) in mm, or nothing where it is none."""
    steps = [step * _UNITS_MM.get(fields.units & 0x07, 1.0) for step in fields.pixdim[3:0:-1]]
    return tuple(steps) if all(math.isfinite(step) and step > 0 for step in steps) else ()
