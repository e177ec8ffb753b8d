"""Places of an array: what CuPy takes as an index, and what it leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._facts import Undefined
from ._memory import summed_in_any_order
from ._values import brought, cast, device_of, is_array, is_scalar


def taken(array: Any, slices: Any) -> Any:
    places, is_advanced = _prepared(slices)
    try:
        host = array._host[places]
    except IndexError as error:
        raise _outside(error, is_advanced) from None
    if is_advanced:
        return device_of(np.array(host, order="C"))
    # a number alone is an array without axes, and a view
    return array._view(host if isinstance(host, np.ndarray) else array._host[(*_tuple(places), ...)])


def put(array: Any, slices: Any, value: Any) -> None:
    places, is_advanced = _prepared(slices)
    if not is_advanced:
        view = taken(array, slices)
        if not is_array(value):
            view.fill(value)
            return
        shape = value.shape
        while len(shape) > view.ndim and shape[0] == 1:
            shape = shape[1:]
        view._host[...] = cast(value._host.reshape(shape), array.dtype)
        return
    given = cast((value if is_array(value) else brought(value, array.dtype))._host, array.dtype)
    try:
        array._host[places] = given
    except IndexError as error:
        raise _outside(error, is_advanced) from None
    kept = array._host[places]
    if not np.array_equal(kept, np.broadcast_to(given, kept.shape), equal_nan=array.dtype.kind in "fc"):
        raise Undefined("different values were put in one place: which of them stays is open on a device")


def scattered(array: Any, slices: Any, value: Any, how: str) -> None:
    """Add, or keep the larger or smaller; sums are made in any order, as atomic additions are."""
    places, _ = _prepared(slices)
    kinds = {"add": "fiIQ", "maximum": "fiIQ", "minimum": "fiIQ"}[how] + "dlL" + "e" * (how == "add")
    if array.dtype.char not in kinds or (array.dtype.kind == "i" and array.dtype.itemsize == 8):
        raise TypeError(f"scatter_{how} does not support {array.dtype}")
    if how == "add" and array.dtype.kind == "f":
        summed_in_any_order()
    given = value._host if is_array(value) else np.asarray(value)
    numbers = np.arange(array.size).reshape(array.shape)[places]
    order = np.random.default_rng().permutation(numbers.size)
    flat = np.ascontiguousarray(array._host).reshape(-1)
    made = cast(np.broadcast_to(given, numbers.shape).reshape(-1), array.dtype)
    getattr(np, how).at(flat, numbers.reshape(-1)[order], made[order])
    array._host[...] = flat.reshape(array.shape)


def _tuple(places: Any) -> tuple[Any, ...]:
    return places if isinstance(places, tuple) else (places,)


def _prepared(slices: Any) -> tuple[tuple[Any, ...], bool]:
    """Return an index for NumPy, and whether an array is in it; lists and arrays of the host are brought."""
    made, is_advanced = [], False
    for one in _tuple(slices):
        if one is None or one is Ellipsis or isinstance(one, slice):
            made.append(one)
            continue
        if is_scalar(one) and not isinstance(one, bool | np.bool_):
            if isinstance(one, float | complex | np.inexact):
                raise IndexError(f"{one!r} is no index")
            made.append(int(one))
            continue
        is_advanced = True
        is_empty = isinstance(one, list | tuple) and not len(one)
        place = brought(np.zeros(0, np.int32) if is_empty else one)
        if place.dtype.kind not in "biu":
            raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: {place.dtype.type})")
        made.append(place._host)
    return tuple(made), is_advanced


def _outside(error: IndexError, is_advanced: bool) -> Exception:
    if is_advanced and "out of bounds" in str(error):
        return Undefined(f"a device wraps such places around: {error}")
    return error
