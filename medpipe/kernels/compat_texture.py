"""Runs, zones, dependences, tone differences and intensities by the rules and names of pyradiomics.

Counting is that of the standard's kernels; what differs is which directions and voxels take part.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.emphasis import Counts, Floats, emphases
from medpipe.kernels.glrlm import run_lengths
from medpipe.kernels.neighbours import TONE_NAMES, neighbourhoods, tone_features
from medpipe.kernels.ranks import Directions, Ranks, steps_in
from medpipe.kernels.statistics import intensity_statistics
from medpipe.kernels.sums import sum_of
from medpipe.kernels.zones import zone_matrices, zones_of

Ints = NDArray[np.int64]

RUN_NAMES = (
    "ShortRunEmphasis", "LongRunEmphasis", "LowGrayLevelRunEmphasis", "HighGrayLevelRunEmphasis",
    "ShortRunLowGrayLevelEmphasis", "ShortRunHighGrayLevelEmphasis", "LongRunLowGrayLevelEmphasis",
    "LongRunHighGrayLevelEmphasis", "GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized",
    "RunLengthNonUniformity", "RunLengthNonUniformityNormalized", "RunPercentage", "GrayLevelVariance",
    "RunVariance", "RunEntropy",
)  # fmt: skip
"""Names of the run-length features, in the order of :func:`medpipe.kernels.emphasis.emphases`."""

ZONE_NAMES = (
    "SmallAreaEmphasis", "LargeAreaEmphasis", "LowGrayLevelZoneEmphasis", "HighGrayLevelZoneEmphasis",
    "SmallAreaLowGrayLevelEmphasis", "SmallAreaHighGrayLevelEmphasis", "LargeAreaLowGrayLevelEmphasis",
    "LargeAreaHighGrayLevelEmphasis", "GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized",
    "SizeZoneNonUniformity", "SizeZoneNonUniformityNormalized", "ZonePercentage", "GrayLevelVariance",
    "ZoneVariance", "ZoneEntropy",
)  # fmt: skip
"""Names of the zone features, in the same order."""

DEPENDENCE_NAMES = (
    "SmallDependenceEmphasis", "LargeDependenceEmphasis", "LowGrayLevelEmphasis", "HighGrayLevelEmphasis",
    "SmallDependenceLowGrayLevelEmphasis", "SmallDependenceHighGrayLevelEmphasis",
    "LargeDependenceLowGrayLevelEmphasis", "LargeDependenceHighGrayLevelEmphasis", "GrayLevelNonUniformity", "",
    "DependenceNonUniformity", "DependenceNonUniformityNormalized", "", "GrayLevelVariance", "DependenceVariance",
    "DependenceEntropy",
)  # fmt: skip
"""Names of the dependence features, in the same order; without a name where it has none."""

TONES = tuple(name.capitalize() for name in TONE_NAMES)
"""Names of the tone difference features."""


def run_features(ranks: Ranks, /, *, directions: Directions, weights: Floats | None) -> dict[str, float]:
    """Return the run-length features of a region.

    Parameters
    ----------
    ranks : Ranks
    directions : tuple of (z, y, x)
        Steps to the next voxel of a run.
    weights : array of float64 (directions,), optional
        As for :func:`medpipe.kernels.pairs.pair_features`.

    Returns
    -------
    dict of str to float
        One value for each of :data:`RUN_NAMES`. Directions in which no line meets two voxels of
        the region take no part; NaN if none is left.
    """
    n_voxels = int(np.count_nonzero(ranks.padded))
    counts = run_lengths(ranks.padded, n_levels=ranks.levels.size, directions=directions)
    longest_runs = _longest(counts)
    # a run of two voxels says it at once
    has_line = [bool(length > 1) for length in longest_runs]
    if not all(has_line):
        places = np.argwhere(ranks.padded)
        has_line = [known or _has_line(places, step) for known, step in zip(has_line, directions, strict=True)]
    kept = np.flatnonzero(has_line)
    if kept.size == 0:
        return dict.fromkeys(RUN_NAMES, math.nan)
    longest = int(longest_runs.max())
    counts, lengths = counts[:, :, :longest], np.arange(1.0, longest + 1.0)
    if weights is None:
        rows = [emphases(counts[place], ranks.levels, lengths, n_voxels) for place in kept]
        return _named(RUN_NAMES, np.mean(rows, axis=0))
    merged: Any = np.tensordot(weights[kept], counts[kept], axes=1)
    weighed: Any = float(weights[kept].sum()) * n_voxels
    return _named(RUN_NAMES, emphases(merged, ranks.levels, lengths, weighed))


def zone_features(ranks: Ranks, /, *, in_slices: bool) -> dict[str, float]:
    """Return the size-zone features of a region.

    Parameters
    ----------
    ranks : Ranks
        Of a region that is not empty.
    in_slices : bool
        Whether zones stay within a slice (z); those of all slices are measured together.

    Returns
    -------
    dict of str to float
        One value for each of :data:`ZONE_NAMES`.
    """
    inside = ranks.padded[1:-1, 1:-1, 1:-1] > 0
    zones = zone_matrices(zones_of(ranks.padded, inside, in_slices=in_slices), n_levels=ranks.levels.size)
    return _named(ZONE_NAMES, emphases(zones.by_size, ranks.levels, zones.sizes, zones.n_voxels))


def neighbour_features(
    padded: NDArray[np.uint16], levels: Floats, /, *, directions: Directions, within: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the dependence and the tone difference features of a region.

    Parameters
    ----------
    padded : array of uint16 (z, y, x)
        Ranks of the levels; 0 outside the region, and as far from each end as directions reach.
    levels : array of float64 (k,)
        Grey level of each rank.
    directions : tuple of (z, y, x)
        Steps to the neighbours on one side; the opposite ones are meant as well.
    within : int
        Levels that a dependent neighbour may be away.

    Returns
    -------
    dict, dict
        One value for each of :data:`DEPENDENCE_NAMES` and of :data:`TONES`. Voxels without a
        neighbour count among those that do not differ.
    """
    counted = neighbourhoods(padded, levels, directions=directions)
    voxels = counted.dependence.sum(axis=1, dtype=np.int64)
    dependence = counted.dependence
    if within > 0:
        dependence = np.zeros_like(dependence)
        steps = steps_in(padded.shape, directions)
        values = np.concatenate([[-math.inf], levels])
        _depend(padded.reshape(-1), values, np.concatenate([-steps, steps]), float(within), dependence)
    sizes = np.arange(1.0, dependence.shape[1] + 1.0)
    found = emphases(dependence, levels, sizes, int(voxels.sum()))
    tone = tone_features(voxels, counted.difference, levels)
    return _named(DEPENDENCE_NAMES, found), _named(TONES, tone)


