"""The functions of CuPy's top level, by NumPy's of the same name."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _routines
from ._array import ndarray
from ._facts import bound, names
from ._ufuncs import named, ufunc

# of NumPy's, and CuPy's only by name
_AS_THEY_ARE = (
    "bool", "bool_", "byte", "can_cast", "cdouble", "complex128", "complex64", "complexfloating", "csingle", "double",
    "dtype", "e", "euler_gamma", "finfo", "float16", "float32", "float64", "floating", "generic", "half", "iinfo",
    "inexact", "inf", "int16", "int32", "int64", "int8", "int_", "intc", "integer", "intp", "isdtype", "isscalar",
    "issubdtype", "long", "longlong", "nan", "ndindex", "newaxis", "number", "pi", "promote_types", "short",
    "signedinteger", "single", "ubyte", "uint", "uint16", "uint32", "uint64", "uint8", "uintc", "uintp", "ulong",
    "ulonglong", "unsignedinteger", "ushort", "broadcast_shapes",
)  # fmt: skip
# their first argument is an array of the device, or several
_ON_ARRAYS = (
    "all", "allclose", "amax", "amin", "angle", "any", "append", "argmax", "argmin", "argpartition", "argwhere",
    "around", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "average", "broadcast_arrays", "broadcast_to",
    "choose", "column_stack", "compress", "concatenate", "conj", "convolve", "copy", "corrcoef", "correlate", "cov",
    "cross", "cumprod", "cumsum", "diag", "diagflat", "diagonal", "diff", "digitize", "dot", "dstack", "ediff1d",
    "einsum", "expand_dims", "extract", "fix", "flatnonzero", "flip", "fliplr", "flipud", "gradient", "hstack", "imag",
    "inner", "isclose", "isin", "kron", "lexsort", "matmul", "max", "mean", "meshgrid", "min", "moveaxis", "nan_to_num",
    "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum",
    "nanvar", "nonzero", "ones_like", "outer", "partition", "prod", "ptp", "ravel", "ravel_multi_index", "real",
    "repeat", "reshape", "roll", "rollaxis", "rot90", "round", "split", "squeeze", "stack", "std", "sum", "swapaxes",
    "take_along_axis", "tensordot", "tile", "trace", "transpose", "trapezoid", "trim_zeros", "tril", "triu", "union1d",
    "unique", "unravel_index", "unwrap", "var", "vdot", "vstack", "zeros_like", "full_like", "shares_memory",
    "may_share_memory", "common_type", "sinc", "i0", "packbits", "unpackbits", "setdiff1d", "intersect1d", "polyval",
)  # fmt: skip
_FROM_NUMBERS = ("arange", "eye", "full", "identity", "indices", "linspace", "logspace", "ones", "tri", "zeros")
_TOLD = ("size", "ndim", "shape", "result_type")


def _on_arrays(name: str, function: Any) -> Any:
    made = named("cupy", name, function)

    def called(*args: Any, **kwargs: Any) -> Any:
        given = bound("cupy", name, args, kwargs)
        first = next(iter(given.values()))
        several = first if isinstance(first, list | tuple) and name != "choose" else (first,)
        if name not in {"einsum", "shares_memory"}:
            _routines.demand(name, *several)
        if name in {"all", "any"} and kwargs.get("out") is not None:
            raise NotImplementedError("out")
        return made(*args, **kwargs)

    called.__name__ = name
    return called


def _told(name: str, function: Any) -> Any:
    def called(*args: Any, **kwargs: Any) -> Any:
        bound("cupy", name, args, kwargs)
        return function(*(one._host if isinstance(one, ndarray) else one for one in args), **kwargs)

    return called


def namespace() -> dict[str, Any]:
    """Return all functions, ufuncs and types of the top level."""
    space: dict[str, Any] = {}
    for name in _AS_THEY_ARE:
        space[name] = getattr(np, name)
    for name, told in names("cupy").items():
        if told.startswith("@") and hasattr(np, name):
            space[name] = ufunc(name, getattr(np, name))
    for name in _ON_ARRAYS:
        if name not in space:
            space[name] = _on_arrays(name, getattr(np, name))
    for name in _FROM_NUMBERS:
        space[name] = named("cupy", name, getattr(np, name))
    for name in _TOLD:
        space[name] = _told(name, getattr(np, name))
    for function in _routines.OWN:
        space[function.__name__] = function
    return space
