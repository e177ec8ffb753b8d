"""Fourier transforms, by SciPy in the same precision."""

from __future__ import annotations

from typing import Any

import scipy.fft
from cupy._facts import bound, missing, names
from cupy._routines import demand
from cupy._ufuncs import named


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in names("cupyx.scipy.fft") or not callable(getattr(scipy.fft, name, None)):
        raise missing("cupyx.scipy.fft", name)
    made = named("cupyx.scipy.fft", name, getattr(scipy.fft, name))

    def called(*args: Any, **kwargs: Any) -> Any:
        given = bound("cupyx.scipy.fft", name, args, kwargs)
        if name != "next_fast_len" and "freq" not in name:
            demand(f"scipy.fft.{name}", next(iter(given.values())))
        return made(*args, **kwargs)

    return called
