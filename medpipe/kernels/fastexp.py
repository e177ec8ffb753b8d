"""exp of what is not positive, in float32, without a branch, so that loops over it become vector code."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

LOG2_E = np.float32(1.4426950408889634)
LEAST = np.float32(-126.0)


def _bits_of(typing_context: Any, bits: Any) -> Any:  # noqa: ARG001  # numba passes it

    def made(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), made


_as_float: Any = intrinsic(_bits_of)
"""Takes the bits of an int32 for those of a float32."""


@njit(cache=True, nogil=True, inline="always")
def exp_of_negative(x: np.float32) -> np.float32:
    """Return exp(x) for x <= 0 within 3e-7 of its value; below -87 it is about 1e-38.

    2^f on [0, 1) by a polynomial of degree 6 (Chebyshev fit), times 2^n by its bits.
    """
    power = max(x * LOG2_E, LEAST)
    whole = np.floor(power)
    rest = power - whole
    value = np.float32(2.1702255e-4)
    value = value * rest + np.float32(1.2439688e-3)
    value = value * rest + np.float32(9.6788410e-3)
    value = value * rest + np.float32(5.5483342e-2)
    value = value * rest + np.float32(2.4022984e-1)
    value = value * rest + np.float32(6.9314698e-1)
    value = value * rest + np.float32(1.0)
    power_of_two: np.float32 = _as_float((np.int32(whole) + np.int32(127)) << np.int32(23))
    result: np.float32 = value * power_of_two
    return result
