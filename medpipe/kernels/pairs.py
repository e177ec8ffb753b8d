"""Co-occurrence as pyradiomics measures it: at any distances, from both ends or one, averaged or weighted.

The matrices of :mod:`medpipe.kernels.glcm` are the standard's: symmetric, at distance 1. Here
rows and columns may differ, cells may be sums of weights, and there is a 24th feature.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels import cooccurrence
from medpipe.kernels.cooccurrence import levels_of, pair_measures
from medpipe.kernels.correlation import maximal_correlation
from medpipe.kernels.glcm import count_pairs
from medpipe.kernels.ranks import Directions, steps_in

Floats = NDArray[np.float64]

_KEYS = {
    "Autocorrelation": "auto_corr",
    "JointAverage": "joint_avg",
    "ClusterProminence": "clust_prom",
    "ClusterShade": "clust_shade",
    "ClusterTendency": "clust_tend",
    "Contrast": "contrast",
    "Correlation": "corr",
    "DifferenceAverage": "diff_avg",
    "DifferenceEntropy": "diff_entr",
    "DifferenceVariance": "diff_var",
    "JointEnergy": "energy",
    "JointEntropy": "joint_entr",
    "Imc1": "info_corr1",
    "Imc2": "info_corr2",
    "Idm": "inv_diff_mom",
    "MCC": "mcc",
    "Idmn": "inv_diff_mom_norm",
    "Id": "inv_diff",
    "Idn": "inv_diff_norm",
    "InverseVariance": "inv_var",
    "MaximumProbability": "joint_max",
    "SumAverage": "sum_avg",
    "SumEntropy": "sum_entr",
    "SumSquares": "joint_var",
}

NAMES = tuple(_KEYS)
"""Names that pyradiomics gives the features, in its order."""

CELLS_AT_ONCE = 2**23
"""Cells of matrices that are counted in one pass over a region."""


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
    matrices: Iterator[NDArray[Any]] = pair_matrices(padded, levels.size, directions=directions)
    if weights is not None:
        summed = np.zeros((levels.size, levels.size))
        for weight, matrix in zip(weights, matrices, strict=True):
            summed += weight * matrix
        matrices = iter([summed])
    common = levels_of(levels)
    rows: list[Floats] = []
    correlations: list[float] = []
    for from_one in matrices:
        matrix = from_one + from_one.T if symmetric else from_one
        found = pair_measures(matrix, common, symmetric=symmetric)
        if found is not None:
            rows.append(found)
            correlations.append(maximal_correlation(matrix, symmetric=symmetric))
    if not rows:
        return dict.fromkeys(NAMES, math.nan)
    mean = dict(zip(cooccurrence.NAMES, np.mean(rows, axis=0).tolist(), strict=True))
    mean["mcc"] = math.fsum(correlations) / len(correlations)
    return {name: mean[key] for name, key in _KEYS.items()}


def pair_matrices(
    padded: NDArray[np.uint16], n_levels: int, /, *, directions: Directions
) -> Iterator[NDArray[np.uint32]]:
    """Yield the counts of each direction (n_levels, n_levels), some counted in one go: those that fit into memory.

    Parameters
    ----------
    padded, directions
        As for :func:`pair_features`.
    n_levels : int

    Notes
    -----
    Rows are the levels that a step begins at: each pair counts from one end.
    """
    steps = steps_in(padded.shape, directions)
    together = max(CELLS_AT_ONCE // n_levels**2, 1)
    for first in range(0, len(steps), together):
        some = steps[first : first + together]
        counts = np.zeros((len(some), n_levels, n_levels), dtype=np.uint32)
        count_pairs(padded.reshape(-1), some.astype(np.uint64), counts)
        yield from counts
