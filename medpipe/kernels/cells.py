"""Sums over the cells of co-occurrence matrices, each made in one pass.

They are added up as NumPy adds up whole arrays: in halves (pairwise), but energy and entropy of
several matrices one cell after the other. The order is fixed here, so that a feature keeps its
last bit whatever the library does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.uint32]
Places = NDArray[np.intp]

N_SUMS = 6
"""Covariance, energy, second to fourth power of the spread, and ``p log2 p``."""

_LARGEST_KEY = 1 << 17
_LOGARITHMS = 1024
_LEAF, _LANES = 128, 8


class Groups(NamedTuple):
    """Cells of one key.

    ``keys`` are the distinct keys, ascending; ``of_cell`` (cells,) is the place of each cell's key
    among them, and ``order`` the cells by key, those of key g from ``starts[g]`` on.
    """

    keys: Floats
    of_cell: Places
    order: Places
    starts: Places


def groups_of(keys: Floats, /) -> Groups:
    """Return cells grouped by keys that are whole numbers from 0."""
    top = int(keys.max())
    if top < _LARGEST_KEY:
        distinct, of_cell = _distinct(keys, top)
    else:
        distinct, of_cell = np.unique(keys, return_inverse=True)
    order, starts = _ordered(of_cell, distinct.size)
    return Groups(keys=distinct, of_cell=of_cell, order=order, starts=starts)


def group_sums(p: Floats, groups: Groups, /) -> Floats:
    """Return the probabilities (matrices, keys) of cells (matrices, cells) summed by key."""
    sums = np.empty((len(p), groups.keys.size))
    _sum_groups(p, groups.order, groups.starts, sums)
    return sums


def cells_of(counts: Counts, rows: Places, columns: Places, /) -> Counts:
    """Return the counts (matrices, cells) of some cells of matrices (matrices, k, k)."""
    found: Counts = np.take(counts.reshape(len(counts), -1), rows * counts.shape[2] + columns, axis=1)
    return found


def cell_sums(
    counts: Counts, p: Floats, places: tuple[Places, Places, Places], deviation: Floats, powers: Floats, /
) -> Floats:
    """Return the sums over cells of :data:`N_SUMS`.

    Parameters
    ----------
    counts, p : arrays (matrices, cells)
        Counts, and the same as probabilities.
    places : three arrays (cells,)
        Of each cell's two levels, and of their sum among the distinct sums.
    deviation : array (matrices, k)
        Of the levels from their mean.
    powers : array (3, matrices, sums)
        Second to fourth power of the spread of each sum of levels.

    Returns
    -------
    array of float64 (6, matrices)
    """
    sums = np.empty((N_SUMS, len(p)))
    terms = np.empty((N_SUMS, p.shape[1]))
    size = min(int(counts.max()) + 1, _LOGARITHMS)
    for place in range(len(p)):
        cells, factors = (counts[place], p[place]), (deviation[place], powers[:, place])
        one_by_one = _fill(cells, places, factors, np.zeros(size), terms)
        sums[:, place] = terms.sum(axis=1)
        if len(p) > 1:
            sums[1, place], sums[5, place] = one_by_one
    return sums


@njit(cache=True, nogil=True)
def _fill(
    cells: tuple[Counts, Floats],
    places: tuple[Places, Places, Places],
    factors: tuple[Floats, Floats],
    logarithms: Floats,
    terms: Floats,
) -> tuple[float, float]:
    """Fill in the terms of the sums, and return the energy and ``p log2 p`` added up one by one.

    Logarithms of small counts are looked up: a matrix is full of them.
    """
    counts, p = cells
    deviation, powers = factors
    rows, columns, sums = places
    energy = information = 0.0
    for cell in range(p.size):
        here, count = p[cell], counts[cell]
        terms[0, cell] = here * deviation[rows[cell]] * deviation[columns[cell]]
        terms[1, cell] = here * here
        for power in range(3):
            terms[2 + power, cell] = here * powers[power, sums[cell]]
        entropy = 0.0
        if count >= logarithms.size:
            entropy = here * math.log2(here)
        elif count > 0:
            if logarithms[count] == 0.0:
                logarithms[count] = here * math.log2(here)
            entropy = logarithms[count]
        terms[5, cell] = entropy
        energy += terms[1, cell]
        information += entropy
    return energy, information


@njit(cache=True, nogil=True)
def _distinct(keys: Floats, top: int) -> tuple[Floats, Places]:
    """Return the distinct keys, ascending, and the place of each key among them, by a table."""
    places = np.zeros(top + 1, dtype=np.intp)
    for key in keys:
        places[int(key)] = 1
    n_keys = 0
    distinct = np.empty(min(keys.size, top + 1))
    for key in range(top + 1):
        if places[key]:
            places[key] = n_keys
            distinct[n_keys] = key
            n_keys += 1
    of_cell = np.empty(keys.size, dtype=np.intp)
    for cell in range(keys.size):
        of_cell[cell] = places[int(keys[cell])]
    return distinct[:n_keys].copy(), of_cell


@njit(cache=True, nogil=True)
def _ordered(of_cell: Places, n_keys: int) -> tuple[Places, Places]:
    """Return the cells by key, those of one key in their order, and where each key begins."""
    starts = np.zeros(n_keys + 1, dtype=np.intp)
    for key in of_cell:
        starts[key + 1] += 1
    for key in range(n_keys):
        starts[key + 1] += starts[key]
    order = np.empty(of_cell.size, dtype=np.intp)
    free = starts[:-1].copy()
    for cell in range(of_cell.size):
        order[free[of_cell[cell]]] = cell
        free[of_cell[cell]] += 1
    return order, starts


@njit(cache=True, nogil=True)
def _sum_groups(p: Floats, order: Places, starts: Places, sums: Floats) -> None:
    for matrix in range(len(p)):
        values = p[matrix]
        for key in range(starts.size - 1):
            first = starts[key]
            rest = starts[key + 1] - first - 1
            sums[matrix, key] = values[order[first]] + _halves(values, order, first + 1, rest)


@njit(cache=True, nogil=True)
def _halves(values: Floats, order: Places, start: int, n: int) -> float:
    """Return the sum of some values, parted in halves down to a few, which are added up in lanes."""
    if n > _LEAF:
        half = n // 2
        half -= half % _LANES
        return _halves(values, order, start, half) + _halves(values, order, start + half, n - half)
    lanes, whole = np.zeros(_LANES), n - n % _LANES
    for at in range(whole):
        lanes[at % _LANES] += values[order[start + at]]
    total: float = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))
    for at in range(start + whole, start + n):
        total += values[order[at]]
    return total
