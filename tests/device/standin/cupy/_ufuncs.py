"""Ufuncs with CuPy's loops: which is taken, what may be given, what comes out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._facts import bound, loops
from ._values import cast, device_of, dtype_of, host_of, is_array, is_scalar, quiet

_KINDS = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}
_SUMS = {"add": ("sum", "cumsum"), "multiply": ("prod", "cumprod")}


class ufunc:
    """A ufunc of CuPy by the one of NumPy that has its name."""

    def __init__(self, name: str, made: Any) -> None:
        self.name = f"cupy_{name}"
        self.__name__ = name
        self._made = made
        self._loops = loops(name)
        self.nin, self.nout = (len(side) for side in self._loops[0])
        self.nargs = self.nin + self.nout

    def __repr__(self) -> str:
        return f"<ufunc {self.name!r}>"

    @property
    def types(self) -> list[str]:
        return ["->".join(one) for one in self._loops]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outs, dtype = kwargs.pop("out", None), kwargs.pop("dtype", None)
        casting = kwargs.pop("casting", "same_kind")
        if kwargs:
            raise TypeError(f"Wrong arguments {kwargs}")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        inputs, given = args[: self.nin], args[self.nin :]
        if outs is not None:
            given = outs if isinstance(outs, tuple) else (outs,)
        given = (*given, *(None,) * (self.nout - len(given)))
        for one in (*inputs, *(one for one in given if one is not None)):
            if not is_array(one) and not is_scalar(one):
                raise TypeError(f"Unsupported type {type(one)}")
        ins, made_of = self._loop(inputs, None if dtype is None else dtype_of(dtype))
        shape = np.broadcast_shapes(*(one.shape for one in (*inputs, *given) if is_array(one)))
        with quiet():
            hosts = [self._host(one, np.dtype(char)) for one, char in zip(inputs, ins, strict=True)]
            results = self._made(*np.broadcast_arrays(*hosts)) if self.nin > 1 else self._made(*hosts)
        results = results if self.nout > 1 else (results,)
        made = tuple(
            self._stored(np.broadcast_to(cast(result, np.dtype(char)), shape), out, casting)
            for result, char, out in zip(results, made_of, given, strict=True)
        )
        return made if self.nout > 1 else made[0]

    def _host(self, value: Any, dtype: np.dtype[Any]) -> Any:
        if is_array(value):
            return cast(value._host, dtype)
        # a number that the loop cannot hold raises, as CuPy does where it packs it
        return np.asarray(value, dtype) if type(value) is int else np.asarray(value).astype(dtype)

    def _stored(self, result: Any, out: Any, casting: str) -> Any:
        if out is None:
            return device_of(np.array(result, order="C"))
        if not np.can_cast(result.dtype, out.dtype, casting):
            raise TypeError(f"output (typecode {out.dtype.char!r}) could not be coerced to provided output parameter "
                            f"(typecode {result.dtype.char!r}) according to the casting rule {casting!r}")  # fmt: skip
        if out.shape != result.shape:
            raise ValueError(f"Out shape is mismatched: {out.shape}, {result.shape}")
        out._host[...] = cast(result, out.dtype)
        return out

    def _loop(self, inputs: tuple[Any, ...], dtype: np.dtype[Any] | None) -> tuple[str, str]:
        """Return the first loop that takes the inputs without loss, Python's numbers being of no width."""
        if dtype is not None:
            found = [one for one in self._loops if all(np.dtype(char) == dtype for char in one[1])]
            if found:
                return found[0]
            raise TypeError(f"Wrong type ({dtype}) of arguments for {self.name}")
        types = [one.dtype if is_array(one) or isinstance(one, np.generic) else _of_number(one) for one in inputs]
        weak = [type(one) in {int, float, complex} for one in inputs]
        strong = [_KINDS[one.kind] for one, is_weak in zip(types, weak, strict=True) if not is_weak]
        of_numbers = [_KINDS[one.kind] for one, is_weak in zip(types, weak, strict=True) if is_weak]
        if not strong or (of_numbers and max(of_numbers) > max(strong)):
            weak = [False] * len(weak)
        for one in self._loops:
            if all(
                np.can_cast(given, np.dtype(char))
                or (is_weak and np.result_type(type(value)(0), np.dtype(char)) == char)
                for given, is_weak, value, char in zip(types, weak, inputs, one[0], strict=True)
            ):
                return one
        raise TypeError(f"Wrong type ({tuple(types)}) of arguments for {self.name}")

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        if self.__name__ not in _SUMS:
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        return getattr(array, _SUMS[self.__name__][0])(axis, dtype, out, keepdims)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        if self.__name__ not in _SUMS:
            raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")
        return getattr(array, _SUMS[self.__name__][1])(axis, dtype, out)

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        """Add, or keep the larger or smaller, at places that may come more than once."""
        ways = {"add": "scatter_add", "maximum": "scatter_max", "minimum": "scatter_min"}
        if self.__name__ not in ways:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        getattr(a, ways[self.__name__])(indices, b)

    def outer(self, a: Any, b: Any, **kwargs: Any) -> Any:
        return self(a.reshape(a.shape + (1,) * b.ndim), b, **kwargs)


def _of_number(value: Any) -> np.dtype[Any]:
    kinds = {bool: "?", float: "d", complex: "D"}
    return np.dtype(kinds.get(type(value)) or ("Q" if value >= 1 << 63 else "l"))


def named(module: str, name: str, function: Any) -> Any:
    """Return a function that takes what CuPy's takes and asks NumPy's, or SciPy's, for the values."""

    def called(*args: Any, **kwargs: Any) -> Any:
        bound(module, name, args, kwargs)
        with quiet():
            made = function(*host_of(args), **{key: host_of(value) for key, value in kwargs.items()})
        return device_of(made, *args, *kwargs.values())

    called.__name__ = called.__qualname__ = name
    return called
