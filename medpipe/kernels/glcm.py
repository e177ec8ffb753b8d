"""Grey-level co-occurrence matrices and their features (IBSI family LFYI).

Counting is one pass over the region for all directions, and so is measuring a matrix over its cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels import cooccurrence
from medpipe.kernels.cooccurrence import levels_of, pair_measures
from medpipe.kernels.device import pairs
from medpipe.kernels.device.places import is_counted_there
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D, Aggregation, Directions, Ranks, Steps, steps_in
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy, to_numpy

Floats = NDArray[np.float64]
Counts = NDArray[np.uint32]

NAMES = (
    "joint_max", "joint_avg", "joint_var", "joint_entr", "diff_avg", "diff_var", "diff_entr", "sum_avg", "sum_var",
    "sum_entr", "energy", "contrast", "dissimilarity", "inv_diff", "inv_diff_norm", "inv_diff_mom",
    "inv_diff_mom_norm", "inv_var", "corr", "auto_corr", "clust_tend", "clust_shade", "clust_prom", "info_corr1",
    "info_corr2",
)  # fmt: skip
"""Names of the features, in the order of the standard."""


def glcm_features(ranks: Ranks, /, *, aggregations: tuple[Aggregation, ...]) -> dict[Aggregation, dict[str, float]]:
    """Return the 25 co-occurrence features of a region for each way of aggregation.

    Parameters
    ----------
    ranks : Ranks
    aggregations : tuple of str
        ``2D_avg`` (BTW3), ``2D_comb`` (SUJT), ``2_5D_avg`` (JJUI), ``2_5D_comb`` (ZW7Z),
        ``3D_avg`` (ITBB), ``3D_comb`` (IAZD).

    Returns
    -------
    dict of str to dict of str to float
        By aggregation, one value for each of :data:`NAMES`. Directions and slices without a
        pair are left out of averages; NaN if no pair is left.

    Notes
    -----
    IBSI reference manual, chapter "Grey level co-occurrence based features"; codes GYBY to
    JN9H. Matrices are symmetric, at distance 1 (Chebyshev).
    """
    if ranks.levels.size == 0:
        return {aggregation: dict.fromkeys(NAMES, math.nan) for aggregation in aggregations}
    found: dict[Aggregation, dict[str, float]] = {}
    if any(aggregation.startswith("3D") for aggregation in aggregations):
        counts = cooccurrences(ranks.padded, n_levels=ranks.levels.size, directions=DIRECTIONS_3D)
        if "3D_avg" in aggregations:
            found["3D_avg"] = _mean([matrix_features(counts, ranks.levels)])
        if "3D_comb" in aggregations:
            found["3D_comb"] = _merged(counts, ranks.levels)
    if any(aggregation.startswith("2") for aggregation in aggregations):
        found |= _by_slice(ranks)
    return {aggregation: found[aggregation] for aggregation in aggregations}


def distant_features(ranks: Ranks, /, *, distance: int, aggregations: tuple[Aggregation, ...]) -> dict[str, Any]:
    """Return the same features of pairs that are so many steps apart along a direction.

    Parameters
    ----------
    ranks : Ranks
    distance : int
        Steps, from 1; what lies between the two does not matter.
    aggregations : tuple of str
        Of :func:`glcm_features`, all but those over merged slices (2.5D).

    Returns
    -------
    dict of str to dict of str to float
        As :func:`glcm_features`.
    """
    # the partner of a voxel at the edge of the box must lie in the border
    inner, levels = ranks.padded, ranks.levels
    if not is_counted_there(inner.shape, distance - 1):
        inner = to_numpy(inner)
    padded = backend_of(inner).xp.pad(inner, distance - 1)
    in_space, in_slices = (_scaled(directions, distance) for directions in (DIRECTIONS_3D, DIRECTIONS_2D))
    found: dict[str, Any] = {}
    for aggregation in aggregations:
        if levels.size == 0:
            found[aggregation] = dict.fromkeys(NAMES, math.nan)
            continue
        if aggregation.startswith("3D"):
            counts = [cooccurrences(padded, n_levels=levels.size, directions=in_space)]
        else:
            planes = (padded[place : place + 1] for place in range(distance, len(padded) - distance))
            counts = [cooccurrences(plane, n_levels=levels.size, directions=in_slices) for plane in planes]
        if aggregation.endswith("comb"):
            counts = [matrices.sum(axis=0, keepdims=True, dtype=np.uint32) for matrices in counts]
        found[aggregation] = _mean([matrix_features(matrices, levels) for matrices in counts])
    return found


def _scaled(directions: Directions, distance: int) -> Directions:
    return tuple((z * distance, y * distance, x * distance) for z, y, x in directions)


def cooccurrences(padded: Array, /, *, n_levels: int, directions: Directions) -> Counts:
    """Return how often levels i and j are neighbours, for each direction.

    Parameters
    ----------
    padded : array of uint16 (z, y, x)
        Ranks 1 to ``n_levels``; 0 outside the region. The outermost voxels of an axis that
        directions move along are 0, as many as they move on.
    n_levels : int
    directions : tuple of (z, y, x)
        Steps from a voxel to its neighbour, at most as far along each axis as there is border.

    Returns
    -------
    NumPy array of uint32 (directions, n_levels, n_levels)
        Symmetric counts: each pair is counted from both its ends.
    """
    if is_cupy(padded):
        return pairs.cooccurrences(padded, n_levels=n_levels, directions=directions)
    counts: Counts = np.zeros((len(directions), n_levels, n_levels), dtype=np.uint32)
    count_pairs(padded.reshape(-1), steps_in(padded.shape, directions).astype(np.uint64), counts)
    for matrix in counts:
        np.add(matrix, matrix.T.copy(), out=matrix)
    return counts


def matrix_features(counts: Counts, levels: Array, /) -> Floats:
    """Return the features of each of a stack of co-occurrence matrices.

    Parameters
    ----------
    counts : array of uint32 (matrices, k, k)
        Symmetric counts.
    levels : array of int (k,)
        Grey level of each row, ascending; its last is the number of levels of the formulas.

    Returns
    -------
    array of float64 (25, matrices)
        In the order of :data:`NAMES`, without the matrices that are empty. Where there is one
        grey level only, correlation and the first information correlation are 1 and the second is 0.
    """
    common = levels_of(levels)
    rows = [row for matrix in counts if (row := pair_measures(matrix, common, symmetric=True)) is not None]
    found = np.empty((len(NAMES), len(rows)))
    measured = dict(zip(cooccurrence.NAMES, np.array(rows).reshape(-1, len(cooccurrence.NAMES)).T, strict=True))
    # the mean difference of two levels goes by two names
    measured["dissimilarity"] = measured["diff_avg"]
    measured["info_corr1"] = np.where(measured["joint_var"] > 0.0, measured["info_corr1"], 1.0)
    for place, name in enumerate(NAMES):
        found[place] = measured[name]
    return found


@njit(cache=True, nogil=True)
def count_pairs(padded: NDArray[np.uint16], steps: Steps, counts: Counts) -> None:
    """Count, for each step in memory, how often a rank (from 1) has another one there; 0 is no voxel."""
    for at in range(padded.size):
        # unsigned: an index that may be below 0 costs a test each time
        place = np.uint64(at)
        here = np.uint64(padded[place])
        if here > 0:
            for direction in range(np.uint64(steps.size)):
                there = np.uint64(padded[place + steps[direction]])
                if there > 0:
                    counts[direction, here - np.uint64(1), there - np.uint64(1)] += 1


def _by_slice(ranks: Ranks) -> dict[Aggregation, dict[str, float]]:
    averaged, combined = [], []
    levels = ranks.levels
    merged = np.zeros((len(DIRECTIONS_2D), levels.size, levels.size), dtype=np.uint32)
    for counts in _slices(ranks):
        averaged.append(matrix_features(counts, levels))
        combined.append(matrix_features(counts.sum(axis=0, keepdims=True, dtype=np.uint32), levels))
        merged += counts
    return {
        "2D_avg": _mean(averaged),
        "2D_comb": _mean(combined),
        "2_5D_avg": _mean([matrix_features(merged, levels)]),
        "2_5D_comb": _merged(merged, levels),
    }


def _slices(ranks: Ranks) -> Iterator[Counts]:
    if is_cupy(ranks.padded):
        yield from pairs.cooccurrences_by_slice(ranks.padded, n_levels=ranks.levels.size, directions=DIRECTIONS_2D)
        return
    for place in range(1, len(ranks.padded) - 1):
        plane = ranks.padded[place : place + 1]
        yield cooccurrences(plane, n_levels=ranks.levels.size, directions=DIRECTIONS_2D)


def _merged(counts: Counts, present: Array) -> dict[str, float]:
    return _mean([matrix_features(counts.sum(axis=0, keepdims=True, dtype=np.uint32), present)])


def _mean(stacks: list[Floats]) -> dict[str, float]:
    """Return the mean of each feature over all matrices that are not empty; NaN if none is."""
    found = stacks[0] if len(stacks) == 1 else np.concatenate(stacks, axis=1)
    if found.shape[1] == 0:
        return dict.fromkeys(NAMES, math.nan)
    return dict(zip(NAMES, found.mean(axis=1).tolist(), strict=True))
