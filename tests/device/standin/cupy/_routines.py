"""Functions that CuPy does otherwise than NumPy, or with fewer of its arguments."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ._array import ndarray
from ._facts import Undefined, bound
from ._memory import summed_in_any_order
from ._values import brought, cast, device_of, dtype_of, host_of, is_array, is_scalar, quiet


def checked(function: Any) -> Any:
    """Let a function take only what CuPy's of that name takes."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        bound("cupy", function.__name__, args, kwargs)
        return function(*args, **kwargs)

    return called


def demand(name: str, *arrays: Any) -> None:
    for one in arrays:
        if not is_array(one):
            raise TypeError(f"cupy.{name} takes arrays of the device, not {type(one)}")


@checked
def array(
    obj: Any,
    dtype: Any = None,
    copy: Any = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> Any:
    if is_array(obj):
        kind = obj.dtype if dtype is None else dtype_of(dtype)
        made = obj if not copy and kind == obj.dtype else obj.astype(kind, order="K" if order is None else order)
    else:
        made = brought(obj, None if dtype is None else dtype_of(dtype))
    return made if made.ndim >= ndmin else made.reshape((1,) * (ndmin - made.ndim) + made.shape)


@checked
def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> Any:
    return array(a, dtype, bool(copy), "K" if order is None else order)


@checked
def asanyarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> Any:
    return asarray(a, dtype, order)


@checked
def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    demand("ascontiguousarray", a)
    host = cast(a._host, a.dtype if dtype is None else dtype_of(dtype))
    return (
        a if host is a._host and host.flags.c_contiguous and a.ndim else device_of(np.array(host, order="C", ndmin=1))
    )


@checked
def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    return a.get(order=order, out=out) if is_array(a) else np.asarray(a)


@checked
def empty(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return ndarray(shape, dtype, order=order)


@checked
def empty_like(prototype: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> Any:
    demand("empty_like", prototype)
    return ndarray(prototype.shape if shape is None else shape, prototype.dtype if dtype is None else dtype)


@checked
def clip(a: Any, a_min: Any, a_max: Any, out: Any = None) -> Any:
    demand("clip", a)
    if a_min is None and a_max is None:
        raise ValueError("array_clip: must set either max or min")
    ends = [one for one in (a_min, a_max) if one is not None]
    if any(not is_array(one) and not is_scalar(one) for one in ends):
        raise TypeError(f"Unsupported type {[type(one) for one in ends]}")
    with quiet():
        made = np.clip(a._host, host_of(a_min), host_of(a_max))
    if out is None:
        return device_of(np.array(made, order="C"))
    if not np.can_cast(made.dtype, out.dtype, "same_kind"):
        raise TypeError(f"cannot write {made.dtype} to {out.dtype}")
    out._host[...] = made
    return out


@checked
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    demand("where", condition)
    if x is None and y is None:
        return device_of(np.nonzero(condition._host))
    if x is None or y is None:
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    for one in (x, y):
        if not is_array(one) and not is_scalar(one):
            raise TypeError(f"Unsupported type {type(one)}")
    return device_of(np.where(condition._host.astype(bool), host_of(x), host_of(y)))


@checked
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    demand("copyto", dst)
    if isinstance(src, np.ndarray):
        if src.size != 1:
            raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
        src = src.reshape(())[()]
    np.copyto(dst._host, host_of(src), casting=casting, **({} if where is None else {"where": host_of(where)}))  # type: ignore[arg-type]


@checked
def take(a: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
    demand("take", a)
    places = indices if is_scalar(indices) else brought(indices, None if is_array(indices) else int)._host
    try:
        made = np.take(a._host, places, axis=axis)
    except IndexError as error:
        raise Undefined(f"a device wraps such places around: {error}") from None
    if out is None:
        return device_of(np.array(made, order="C"))
    if out.dtype != a.dtype:
        raise TypeError("Output dtype mismatch")
    out._host[...] = made
    return out


@checked
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    if not is_array(a) or not (is_array(v) or isinstance(v, int | float | complex)):
        raise NotImplementedError(f"Only arrays and Python's numbers are supported, not {type(a)}, {type(v)}")
    return device_of(np.searchsorted(a._host, host_of(v), side, host_of(sorter)))


@checked
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    demand("interp", x, xp, fp)
    if not x._host.flags.c_contiguous:
        raise NotImplementedError("Non-C-contiguous x is currently not supported")
    return device_of(np.interp(x._host, xp._host, fp._host, left, right, period))


@checked
def bincount(x: Any, weights: Any = None, minlength: Any = None) -> Any:
    demand("bincount", x, *(() if weights is None else (weights,)))
    if x.ndim != 1 or x.dtype.kind == "f":
        raise (ValueError if x.ndim != 1 else TypeError)("x must be an array of int with one axis")
    if weights is None:
        return device_of(np.bincount(x._host, minlength=minlength or 0))
    # atomic additions come in any order
    summed_in_any_order()
    order = np.random.default_rng().permutation(x.size)
    return device_of(np.bincount(x._host[order], weights._host[order], minlength=minlength or 0))


@checked
def histogram(x: Any, bins: Any = 10, range: Any = None, density: bool = False, weights: Any = None) -> Any:  # noqa: A002  # the name is CuPy's
    demand("histogram", x)
    if isinstance(bins, str):
        raise NotImplementedError("only integer and array bins are implemented")
    edges = bins._host if is_array(bins) else brought(bins)._host if np.ndim(bins) else bins
    if isinstance(edges, int) and x._host.size:
        # edges of one width that do not rise are no error of CuPy's
        ends = (x._host.min(), x._host.max()) if range is None else range
        even = np.linspace(*ends, edges + 1, dtype=np.result_type(*ends, x.dtype))
        edges = edges if (even[1:] > even[:-1]).all() or ends[0] == ends[1] else even
    counts, edges = np.histogram(x._host, edges, range, density=density, weights=host_of(weights))
    last = edges[-1]
    if weights is None and not density and np.nextafter(last, last + 1) == last:
        # the end of the last bin is moved on by the next number towards one more, which is none here
        counts[-1] -= np.count_nonzero(x._host == last)
    return device_of((counts, edges))


@checked
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    demand("median", a)
    if a._host.dtype.kind == "f" and np.isnan(a._host).any():
        raise Undefined("CuPy's median takes NaN for the largest value, NumPy's is NaN then")
    made = np.median(a._host, axis=axis, keepdims=keepdims)
    _spoil(a, overwrite_input)
    return device_of(made)


@checked
def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    interpolation: Any = None,
) -> Any:
    q = q / 100 if is_array(q) or is_scalar(q) else np.asarray(q) / 100
    return _quantile("percentile", a, q, (axis, keepdims), method, overwrite_input)


@checked
def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    interpolation: Any = None,
) -> Any:
    return _quantile("quantile", a, q, (axis, keepdims), method, overwrite_input)


def _quantile(name: str, a: Any, q: Any, along: tuple[Any, bool], method: str, overwrite_input: bool) -> Any:
    demand(name, a)
    if method not in {"linear", "lower", "higher", "midpoint", "nearest"}:
        raise ValueError(f"{method!r} method is not yet supported. Please use any other method.")
    if a._host.dtype.kind == "f" and np.isnan(a._host).any():
        raise Undefined(f"CuPy's {name} takes NaN for the largest value, NumPy's is NaN then")
    shares = brought(q)._host
    if not shares.size or not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError("Percentiles must be in the range [0, 100]")
    kind = np.result_type(a.dtype, shares.dtype) if not is_scalar(q) else np.result_type(a.dtype, q)
    wide = a._host.astype(np.float64 if kind.kind != "c" else kind)
    made = np.quantile(wide, shares, axis=along[0], keepdims=along[1], method=method)
    _spoil(a, overwrite_input)
    return device_of(np.asarray(made).astype(kind))


def _spoil(a: Any, overwrite_input: bool) -> None:
    """Leave an input that may be overwritten in another order than it was given."""
    if overwrite_input and a.size > 1:
        a._host[...] = np.sort(a._host.reshape(-1)).reshape(a.shape)


@checked
def ix_(*args: Any) -> Any:
    return device_of(np.ix_(*(brought(one)._host for one in args)))


@checked
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    demand("pad", array)
    if mode == "median" or callable(mode):
        raise ValueError(f"mode '{mode}' is not supported")
    if mode == "constant" and not set(kwargs) <= {"constant_values"}:
        raise ValueError(f"unsupported keyword arguments for mode 'constant': {set(kwargs)}")
    return device_of(np.pad(array._host, pad_width, mode, **kwargs))


@checked
def count_nonzero(a: Any, axis: Any = None) -> Any:
    demand("count_nonzero", a)
    return device_of(np.asarray(np.count_nonzero(a._host, axis=axis), np.int64))


@checked
def sort(a: Any, axis: Any = -1, kind: Any = None) -> Any:
    demand("sort", a)
    made = a.flatten() if axis is None else a.copy()
    made.sort(axis=-1 if axis is None else axis, kind=kind)
    return made


@checked
def argsort(a: Any, axis: Any = -1, kind: Any = None) -> Any:
    demand("argsort", a)
    if kind not in {None, "stable"}:
        raise ValueError(f"kind can only be None or 'stable', not {kind!r}")
    return device_of(np.argsort(a._host, axis=axis, kind="stable"))


@checked
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    demand("array_equal", a1, a2)
    return device_of(np.asarray(np.array_equal(a1._host, a2._host, equal_nan=equal_nan)))


OWN = (
    array, asarray, asanyarray, ascontiguousarray, asnumpy, empty, empty_like, clip, where, copyto, take, searchsorted,
    interp, bincount, histogram, median, percentile, quantile, ix_, pad, count_nonzero, sort, argsort, array_equal,
)  # fmt: skip
