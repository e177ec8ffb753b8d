"""Classes of grey by Otsu's criterion: thresholds that part values best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import Rejected
from medpipe.kernels.bins import centred
from medpipe.types import Array

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

BINS = 256
"""Bins of the histogram that thresholds are found in."""


def otsu_threshold(values: Array, /) -> float:
    """Return the threshold that parts values into the two most distinct classes: those above it are bright.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if one bin holds all values.

    Notes
    -----
    N. Otsu, IEEE Trans. SMC 9 (1979) 62-66, doi:10.1109/TSMC.1979.4310076.
    """
    (threshold,) = otsu_thresholds(values, classes=2)
    return threshold


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
    counts, centres = centred(values, bins=BINS)
    if np.count_nonzero(counts) < classes:
        raise Rejected("E_CONSTANT")
    return tuple(float(centres[last]) for last in _last_bins(counts, centres, classes))


def _last_bins(counts: Floats, centres: Floats, classes: int) -> list[int]:
    """Return the last bin of each class but the highest."""
    score = _scores(counts / counts.sum(), centres)
    places = np.arange(len(counts))
    best = score(places[:1], places)
    before: list[NDArray[np.int64]] = []
    for count in range(2, classes + 1):
        # row: last bin of the classes so far; column: last bin of the next one, which for the highest is the last
        total = best[:-1, None] + score(places[1:, None], places if count < classes else places[-1:])
        before.append(np.argmax(total, axis=0))
        best = np.take_along_axis(total, before[-1][None], axis=0)[0]
    last, found = -1, []
    for choice in reversed(before):
        last = int(choice[last])
        found.append(last)
    return found[::-1]


def _scores(shares: Floats, centres: Floats) -> Callable[[Places, Places], Floats]:
    """Return what tells how much classes from some bins to others add; -inf for a class without values."""
    weight = np.concatenate([[0.0], np.cumsum(shares)])
    moment = np.concatenate([[0.0], np.cumsum(shares * centres)])
    filled = np.concatenate([[0], np.cumsum(shares > 0)])

    def score(first: Places, last: Places) -> Floats:
        held, mass = weight[last + 1] - weight[first], moment[last + 1] - moment[first]
        possible = (filled[last + 1] > filled[first]) & (last >= first)
        return np.where(possible, mass**2 / np.where(possible, held, 1.0), -np.inf)

    return score
