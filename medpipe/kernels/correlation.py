"""The maximal correlation of two levels by the matrix of their pairs.

It is the second singular value of ``p(i, j) / sqrt(p_x(i) p_y(j))``; the first one is 1, and belongs to
``sqrt(p_x)``. Of a symmetric matrix that one is taken away, and of what is left the eigenvalue farthest
from 0 is wanted: Householder reflections to three diagonals, then Sturm counts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Matrix = NDArray[Any]

_MOST_LEVELS = 64
"""Levels up to which the matrix stays near the processor; beyond, LAPACK's blocks are quicker."""

_POINTS = 8
"""Places that the interval is parted by at a time: as many divisions as go side by side."""

_TINY = 1e-300
_CLOSE = 1e-15


def maximal_correlation(matrix: Matrix, /, *, symmetric: bool) -> float:
    """Return the maximal correlation coefficient of a matrix of pairs.

    Parameters
    ----------
    matrix : array of uint32 or float64 (k, k)
        Counts or weights of pairs, 0 or above, not all 0.
    symmetric : bool
        Whether the matrix is.

    Returns
    -------
    float
        From 0 to 1; 1 for a single level, 0 if all pairs are of one level of several.
    """
    if len(matrix) < 2:
        return 1.0
    if symmetric and len(matrix) <= _MOST_LEVELS:
        found: float = _second_of_symmetric(matrix)
        return found
    p = matrix / matrix.sum()
    x, y = p.sum(axis=1), p.sum(axis=0)
    if not (x.all() and y.all()):
        # levels that no pair of this direction has
        p, x, y = p[np.ix_(x > 0.0, y > 0.0)], x[x > 0.0], y[y > 0.0]
    scaled = p / np.sqrt(np.outer(x, y))
    if min(scaled.shape) < 2:
        return 0.0
    values = np.abs(np.linalg.eigvalsh(scaled)) if symmetric else np.linalg.svd(scaled, compute_uv=False)
    return float(np.sort(values)[-2])


@njit(cache=True, nogil=True, error_model="numpy")
def _second_of_symmetric(matrix: Matrix) -> float:
    size = len(matrix)
    roots, total = np.zeros(size), 0.0
    for i in range(size):
        for j in range(size):
            roots[i] += matrix[i, j]
        total += roots[i]
    roots = np.sqrt(roots / total)
    if np.count_nonzero(roots) < 2:
        return 0.0
    rest = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            if matrix[i, j] > 0:
                rest[i, j] = matrix[i, j] / (total * (roots[i] * roots[j]))
            rest[i, j] -= roots[i] * roots[j]
    diagonal, beside2 = _three_diagonals(rest)
    return _farthest_from_zero(diagonal, beside2)


@njit(cache=True, nogil=True, error_model="numpy")
def _three_diagonals(a: Floats) -> tuple[Floats, Floats]:
    """Return the diagonal, and the squares of what stands before it, of a matrix made tridiagonal in place."""
    size = len(a)
    diagonal, beside2 = np.zeros(size), np.zeros(size)
    v, w = np.zeros(size), np.zeros(size)
    for i in range(size - 1):
        diagonal[i] = a[i, i]
        for j in range(i + 1, size):
            beside2[i + 1] += a[i, j] * a[i, j]
        if i == size - 2 or beside2[i + 1] == 0.0:
            continue
        norm = math.sqrt(beside2[i + 1])
        scale = 1.0 / (beside2[i + 1] + abs(a[i, i + 1]) * norm)
        for j in range(i + 1, size):
            v[j], w[j] = a[i, j], 0.0
        v[i + 1] += norm if v[i + 1] >= 0.0 else -norm
        for r in range(i + 1, size):
            factor = v[r] * scale
            for c in range(i + 1, size):
                w[c] += factor * a[r, c]
        along = 0.0
        for j in range(i + 1, size):
            along += w[j] * v[j]
        along *= 0.5 * scale
        for j in range(i + 1, size):
            w[j] -= along * v[j]
        for r in range(i + 1, size):
            one, other = v[r], w[r]
            for c in range(i + 1, size):
                a[r, c] -= one * w[c] + other * v[c]
    diagonal[size - 1] = a[size - 1, size - 1]
    return diagonal, beside2


@njit(cache=True, nogil=True, error_model="numpy")
def _farthest_from_zero(diagonal: Floats, beside2: Floats) -> float:
    """Return the largest absolute eigenvalue, at most 1, of a tridiagonal matrix.

    Of the pivots of ``T - t`` as many are below 0 as there are eigenvalues below t.
    """
    size = diagonal.size
    low, high = 0.0, 1.0
    places, pivots, below = np.empty(2 * _POINTS), np.empty(2 * _POINTS), np.empty(2 * _POINTS)
    while high - low > _CLOSE:
        for point in range(_POINTS):
            places[point] = low + (high - low) * (point + 1) / (_POINTS + 1)
            places[_POINTS + point] = -places[point]
        pivots[:], below[:] = 1.0, 0.0
        for i in range(size):
            here, before = diagonal[i], beside2[i]
            for point in range(2 * _POINTS):
                pivot = here - places[point] - before / pivots[point]
                pivot = pivot if abs(pivot) > _TINY else -_TINY
                pivots[point] = pivot
                below[point] += 1.0 if pivot < 0.0 else 0.0
        first = 0
        while first < _POINTS and (below[first] < size or below[_POINTS + first] > 0.0):
            first += 1
        if first < _POINTS:
            high = places[first]
        if first > 0:
            low = places[first - 1]
    return 0.5 * (low + high)
