"""Co-occurrence as pyradiomics measures it: at any distances, from both ends or one, averaged or weighted.

The matrices of :mod:`medpipe.kernels.glcm` are the standard's: symmetric, at distance 1. Here
rows and columns may differ, cells may be sums of weights, and there is a 24th feature.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.glcm import count_pairs
from medpipe.kernels.ranks import Directions, steps_in

Floats = NDArray[np.float64]
Matrices = NDArray[Any]

NAMES = (
    "Autocorrelation", "JointAverage", "ClusterProminence", "ClusterShade", "ClusterTendency", "Contrast",
    "Correlation", "DifferenceAverage", "DifferenceEntropy", "DifferenceVariance", "JointEnergy", "JointEntropy",
    "Imc1", "Imc2", "Idm", "MCC", "Idmn", "Id", "Idn", "InverseVariance", "MaximumProbability", "SumAverage",
    "SumEntropy", "SumSquares",
)  # fmt: skip
"""Names that pyradiomics gives the features, in its order."""

CELLS_AT_ONCE = 2**23
"""Cells of matrices that are counted in one pass over a region."""

_MCC = NAMES.index("MCC")


def pair_features(
    padded: NDArray[np.uint16],
    levels: Floats,
    /,
    *,
    directions: Directions,
    weights: Floats | None,
    symmetric: bool,
) -> dict[str, float]:
    """Return the co-occurrence features of a region.

    Parameters
    ----------
    padded : array of uint16 (z, y, x)
        Ranks of the levels; 0 outside the region, and as far from each end as directions reach.
    levels : array of float64 (k,)
        Grey level of each rank, whole numbers from 1.
    directions : tuple of (z, y, x)
        Steps from a voxel to the one that it is paired with.
    weights : array of float64 (directions,), optional
        With them matrices are added up, each as often as its weight says, and measured once;
        without, features are averaged over the matrices that hold a pair.
    symmetric : bool
        Whether each pair counts from both its ends.

    Returns
    -------
    dict of str to float
        One value for each of :data:`NAMES`; NaN if there is no pair.

    Notes
    -----
    Formulas of pyradiomics 3.0.1; those of the standard, but that the first information
    correlation of a single level is 0, and for the maximal correlation coefficient, which is the
    second singular value of ``p(i, j) / sqrt(p_x(i) p_y(j))``.
    """
    matrices = pair_matrices(padded, levels.size, directions=directions, symmetric=symmetric)
    if weights is not None:
        summed = np.zeros((levels.size, levels.size))
        for weight, matrix in zip(weights, matrices, strict=True):
            summed += weight * matrix
        matrices = iter([summed])
    rows = [_with_mcc(matrix, levels, symmetric=symmetric) for matrix in matrices if matrix.any()]
    if not rows:
        return dict.fromkeys(NAMES, math.nan)
    return dict(zip(NAMES, np.mean(rows, axis=0).tolist(), strict=True))


def pair_matrices(
    padded: NDArray[np.uint16], n_levels: int, /, *, directions: Directions, symmetric: bool
) -> Iterator[Matrices]:
    """Yield the matrix of each direction (n_levels, n_levels), some counted in one go: those that fit into memory.

    Parameters
    ----------
    padded, directions, symmetric
        As for :func:`pair_features`.
    n_levels : int
    """
    steps = steps_in(padded.shape, directions)
    together = max(CELLS_AT_ONCE // n_levels**2, 1)
    for first in range(0, len(steps), together):
        some = steps[first : first + together]
        counts = np.zeros((len(some), n_levels, n_levels), dtype=np.uint32)
        count_pairs(padded.reshape(-1), some.astype(np.uint64), counts)
        for matrix in counts:
            yield matrix + matrix.T if symmetric else matrix


def _with_mcc(matrix: Matrices, levels: Floats, *, symmetric: bool) -> Floats:
    counts = matrix.astype(np.float64)
    found: Floats = _features(counts, levels)
    found[_MCC] = _maximal_correlation(counts / counts.sum(), symmetric=symmetric)
    return found


def _maximal_correlation(p: Floats, *, symmetric: bool) -> float:
    if len(p) < 2:
        return 1.0
    x, y = p.sum(axis=1), p.sum(axis=0)
    if not (x.all() and y.all()):
        # levels that no pair of this direction has
        p, x, y = p[np.ix_(x > 0.0, y > 0.0)], x[x > 0.0], y[y > 0.0]
    scaled = p / np.sqrt(np.outer(x, y))
    if min(scaled.shape) < 2:
        return 0.0
    if symmetric:
        values = np.sort(np.abs(np.linalg.eigvalsh(scaled)))
    else:
        values = np.sort(np.linalg.svd(scaled, compute_uv=False))
    return float(values[-2])


@njit(cache=True, nogil=True)
def _features(matrix: Floats, levels: Floats) -> Floats:
    size, top = levels.size, int(levels[-1])
    result = np.zeros(24)
    x, y = np.zeros(size), np.zeros(size)
    apart, summed = np.zeros(top), np.zeros(2 * top + 1)
    total = 0.0
    for i in range(size):
        for j in range(size):
            total += matrix[i, j]
    for i in range(size):
        for j in range(size):
            if matrix[i, j] > 0:
                p = matrix[i, j] / total
                x[i] += p
                y[j] += p
                apart[int(abs(levels[i] - levels[j]))] += p
                summed[int(levels[i] + levels[j])] += p
                result[0] += p * levels[i] * levels[j]
                result[10] += p * p
                result[11] -= p * math.log2(p)
                result[20] = max(result[20], p)
    mean_x, var_x = _moments(x, levels)
    mean_y, var_y = _moments(y, levels)
    covariance = crossed = 0.0
    for i in range(size):
        for j in range(size):
            if matrix[i, j] > 0:
                p = matrix[i, j] / total
                spread = levels[i] + levels[j] - mean_x - mean_y
                result[2] += p * spread**4
                result[3] += p * spread**3
                result[4] += p * spread**2
                covariance += p * (levels[i] - mean_x) * (levels[j] - mean_y)
                crossed -= p * (math.log2(x[i]) + math.log2(y[j]))
    result[1], result[23] = mean_x, var_x
    deviations = math.sqrt(var_x) * math.sqrt(var_y)
    result[6] = covariance / deviations if deviations > 0.0 else 1.0
    _of_differences(apart, float(top), result)
    for k in range(summed.size):
        result[21] += summed[k] * k
    result[22] = _entropy(summed)
    single, other = _entropy(x), _entropy(y)
    largest = max(single, other)
    result[12] = (result[11] - crossed) / largest if largest > 0.0 else 0.0
    result[13] = math.sqrt(1.0 - math.exp(-2.0 * max(single + other - result[11], 0.0)))
    return result


@njit(cache=True, nogil=True)
def _of_differences(p: Floats, top: float, result: Floats) -> None:
    mean = 0.0
    for k in range(p.size):
        mean += p[k] * k
    for k in range(p.size):
        result[5] += p[k] * k * k
        result[9] += p[k] * (k - mean) ** 2
        result[14] += p[k] / (1.0 + k * k)
        result[16] += p[k] / (1.0 + (k / top) ** 2)
        result[17] += p[k] / (1.0 + k)
        result[18] += p[k] / (1.0 + k / top)
        if k > 0:
            result[19] += p[k] / (k * k)
    result[7] = mean
    result[8] = _entropy(p)


@njit(cache=True, nogil=True)
def _moments(p: Floats, levels: Floats) -> tuple[float, float]:
    """Return mean and variance of levels."""
    mean = variance = 0.0
    for i in range(levels.size):
        mean += p[i] * levels[i]
    for i in range(levels.size):
        variance += p[i] * (levels[i] - mean) ** 2
    return mean, variance


@njit(cache=True, nogil=True)
def _entropy(p: Floats) -> float:
    total = 0.0
    for one in p:
        if one > 0.0:
            total -= one * math.log2(one)
    return total
