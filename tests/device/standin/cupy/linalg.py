"""Linear algebra of stacks of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._facts import missing
from ._ufuncs import named

_KNOWN = ("cholesky", "det", "eigh", "eigvalsh", "inv", "lstsq", "matrix_rank", "norm", "pinv", "qr", "slogdet",
          "solve", "svd")  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _KNOWN:
        raise missing("cupy.linalg", name)
    return named("cupy.linalg", name, getattr(np.linalg, name))