def first_order(
    values: NDArray[np.floating[Any]], levels: NDArray[np.integer[Any]], /, *, shift: float, voxel_mm3: float
) -> dict[str, float]:
    """Return the intensity features of a region.

    Parameters
    ----------
    values : array of float32 or float64 (n,), not empty
        Intensities; reduced in float64.
    levels : array of int (n,)
        Their grey levels, of which entropy and uniformity are.
    shift : float
        Added to intensities for energy, total energy and root mean square.
    voxel_mm3 : float
        Volume of a voxel, mm³; NaN where it is not known.

    Returns
    -------
    dict of str to float
        By the names of pyradiomics. Kurtosis is not the excess; of equal values it is 0.
    """
    found = intensity_statistics(values)
    shares = np.unique(levels, return_counts=True)[1] / levels.size
    energy = sum_of(values, lambda x: (x + shift) ** 2)
    return {
        "10Percentile": found["p10"],
        "90Percentile": found["p90"],
        "Energy": energy,
        "Entropy": abs(float((shares * np.log2(shares)).sum())),
        "InterquartileRange": found["iqr"],
        "Kurtosis": found["kurt"] + (3.0 if found["var"] > 0.0 else 0.0),
        "Maximum": found["max"],
        "MeanAbsoluteDeviation": found["mad"],
        "Mean": found["mean"],
        "Median": found["median"],
        "Minimum": found["min"],
        "Range": found["range"],
        "RobustMeanAbsoluteDeviation": found["rmad"],
        "RootMeanSquared": math.sqrt(energy / values.size),
        "Skewness": found["skew"],
        "TotalEnergy": energy * voxel_mm3,
        "Uniformity": float((shares**2).sum()),
        "Variance": found["var"],
    }


def _has_line(places: Ints, step: tuple[int, int, int]) -> bool:
    """Tell whether a line along a step of -1, 0 and 1 meets two of the places."""
    moving = next(axis for axis in range(3) if step[axis])
    along = places[:, moving] * step[moving]
    lines = places - along[:, None] * np.array(step)
    return len(np.unique(lines, axis=0)) < len(places)


@njit(cache=True, nogil=True)
def _longest(counts: Counts) -> Ints:
    """Return the length of the longest run in each direction."""
    found = np.zeros(len(counts), dtype=np.int64)
    for direction in range(len(counts)):
        for level in range(counts.shape[1]):
            for place in range(found[direction], counts.shape[2]):
                if counts[direction, level, place] > 0:
                    found[direction] = place + 1
    return found


@njit(cache=True, nogil=True)
def _depend(padded: NDArray[np.uint16], values: Floats, steps: Ints, within: float, counts: Counts) -> None:
    for place in range(padded.size):
        here = padded[place]
        if here > 0:
            near = 0
            for step in steps:
                near += abs(values[here] - values[padded[place + step]]) <= within
            counts[here - 1, near] += 1


def _named(names: tuple[str, ...], row: Floats) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, row, strict=False) if name}
