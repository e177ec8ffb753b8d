"""Values counted in bins of equal width, also where float32 has no room for the bins' edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy


def counted(values: Array, /, *, bins: int) -> tuple[Array, Array]:
    """Return how many values each of some bins from the least to the greatest value holds.

    Parameters
    ----------
    values : array of float32
        Finite.
    bins : int

    Returns
    -------
    counts : array of int64 (bins,)
    edges : array of float32 (bins + 1,)
        Of float64 where the values are too near to each other, or too far apart, for edges in float32.
    """
    xp = backend_of(values).xp
    flat = values.reshape(-1)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            counts, edges = xp.histogram(flat, bins=bins)
            # NumPy refuses edges that do not rise, CuPy counts with them
            has_room = bool((edges[1:] > edges[:-1]).all())
    except ValueError:
        has_room = False
    if not has_room:
        ends = (np.float64(float(flat.min())), np.float64(float(flat.max())))
        counts, edges = xp.histogram(flat, bins=bins, range=ends)
    # CuPy's last bin is open at its end where the next number is farther than 1 away
    counts[-1] += flat.size - counts.sum()
    return counts, edges


def centred(values: Array, /, *, bins: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, on the host, how many values each bin of :func:`counted` holds, and the bins' centres."""
    counts, edges = (to_numpy(part).astype(np.float64) for part in counted(values, bins=bins))
    return counts, 0.5 * (edges[:-1] + edges[1:])
