"""Grey-level run-length matrices and their features (IBSI family TP0I)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.device import runs
from medpipe.kernels.emphasis import Counts, Floats, emphases
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D, Aggregation, Directions, Ranks, Steps, means, steps_in
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

NAMES = (
    "sre", "lre", "lgre", "hgre", "srlge", "srhge", "lrlge", "lrhge", "glnu", "glnu_norm", "rlnu", "rlnu_norm",
    "r_perc", "gl_var", "rl_var", "rl_entr",
)  # fmt: skip
"""Names of the features, in the order of the standard."""


def glrlm_features(ranks: Ranks, /, *, aggregations: tuple[Aggregation, ...]) -> dict[Aggregation, dict[str, float]]:
    """Return the 16 run-length features of a region for each way of aggregation.

    Parameters
    ----------
    ranks : Ranks
    aggregations : tuple of str
        ``2D_avg`` (BTW3), ``2D_comb`` (SUJT), ``2_5D_avg`` (JJUI), ``2_5D_comb`` (ZW7Z),
        ``3D_avg`` (ITBB), ``3D_comb`` (IAZD).

    Returns
    -------
    dict of str to dict of str to float
        By aggregation, one value for each of :data:`NAMES`. Slices without a voxel are left out
        of averages; NaN for an empty region.

    Notes
    -----
    IBSI reference manual, chapter "Grey level run length based features"; codes 22OV to HJ9O.
    A run is of one level, without a gap, within the region. The run percentage of merged
    matrices counts the voxels once for each of them.
    """
    found: dict[Aggregation, dict[str, float]] = {}
    if any(aggregation.startswith("3D") for aggregation in aggregations):
        found |= _in_space(ranks)
    if any(aggregation.startswith("2") for aggregation in aggregations):
        found |= _by_slice(ranks)
    return {aggregation: found[aggregation] for aggregation in aggregations}


def run_lengths(padded: Array, /, *, n_levels: int, directions: Directions) -> Counts:
    """Return how many runs of each level have each length, for each direction.

    Parameters
    ----------
    padded : array of uint16 (z, y, x)
        Ranks 1 to ``n_levels``; 0 outside the region. The outermost voxels of an axis that
        directions move along are 0.
    n_levels : int
    directions : tuple of (z, y, x)
        Steps from a voxel to a neighbour that comes after it.

    Returns
    -------
    NumPy array of uint32 (directions, n_levels, longest axis)
        Runs of length 1 come first.
    """
    if is_cupy(padded):
        return runs.run_lengths(padded, n_levels=n_levels, directions=directions)
    steps = steps_in(padded.shape, directions)
    counts = np.zeros((len(steps), n_levels, max(padded.shape)), dtype=np.uint32)
    # Lengths are kept as far back as a direction reaches; a power of two makes their places cheap.
    lengths = np.zeros((1 << int(steps.max()).bit_length(), len(steps)), dtype=np.uint16)
    _count(padded.reshape(-1), steps.astype(np.uint64), counts, lengths)
    return counts


@njit(cache=True, nogil=True)
def _count(padded: NDArray[np.uint16], steps: Steps, counts: Counts, lengths: NDArray[np.uint16]) -> None:
    last = np.uint64(lengths.shape[0] - 1)
    for at in range(padded.size):
        # unsigned: an index that may be below 0 costs a test each time
        place = np.uint64(at)
        here = padded[place]
        if here == 0:
            continue
        level = np.uint64(here) - np.uint64(1)
        for direction in range(np.uint64(steps.size)):
            before, after = place - steps[direction], place + steps[direction]
            # A run goes on or begins, and is counted where it ends: without a branch, since
            # neighbours that may or may not be equal are what a processor cannot foresee.
            length = (lengths[before & last, direction] + 1) * (padded[before] == here)
            lengths[place & last, direction] = length
            counts[direction, level, np.uint64(length)] += padded[after] != here


def _in_space(ranks: Ranks) -> dict[Aggregation, dict[str, float]]:
    counts = run_lengths(ranks.padded, n_levels=ranks.levels.size, directions=DIRECTIONS_3D)
    n_voxels = _voxels(ranks.padded)
    return {
        "3D_avg": means(NAMES, _each(counts, ranks.levels, n_voxels)),
        "3D_comb": means(NAMES, [_merged(counts, ranks.levels, n_voxels)]),
    }


def _by_slice(ranks: Ranks) -> dict[Aggregation, dict[str, float]]:
    averaged: list[Floats] = []
    combined: list[Floats] = []
    _, y, x = ranks.padded.shape
    merged = np.zeros((len(DIRECTIONS_2D), ranks.levels.size, max(y, x)), dtype=np.uint32)
    for counts, n_voxels in _slices(ranks):
        if n_voxels == 0:
            continue
        averaged += _each(counts, ranks.levels, n_voxels)
        combined.append(_merged(counts, ranks.levels, n_voxels))
        merged += counts
    in_all = _voxels(ranks.padded)
    return {
        "2D_avg": means(NAMES, averaged),
        "2D_comb": means(NAMES, combined),
        "2_5D_avg": means(NAMES, _each(merged, ranks.levels, in_all)),
        "2_5D_comb": means(NAMES, [_merged(merged, ranks.levels, in_all)]),
    }


def _slices(ranks: Ranks) -> Iterator[tuple[Counts, int]]:
    if is_cupy(ranks.padded):
        yield from runs.run_lengths_by_slice(ranks.padded, n_levels=ranks.levels.size, directions=DIRECTIONS_2D)
        return
    for place in range(1, len(ranks.padded) - 1):
        plane = ranks.padded[place : place + 1]
        yield run_lengths(plane, n_levels=ranks.levels.size, directions=DIRECTIONS_2D), _voxels(plane)


def _voxels(padded: Array) -> int:
    return int(backend_of(padded).xp.count_nonzero(padded))


def _each(counts: Counts, levels: Floats, n_voxels: int) -> Iterator[Floats]:
    lengths = np.arange(1.0, counts.shape[2] + 1.0)
    for matrix in counts:
        yield emphases(matrix, levels, lengths, n_voxels)


def _merged(counts: Counts, levels: Floats, n_voxels: int) -> Floats:
    summed = counts.sum(axis=0, keepdims=True, dtype=np.uint32)
    return next(_each(summed, levels, n_voxels * len(counts)))
