"""What may be given to CuPy, and how it comes to NumPy and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ._memory import transferred

CHARACTERS = frozenset("?bhilqBHILQefdFD")


def dtype_of(dtype: Any) -> np.dtype[Any]:
    """Return a dtype that CuPy has."""
    made = np.dtype(dtype)
    if made.char not in CHARACTERS or not made.isnative:
        raise ValueError(f"Unsupported dtype {made}")
    return made


def is_scalar(value: Any) -> bool:
    """Tell whether a value is one that CuPy's kernels take beside arrays."""
    if type(value) in {bool, int, float, complex}:
        return True
    return isinstance(value, np.generic) and value.dtype.char in CHARACTERS


def is_array(value: Any) -> bool:
    from ._array import ndarray

    return isinstance(value, ndarray)


def host_of(value: Any) -> Any:
    """Return what NumPy is given for an argument: lists and tuples with what is in them."""
    if is_array(value):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    if isinstance(value, list | tuple):
        made = [host_of(one) for one in value]
        return made if isinstance(value, list) else tuple(made)
    return value


def device_of(made: Any, *sources: Any) -> Any:
    """Return what CuPy gives for a result of NumPy; what shares memory with a source shares its block."""
    from ._array import ndarray

    if isinstance(made, list | tuple):
        parts = [device_of(one, *sources) for one in made]
        # named tuples of NumPy take their parts one by one
        return parts if isinstance(made, list) else type(made)(*parts) if hasattr(made, "_fields") else tuple(parts)
    if not isinstance(made, np.ndarray | np.generic | bool):
        return made
    host = np.asarray(made)
    dtype_of(host.dtype)
    for source in sources:
        if is_array(source) and host.size and np.may_share_memory(host, source._host):
            return ndarray._of(host, source._block)
    return ndarray._of(host)


def arrays_in(value: Any) -> Iterator[Any]:
    """Yield the arrays of the device among arguments."""
    if is_array(value):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from arrays_in(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from arrays_in(one)


def brought(value: Any, dtype: Any = None) -> Any:
    """Return an array of the device: as it is, or from the host, which is counted."""
    if is_array(value):
        return value if dtype is None else value.astype(dtype, copy=False)
    if isinstance(value, list | tuple) and any(True for _ in arrays_in(value)):
        host = np.array(_pulled(value), dtype=dtype)
    else:
        host = np.array(value, dtype=dtype, order="C")
        transferred("to_device", host.nbytes, host.shape, host.dtype.str)
    dtype_of(host.dtype)
    return device_of(host)


def _pulled(value: Any) -> Any:
    # a list of arrays is put together on the device
    if is_array(value):
        return value._host
    if isinstance(value, list | tuple):
        return [_pulled(one) for one in value]
    if isinstance(value, np.ndarray):
        transferred("to_device", value.nbytes, value.shape, value.dtype.str)
    return value


def cast(host: Any, dtype: np.dtype[Any]) -> Any:
    """Return values in another dtype, numbers that an integer cannot hold as the device makes them."""
    host = np.asarray(host)
    if host.dtype == dtype:
        return host
    if host.dtype.kind == "f" and dtype.kind in "iu":
        return _truncated(host, dtype)
    with quiet():
        return host.astype(dtype)


def _truncated(host: Any, dtype: np.dtype[Any]) -> Any:
    """Saturate as the instruction of the device does; NaN is 0, or the lowest of 64 bits where either side has them."""
    ends, wide = np.iinfo(dtype), host.dtype.itemsize == 8 or dtype.itemsize == 8
    missing = np.isnan(host)
    with quiet():
        low, high = host <= float(ends.min), host >= float(ends.max)
        made = np.where(missing | low | high, 0, host).astype(dtype)
    made[low], made[high] = ends.min, ends.max
    if dtype.itemsize >= 4:
        lowest = ends.min if dtype.kind == "i" else (ends.max >> 1) + 1
        made[missing] = lowest if wide else 0
    return made


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Say nothing of divisions by zero and the like: a device does not either."""
    with np.errstate(all="ignore"):
        yield
