"""Importing this module loads the compiled pass over heads: a process that forks readers does it once for all."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

from medpipe.archive.quick.reader import QuickReader

_LINEAR_ALGEBRA = "scipy.linalg"


def _load() -> None:
    # with the first compiled function Numba imports SciPy's linear algebra if it is there, which takes as long as all
    # else here; no compiled function that reads a head or a pixel needs it
    is_hidden = _LINEAR_ALGEBRA not in sys.modules
    if is_hidden:
        sys.modules[_LINEAR_ALGEBRA] = cast("ModuleType", None)
    try:
        QuickReader().read(b"", path="", size=0, version="", more=lambda _offset, _count: b"")
    finally:
        if is_hidden:
            del sys.modules[_LINEAR_ALGEBRA]


_load()
