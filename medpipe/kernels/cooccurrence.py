"""Features of one co-occurrence matrix, in one pass over its cells.

Nothing is held but sums by the difference and by the sum of two levels, of which most formulas are.
Terms that are sums over both marginal distributions are made of those: the joint entropy of independent
levels is the sum of the entropies of the two.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int32]
Matrix = NDArray[Any]

NAMES = (
    "auto_corr", "joint_avg", "clust_prom", "clust_shade", "clust_tend", "contrast", "corr", "diff_avg", "diff_entr",
    "diff_var", "energy", "joint_entr", "info_corr1", "info_corr2", "inv_diff_mom", "inv_diff_mom_norm", "inv_diff",
    "inv_diff_norm", "inv_var", "joint_max", "sum_avg", "sum_entr", "sum_var", "joint_var",
)  # fmt: skip
"""Names of the features, in the order of :func:`pair_measures`."""

_LARGEST_TABLE = 1 << 17
_LOGARITHMS = 1024


class Levels(NamedTuple):
    """Grey levels of the rows and columns of a matrix, and what two of them have in common.

    ``grey`` (k,) are the levels, ascending; ``differences`` and ``sums`` the numbers that two of them may be
    apart and add up to. Where levels are few and their numbers huge, ``apart`` and ``summed`` (k, k) are
    the places of each two among those; else they are empty, and a number is its own place.
    """

    grey: Floats
    differences: Floats
    sums: Floats
    apart: Places
    summed: Places


def levels_of(levels: NDArray[Any], /) -> Levels:
    """Return what :func:`pair_measures` needs of grey levels (k,), ascending whole numbers from 1."""
    grey = np.asarray(levels, dtype=np.float64)
    top = grey[-1]
    none = np.empty((0, 0), dtype=np.int32)
    if 2.0 * top < _LARGEST_TABLE:
        return Levels(grey, np.arange(top), np.arange(2.0 * top + 1.0), none, none)
    differences, apart = np.unique(np.abs(grey[:, None] - grey), return_inverse=True)
    sums, summed = np.unique(grey[:, None] + grey, return_inverse=True)
    shape = grey.size, grey.size
    return Levels(
        grey, differences, sums, apart.reshape(shape).astype(np.int32), summed.reshape(shape).astype(np.int32)
    )


def pair_measures(matrix: Matrix, levels: Levels, /, *, symmetric: bool) -> Floats | None:
    """Return the features of a matrix, or None if it holds no pair.

    Parameters
    ----------
    matrix : array of uint32 or float64 (k, k)
        Counts, or sums of weights.
    levels : Levels
        The last of them is the number of levels of the formulas.
    symmetric : bool
        Whether the matrix is: half of it is read then.

    Returns
    -------
    array of float64 (24,)
        In the order of :data:`NAMES`. Of a single level the correlation is 1, and both
        information correlations are 0.
    """
    result = np.zeros(len(NAMES))
    return result if _measure(matrix, levels, symmetric, np.zeros(_LOGARITHMS), result) else None


@njit(cache=True, nogil=True)
def _measure(matrix: Matrix, levels: Levels, symmetric: bool, known: Floats, result: Floats) -> bool:  # noqa: FBT001
    """Fill in the features, and tell whether there is a pair.

    ``known`` holds the terms ``p log2 p`` of small counts that were met: a matrix is full of them.
    """
    grey = levels.grey
    size = grey.size
    has_places = levels.apart.size > 0
    x, y = np.zeros(size), np.zeros(size)
    for i in range(size):
        for j in range(size):
            x[i] += matrix[i, j]
            y[j] += matrix[i, j]
    total = x.sum()
    if total == 0.0:
        return False
    # of counts: the mean of a single level is that level, to the last bit
    mean_x, var_x = _moments(x, grey, total)
    mean_y, var_y = _moments(y, grey, total)
    apart, summed = np.zeros(levels.differences.size), np.zeros(levels.sums.size)
    covariance = product = energy = information = largest = 0.0
    for i in range(size):
        # of a symmetric matrix the cells above the diagonal stand for those below
        for j in range(i if symmetric else 0, size):
            count = float(matrix[i, j])
            if count == 0.0:
                continue
            p = count / total
            term = _term(count, p, known)
            largest = max(largest, p)
            if symmetric and j > i:
                p, term = 2.0 * p, 2.0 * term
                energy += 0.5 * p * p
            else:
                energy += p * p
            apart[levels.apart[i, j] if has_places else int(abs(grey[i] - grey[j]))] += p
            summed[levels.summed[i, j] if has_places else int(grey[i] + grey[j])] += p
            product += p * (grey[i] * grey[j])
            information -= term
            covariance += p * (grey[i] - mean_x) * (grey[j] - mean_y)
    result[0], result[1], result[23] = product, mean_x, var_x
    result[10], result[11], result[19] = energy, information, largest
    deviations = math.sqrt(var_x) * math.sqrt(var_y)
    result[6] = covariance / deviations if deviations > 0.0 else 1.0
    _of_differences(apart, levels.differences, grey[-1], result)
    _of_sums(summed, levels.sums, mean_x + mean_y, result)
    single, other = _entropy(x / total), _entropy(y / total)
    most = max(single, other)
    result[12] = (information - single - other) / most if most > 0.0 else 0.0
    result[13] = math.sqrt(1.0 - math.exp(-2.0 * max(single + other - information, 0.0)))
    return True


@njit(cache=True, nogil=True)
def _term(count: float, p: float, known: Floats) -> float:
    """Return ``p log2 p``, looked up where the count is small and whole."""
    place = int(min(count, known.size))
    if place == known.size or place != count:
        return p * math.log2(p)
    if known[place] == 0.0:
        known[place] = p * math.log2(p)
    found: float = known[place]
    return found


@njit(cache=True, nogil=True)
def _of_differences(p: Floats, differences: Floats, top: float, result: Floats) -> None:
    mean = 0.0
    for place in range(p.size):
        mean += p[place] * differences[place]
    for place in range(p.size):
        here, k = p[place], differences[place]
        if here > 0.0:
            result[5] += here * k * k
            result[9] += here * (k - mean) ** 2
            result[14] += here / (1.0 + k * k)
            result[15] += here / (1.0 + (k / top) ** 2)
            result[16] += here / (1.0 + k)
            result[17] += here / (1.0 + k / top)
            result[18] += here / (k * k) if k > 0.0 else 0.0
    result[7] = mean
    result[8] = _entropy(p)


@njit(cache=True, nogil=True)
def _of_sums(p: Floats, sums: Floats, mean: float, result: Floats) -> None:
    """Fill in the features of sums of two levels; those of clusters are their central moments."""
    for place in range(p.size):
        if p[place] > 0.0:
            spread = sums[place] - mean
            squared = spread * spread
            result[2] += p[place] * squared * squared
            result[3] += p[place] * squared * spread
            result[4] += p[place] * squared
            result[20] += p[place] * sums[place]
    result[22] = result[4]
    result[21] = _entropy(p)


@njit(cache=True, nogil=True)
def _moments(counts: Floats, grey: Floats, total: float) -> tuple[float, float]:
    """Return mean and variance of levels."""
    mean = variance = 0.0
    for i in range(grey.size):
        mean += counts[i] * grey[i]
    mean /= total
    for i in range(grey.size):
        variance += counts[i] * (grey[i] - mean) ** 2
    return mean, variance / total


@njit(cache=True, nogil=True)
def _entropy(p: Floats) -> float:
    total = 0.0
    for one in p:
        if one > 0.0:
            total -= one * math.log2(one)
    return total
