"""Moments of a slice that shifts, turns and sizes leave alone.

Reference
---------
Hu, IRE Trans. Inf. Theory 8 (1962) 179, doi:10.1109/TIT.1962.1057692.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

HU = 7
"""How many there are."""


def hu_moments(plane: Array, /, *, spacing: tuple[float, float]) -> NDArray[np.float64]:
    """Return Hu's seven invariants of a slice.

    Parameters
    ----------
    plane : array (y, x)
        Weights, none below 0.
    spacing : (float, float)
        Step between pixels along (y, x), in any unit.

    Returns
    -------
    array of float64 (7,)
        NaN where all weights are 0.
    """
    eta = _normalised(plane, spacing)
    if eta is None:
        return np.full(HU, np.nan)
    n20, n02, n11, n30, n21, n12, n03 = (eta[p, q] for p, q in ((2, 0), (0, 2), (1, 1), (3, 0), (2, 1), (1, 2), (0, 3)))
    a, b = n30 + n12, n21 + n03
    c, d = n30 - 3 * n12, 3 * n21 - n03
    return np.array(
        [
            n20 + n02,
            (n20 - n02) ** 2 + 4 * n11**2,
            c**2 + d**2,
            a**2 + b**2,
            c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
            (n20 - n02) * (a**2 - b**2) + 4 * n11 * a * b,
            d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
        ]
    )


def _normalised(plane: Array, spacing: tuple[float, float]) -> NDArray[np.float64] | None:
    """Return central moments up to the third order over powers of the area, or None of nothing."""
    xp = backend_of(plane).xp
    weights = plane.astype(xp.float64)
    mass = float(weights.sum())
    if not mass > 0.0:
        return None
    down, across = (xp.arange(size, dtype=xp.float64) * step for size, step in zip(weights.shape, spacing, strict=True))
    rows, columns = weights.sum(axis=1), weights.sum(axis=0)
    down -= float((rows * down).sum()) / mass
    across -= float((columns * across).sum()) / mass
    powers = [xp.stack([axis**power for power in range(4)]) for axis in (down, across)]
    area = spacing[0] * spacing[1]
    central = to_numpy(powers[0] @ weights @ powers[1].T) * area
    order = np.add.outer(np.arange(4), np.arange(4))
    eta: NDArray[np.float64] = central / (mass * area) ** (order / 2 + 1)
    return eta
