"""Several classes of grey by Otsu's criterion: thresholds that part values best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import Rejected
from medpipe.kernels.bins import counted
from medpipe.kernels.foreground import BINS
from medpipe.types import Array
from medpipe.xp import to_numpy

Floats = NDArray[np.float64]


def otsu_thresholds(values: Array, /, *, classes: int) -> tuple[float, ...]:
    """Return the thresholds that part values into the most distinct classes.

    Parameters
    ----------
    values : array of float32
        Finite values.
    classes : int
        At least 2.

    Returns
    -------
    tuple of float
        ``classes - 1`` centres of bins, ascending, of 256 bins from the least to the greatest
        value; a class holds the values above the threshold before it, up to its own.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if fewer bins hold values than there are to be classes.

    Notes
    -----
    Maximises the sum over classes of ``(sum p x)² / sum p`` (P.-S. Liao, T.-S. Chen, P.-C. Chung,
    J. Inf. Sci. Eng. 17 (2001) 713-727), by dynamic programming over the bins: exact, in a time
    that grows with the classes as they are counted, not as they can be chosen.
    """
    counts, edges = counted(values, bins=BINS)
    host, borders = to_numpy(counts).astype(np.float64), to_numpy(edges).astype(np.float64)
    if np.count_nonzero(host) < classes:
        raise Rejected("E_CONSTANT")
    centres = 0.5 * (borders[:-1] + borders[1:])
    return tuple(float(centres[last]) for last in _last_bins(host, centres, classes))


def _last_bins(counts: Floats, centres: Floats, classes: int) -> list[int]:
    """Return the last bin of each class but the highest."""
    score = _scores(counts / counts.sum(), centres)
    best = [score[0]]
    before: list[NDArray[np.int64]] = []
    for _ in range(classes - 1):
        # row: last bin of the classes so far; column: last bin of the next one
        total = best[-1][:-1, None] + score[1:]
        before.append(np.argmax(total, axis=0))
        best.append(np.take_along_axis(total, before[-1][None], axis=0)[0])
    last, found = len(counts) - 1, []
    for choice in reversed(before):
        last = int(choice[last])
        found.append(last)
    return found[::-1]


def _scores(shares: Floats, centres: Floats) -> Floats:
    """Return what a class from a bin (row) to another (column) adds; -inf for a class without values."""
    weight = np.concatenate([[0.0], np.cumsum(shares)])
    moment = np.concatenate([[0.0], np.cumsum(shares * centres)])
    held = weight[None, 1:] - weight[:-1, None]
    mass = moment[None, 1:] - moment[:-1, None]
    places = np.arange(len(shares))
    counted = np.concatenate([[0], np.cumsum(shares > 0)])
    possible = (counted[None, 1:] > counted[:-1, None]) & (places[None, :] >= places[:, None])
    return np.where(possible, mass**2 / np.where(possible, held, 1.0), -np.inf)
