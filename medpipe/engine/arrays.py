"""Stored volumes as lazy Dask arrays, for whoever works with them further."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np


def lazy_array(stored: Any, *, scale: float, offset: float) -> Any:
    """Return a stored array's values as a lazy float32 Dask array.

    Parameters
    ----------
    stored : zarr.Array
        As in the group: int16 or float32.
    scale, offset : float
        value = stored x scale + offset in float64, then float32.

    Returns
    -------
    dask.array.Array
        Chunked by the shards of the store; ``.compute()`` gives NumPy.
    """
    chunks = stored.shards or stored.chunks
    array = da.from_array(stored, chunks=chunks, name=False)  # type: ignore[no-untyped-call]  # Dask is typed in part
    if (scale, offset) == (1.0, 0.0):
        return array.astype(np.float32)
    return (array.astype(np.float64) * scale + offset).astype(np.float32)
