"""The array of the stand-in: an array of NumPy that no code of the host can reach unawares."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _indexing
from ._facts import bound, has, missing
from ._memory import Block, transferred
from ._values import cast, device_of, dtype_of, is_array, is_scalar

_COMPARISONS = ("less", "less_equal", "equal", "not_equal", "greater", "greater_equal")
_BY_NAME = ("all", "any", "argmax", "argmin", "argsort", "argpartition", "clip", "cumprod", "cumsum", "diagonal", "dot",
            "max", "mean", "min", "nonzero", "prod", "ptp", "ravel", "repeat", "squeeze", "std", "sum", "swapaxes",
            "take", "trace", "var", "choose", "compress", "conj", "put", "round", "searchsorted")  # fmt: skip


class Flags:
    """What CuPy tells of an array's layout: not whether it may be written to."""

    def __init__(self, host: Any) -> None:
        self.c_contiguous = host.c_contiguous
        self.f_contiguous = host.f_contiguous
        self.forc, self.fnc, self.owndata = host.forc, host.fnc, host.owndata

    def __getitem__(self, name: str) -> bool:
        return bool(getattr(self, name.lower()))


class ndarray:
    """As ``cupy.ndarray``."""

    __slots__ = ("__weakref__", "_block", "_host")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> None:
        if memptr is not None or strides is not None:
            raise missing("cupy", "ndarray(memptr, strides)")
        kind = dtype_of(float if dtype is None else dtype)
        size = int(np.prod(shape, dtype=np.int64))
        self._block = Block(size * kind.itemsize)
        self._host = np.empty(shape, kind, order=order)
        # what nobody wrote is no zero
        self._host.fill(np.nan if kind.kind in "fc" else np.iinfo(kind).max // 3 if kind.kind in "iu" else True)

    @classmethod
    def _of(cls, host: Any, block: Block | None = None) -> Any:
        """Return an array over one of NumPy, in a block of its own if none is given."""
        made = cls.__new__(cls)
        made._block = Block(host.nbytes) if block is None else block
        made._host = host
        return made

    def _view(self, host: Any) -> Any:
        return type(self)._of(host, self._block)

    # what it is --------------------------------------------------------------------------------

    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host.flags))
    T = property(lambda self: self._view(self._host.T))
    mT = property(lambda self: self._view(self._host.mT))

    @property
    def device(self) -> Any:
        from cupy import cuda

        return cuda.Device(0)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        self._host.shape = shape

    @property
    def real(self) -> Any:
        return self._view(self._host.real) if self.dtype.kind == "c" else self

    @property
    def imag(self) -> Any:
        return self._view(self._host.imag) if self.dtype.kind == "c" else device_of(np.zeros_like(self._host))

    def __getattr__(self, name: str) -> Any:
        raise missing("cupy.ndarray", name)

    # to the host -------------------------------------------------------------------------------

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        transferred("to_host", self.nbytes, self.shape, self.dtype.str)
        if out is None:
            return np.array(
                self._host, order="F" if order == "A" and self._host.flags.f_contiguous else order.replace("A", "C")
            )
        if not isinstance(out, np.ndarray) or out.dtype != self.dtype:
            raise TypeError(f"{type(out)} cannot be obtained from {self.dtype} array")
        if out.shape != self.shape:
            raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual shape: {out.shape}")
        out[...] = self._host
        return out

    def set(self, arr: Any, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray) or arr.dtype != self.dtype:
            raise TypeError(f"{type(arr)} cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self._host.flags.c_contiguous or self._host.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        transferred("to_device", arr.nbytes, arr.shape, arr.dtype.str)
        self._host[...] = arr

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    def __array__(self, dtype: Any = None, *, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
        )

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __bool__(self) -> bool:
        if self.size > 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        return bool(self.get()) if self.size else False

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, how: str) -> str:
        return format(self.get(), how)

    def __reduce__(self) -> Any:
        import cupy

        return cupy.array, (self.get(),)

    # in and out --------------------------------------------------------------------------------

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return len(self._host)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[place] for place in range(len(self)))

    def __getitem__(self, slices: Any) -> Any:
        return _indexing.taken(self, slices)

    def __setitem__(self, slices: Any, value: Any) -> None:
        _indexing.put(self, slices, value)

    def scatter_add(self, slices: Any, value: Any) -> None:
        _indexing.scattered(self, slices, value, "add")

    def scatter_max(self, slices: Any, value: Any) -> None:
        _indexing.scattered(self, slices, value, "maximum")

    def scatter_min(self, slices: Any, value: Any) -> None:
        _indexing.scattered(self, slices, value, "minimum")

    def fill(self, value: Any) -> None:
        if isinstance(value, np.ndarray):
            if value.shape:
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            value = value.item()
        if is_array(value):
            if value.ndim:
                raise ValueError("non-scalar cupy.ndarray cannot be used for fill")
            value = value._host
        elif not is_scalar(value):
            raise TypeError(f"Unsupported type {type(value)}")
        self._host[...] = cast(value, self.dtype)

    # new from it -------------------------------------------------------------------------------

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> Any:
        kind = dtype_of(dtype)
        if subok is not None:
            raise TypeError("subok is not supported")
        if casting is not None and not np.can_cast(self.dtype, kind, casting):
            raise TypeError(f"Cannot cast array data from {self.dtype} to {kind} according to the rule {casting!r}")
        if not copy and kind == self.dtype:
            return self
        return device_of(np.array(cast(self._host, kind), order=order))

    def copy(self, order: str = "C") -> Any:
        return device_of(np.array(self._host, order=order))

    __copy__ = copy

    def __deepcopy__(self, _memo: Any) -> Any:
        return self.copy()

    def flatten(self, order: str = "C") -> Any:
        return device_of(self._host.flatten(order))

    def view(self, dtype: Any = None, type: Any = None) -> Any:  # noqa: A002  # the name is CuPy's
        return self._view(self._host.view() if dtype is None else self._host.view(dtype_of(dtype)))

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        bound("cupy.ndarray", "reshape", (self, *shape), kwargs)
        return device_of(self._host.reshape(*shape, **kwargs), self)

    def transpose(self, *axes: Any) -> Any:
        return self._view(self._host.transpose(*axes))

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        if kind not in {None, "stable"}:
            raise ValueError(f"kind can only be None or 'stable', not {kind!r}")
        self._check_sortable()
        self._host.sort(axis=axis)

    def partition(self, kth: Any, axis: int = -1) -> None:
        self._check_sortable()
        # CuPy sorts as far as the largest place at least
        self._host.sort(axis=axis)

    def _check_sortable(self) -> None:
        if not self.ndim:
            raise np.exceptions.AxisError("Sorting arrays with the rank of zero is not supported")
        if not self._host.flags.c_contiguous:
            raise NotImplementedError("Sorting non-contiguous array is not supported.")

    conjugate = property(lambda self: self.conj)

    # NumPy's functions on it -------------------------------------------------------------------

    def __array_ufunc__(self, made: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        import cupy

        if "out" in kwargs:
            if len(kwargs["out"]) != 1:
                raise ValueError("The 'out' parameter must have exactly one array value")
            kwargs["out"] = kwargs["out"][0]
        if method != "__call__" or not has("cupy", made.__name__):
            return NotImplemented
        for one in (*inputs, kwargs.get("out")):
            if one is not None and not is_array(one) and not is_scalar(one) and not isinstance(one, np.ndarray):
                return NotImplemented
        if made.__name__ in _COMPARISONS:
            inputs = tuple(one.item() if isinstance(one, np.ndarray) and not one.ndim else one for one in inputs)
        return getattr(cupy, made.__name__)(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        import cupy

        module = cupy
        for part in function.__module__.split(".")[1:]:
            module = getattr(module, part, None)
        name = f"cupy{function.__module__[len('numpy') :]}"
        if module is None or not has(name, function.__name__) or not set(types) <= {ndarray, np.ndarray}:
            return NotImplemented
        return getattr(module, function.__name__)(*args, **kwargs)


def _by_name(name: str) -> Any:
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        import cupy

        named = bound("cupy.ndarray", name, (self, *args), kwargs)
        del named["self"]
        if name == "clip":
            named = {"a_min": named.pop("min", None), "a_max": named.pop("max", None), **named}
        return getattr(cupy, name)(self, **named)

    called.__name__ = name
    return called


def _operator(name: str, *, swapped: bool = False, in_place: bool = False) -> Any:
    def called(self: Any, *other: Any) -> Any:
        import cupy

        # of lists and the like NumPy's ufunc would ask __array_ufunc__, which declines
        if any(not is_array(one) and not is_scalar(one) and not isinstance(one, np.ndarray) for one in other):
            raise TypeError(f"unsupported operand for {name}: {[type(one) for one in other]}")
        if name in _COMPARISONS:
            other = tuple(one.item() if isinstance(one, np.ndarray) and not one.ndim else one for one in other)
        given = (*other, self) if swapped else (self, *other)
        return getattr(cupy, name)(*given, self) if in_place else getattr(cupy, name)(*given)

    return called


_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "matmul": "matmul",
}  # fmt: skip
for _short, _name in _OPERATORS.items():
    setattr(ndarray, f"__{_short}__", _operator(_name))
    setattr(ndarray, f"__r{_short}__", _operator(_name, swapped=True))
    if _short != "matmul":
        setattr(ndarray, f"__i{_short}__", _operator(_name, in_place=True))
for _short, _name in zip(("lt", "le", "eq", "ne", "gt", "ge"), _COMPARISONS, strict=True):
    setattr(ndarray, f"__{_short}__", _operator(_name))
for _short, _name in (("neg", "negative"), ("abs", "absolute"), ("invert", "invert")):
    setattr(ndarray, f"__{_short}__", _operator(_name))
ndarray.__pos__ = lambda self: self  # type: ignore[attr-defined]
for _name in _BY_NAME:
    setattr(ndarray, _name, _by_name(_name))
ndarray.__module__ = "cupy"
