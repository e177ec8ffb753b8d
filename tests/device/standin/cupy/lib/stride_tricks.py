"""Views by strides."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy._facts import bound
from cupy._values import device_of


def sliding_window_view(x: Any, window_shape: Any, axis: Any = None, **kwargs: Any) -> Any:
    bound("cupy.lib.stride_tricks", "sliding_window_view", (x, window_shape, axis), kwargs)
    if kwargs.get("writeable"):
        raise NotImplementedError("Writeable views are not supported.")
    return device_of(np.lib.stride_tricks.sliding_window_view(x._host, window_shape, axis), x)
