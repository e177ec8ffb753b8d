"""Special functions, by SciPy."""

from __future__ import annotations

from typing import Any

import scipy.special
from cupy._facts import missing, names
from cupy._values import device_of, host_of


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in names("cupyx.scipy.special") or not hasattr(scipy.special, name):
        raise missing("cupyx.scipy.special", name)

    def called(*args: Any) -> Any:
        return device_of(getattr(scipy.special, name)(*host_of(args)))

    return called
