"""Stored pixels to modality values in one pass: clear what is no stored bit, rescale, round once."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

_MOST_INT32: Final = float((1 << 31) - 1)
_LANES: Final = 8
_STREAMED_FROM: Final = 1 << 17
"""Pixels of a plane that goes past the caches: a smaller one may still be in them for who comes next."""


def _streaming(typing_context: Any, stored: Any, place: Any, bits: Any, scale: Any, out: Any) -> Any:  # noqa: ARG001, PLR0917  # numba passes them
    def made(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pixels, values = (
            context.make_array(signature.args[number])(context, builder, arguments[number]).data for number in (0, 4)
        )
        up, down, mask = (_spread(builder, builder.extract_value(arguments[2], part)) for part in range(3))
        slope, intercept = (_spread(builder, builder.extract_value(arguments[3], part)) for part in range(2))
        found = _load(builder, builder.gep(pixels, [arguments[1]]), stored.dtype)
        number = builder.and_(builder.ashr(builder.shl(found, up), down), mask)
        if isinstance(scale.dtype, types.Integer):
            value = builder.sitofp(builder.add(builder.mul(number, slope), intercept), _vector(ir.FloatType()))
        else:
            wide = builder.sitofp(number, _vector(ir.DoubleType()))
            value = builder.fptrunc(builder.fadd(builder.fmul(wide, slope), intercept), _vector(ir.FloatType()))
        target = builder.bitcast(builder.gep(values, [arguments[1]]), value.type.as_pointer())
        one = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        builder.store(value, target, align=4 * _LANES).set_metadata("nontemporal", one)
        return context.get_dummy_value()

    return types.none(stored, place, bits, scale, out), made


def _vector(kind: Any) -> Any:
    return ir.VectorType(kind, _LANES)


def _load(builder: Any, place: Any, kind: Any) -> Any:
    narrow = _vector(ir.IntType(kind.bitwidth))
    found = builder.load(builder.bitcast(place, narrow.as_pointer()), align=1)
    return (builder.sext if kind.signed else builder.zext)(found, _vector(ir.IntType(32)))


def _spread(builder: Any, number: Any) -> Any:
    kind = _vector(number.type)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(_vector(ir.IntType(32)), [0] * _LANES)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), lanes)


_stream: Any = intrinsic(_streaming)
"""Rescales eight pixels and writes them to an aligned place without fetching what was there.

A plane is written once and is larger than the caches near it: fetching its old values costs as much as writing.
"""


def rescale(
    stored: NDArray[Any],
    /,
    *,
    bits_stored: int,
    high_bit: int,
    slope: float,
    intercept: float,
    out: NDArray[np.float32],
) -> None:
    """Write stored x slope + intercept, in float64 and rounded to float32 once.

    Parameters
    ----------
    stored : NumPy array of int8, uint8, int16 or uint16
        Pixels as they lie in a file; signed types for signed pixels.
    bits_stored, high_bit : int
        The stored bits are ``high_bit`` down to ``high_bit + 1 - bits_stored`` (DICOM PS3.5 8.1.1),
        at least one and within the type; what lies around them is dropped, and the sign is extended.
    slope, intercept : float
    out : NumPy array of float32, C-contiguous
        As many values as `stored`.
    """
    signed = stored.dtype.kind == "i"
    # frames of a file with times fastest lie apart, and the loops go from one pixel to the next in memory
    plain = np.ascontiguousarray(stored).reshape(-1)
    _rescale(plain, (bits_stored, high_bit, signed), float(slope), float(intercept), out.reshape(-1))


@njit(cache=True, nogil=True)
def _rescale(
    stored: NDArray[Any], kind: tuple[int, int, bool], slope: float, intercept: float, out: NDArray[np.float32]
) -> None:
    bits_stored, high_bit, signed = kind
    values = 1 << bits_stored
    # up and down again with the sign, which is masked where it is none
    bits = np.int32(31 - high_bit), np.int32(32 - bits_stored), np.int32(-1 if signed else values - 1)
    # where int32 holds all that can come out, it is what float64 would hold, but for a zero that is negative
    is_small = values * abs(slope) + abs(intercept) <= _MOST_INT32
    is_whole = slope == np.floor(slope) and intercept == np.floor(intercept)
    if is_small and is_whole and (intercept != 0.0 or math.copysign(1.0, intercept) > 0.0):
        _fill(stored, bits, (np.int32(slope), np.int32(intercept)), out)
    else:
        _fill(stored, bits, (slope, intercept), out)


@njit(cache=True, nogil=True)
def _fill(stored: NDArray[Any], bits: tuple[Any, Any, Any], scale: tuple[Any, Any], out: NDArray[np.float32]) -> None:
    first = last = 0
    if stored.size >= _STREAMED_FROM:
        first = (-out.ctypes.data & (4 * _LANES - 1)) >> 2
        last = first + (stored.size - first) // _LANES * _LANES
        for place in range(first, last, _LANES):
            _stream(stored, place, bits, scale, out)
    _one_by_one(stored[:first], bits, scale, out[:first])
    _one_by_one(stored[last:], bits, scale, out[last:])


@njit(cache=True, nogil=True)
def _one_by_one(
    stored: NDArray[Any], bits: tuple[Any, Any, Any], scale: tuple[Any, Any], out: NDArray[np.float32]
) -> None:
    # without the bound on it, a shift is compared with the width of its type
    up, down, mask = bits[0] & np.int32(31), bits[1] & np.int32(31), bits[2]
    slope, intercept = scale
    kind = type(slope)
    for place in range(stored.size):
        number = np.int32(np.int32(np.int32(stored[place]) << up) >> down) & mask
        out[place] = np.float32(kind(kind(kind(number) * slope) + intercept))
