"""Grey levels among their neighbours: tone difference and dependence (IBSI families IPET and REK0)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.device import neighbours as on_device
from medpipe.kernels.emphasis import Counts, Floats, emphases
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D, Directions, Ranks, Way, means, steps_in
from medpipe.types import Array
from medpipe.xp import is_cupy

TONE_NAMES = ("coarseness", "contrast", "busyness", "complexity", "strength")
"""Names of the tone difference features, in the order of the standard."""

DEPENDENCE_NAMES = (
    "lde", "hde", "lgce", "hgce", "ldlge", "ldhge", "hdlge", "hdhge", "glnu", "glnu_norm", "dcnu", "dcnu_norm",
    "dc_perc", "gl_var", "dc_var", "dc_entr", "dc_energy",
)  # fmt: skip
"""Names of the dependence features, in the order of the standard."""

MOST_COARSE = 1e6
"""Coarseness where no level differs from its neighbours."""


class NeighbourFeatures(NamedTuple):
    """Tone difference and dependence features, for each way of aggregation."""

    tone: dict[Way, dict[str, float]]
    dependence: dict[Way, dict[str, float]]


class Neighbourhoods(NamedTuple):
    """What is counted of the neighbourhoods of a region.

    ``voxels`` (k,) counts the voxels of each level that have a neighbour in the region,
    ``difference`` (k,) sums how far they are from the mean of their neighbours, and
    ``dependence`` (k, neighbours + 1) counts all voxels by their neighbours of the same level.
    """

    voxels: NDArray[np.int64]
    difference: Floats
    dependence: Counts


def neighbour_features(ranks: Ranks, /, *, ways: tuple[Way, ...]) -> NeighbourFeatures:
    """Return the 5 tone difference and the 17 dependence features for each way of aggregation.

    Parameters
    ----------
    ranks : Ranks
    ways : tuple of str
        ``2D`` (8QNN), ``2_5D`` (62GR), ``3D`` (KOBO).

    Returns
    -------
    NeighbourFeatures
        One value for each of :data:`TONE_NAMES` and :data:`DEPENDENCE_NAMES`. Slices without a
        voxel are left out of averages, for tone differences also those where no voxel has a
        neighbour; NaN if nothing is left.

    Notes
    -----
    IBSI reference manual, chapters "Neighbourhood grey tone difference based features" (codes
    QCDE to 1X9X, doi:10.1109/21.44046) and "Neighbouring grey level dependence based features"
    (SODN to CAS9, doi:10.1016/0734-189X(83)90032-4). Neighbours are at Chebyshev distance 1; one
    is dependent if its level is the same.
    """
    found = NeighbourFeatures({}, {})
    if "3D" in ways:
        _put(found, "3D", ranks, [neighbourhoods(ranks.padded, ranks.levels, directions=DIRECTIONS_3D)])
    if "2D" in ways or "2_5D" in ways:
        merged = _none(ranks.levels.size, DIRECTIONS_2D)
        # Going through the slices fills what is merged.
        _put(found, "2D", ranks, _slices(ranks, merged))
        _put(found, "2_5D", ranks, [merged])
    return NeighbourFeatures(
        tone={way: found.tone[way] for way in ways}, dependence={way: found.dependence[way] for way in ways}
    )


def neighbourhoods(padded: Array, levels: Floats, /, *, directions: Directions) -> Neighbourhoods:
    """Count the neighbourhoods of a region.

    Parameters
    ----------
    padded : array of uint16 (z, y, x)
        Ranks of the levels; 0 outside the region. The outermost voxels of an axis that
        directions move along are 0.
    levels : array of float64 (k,)
        Grey level of each rank, a whole number.
    directions : tuple of (z, y, x)
        Steps to the neighbours on one side; the opposite ones are meant as well.
    """
    if is_cupy(padded):
        return Neighbourhoods(*on_device.neighbourhoods(padded, levels, directions=directions))
    steps = steps_in(padded.shape, directions)
    counted = _none(levels.size, directions)
    # The sum of levels and how many they are go together in one number, the latter in its lowest
    # bits; outside the region adds nothing to either.
    bits = (2 * len(directions)).bit_length()
    table = np.zeros(levels.size + 1, dtype=np.int64)
    table[1:] = (levels.astype(np.int64) << bits) + 1
    if levels.max(initial=0.0) < 2 ** (31 - 2 * bits):
        table = table.astype(np.int32)
    values = np.concatenate([[0.0], levels])
    _count(padded, (table[padded].reshape(-1), bits), values, np.concatenate([-steps, steps]), counted)
    return counted


def tone_features(voxels: NDArray[np.int64], difference: Floats, levels: Floats, /) -> Floats:
    """Return the tone difference features of one matrix, in the order of :data:`TONE_NAMES`.

    Parameters
    ----------
    voxels, difference, levels : arrays (k,)
        Voxels with a neighbour, summed differences and grey level of each rank.

    Returns
    -------
    array of float64 (5,)
        NaN if no voxel has a neighbour. Without any difference coarseness is 1e6 and the others
        are 0, as contrast and busyness are for a single level.
    """
    some = voxels > 0
    total = int(voxels.sum())
    if total == 0:
        return np.full(len(TONE_NAMES), math.nan)
    return _tone(voxels[some] / total, difference[some], levels[some], total)


@njit(cache=True, nogil=True)
def _count(
    padded: NDArray[np.uint16],
    summands: tuple[NDArray[np.signedinteger[Any]], int],
    values: Floats,
    steps: NDArray[np.int64],
    counted: Neighbourhoods,
) -> None:
    """Count row by row: each neighbour of all voxels of a row at once."""
    depth, height, width = padded.shape
    summed, bits = summands
    ranks = padded.reshape(-1)
    total, equal = np.empty(width - 2, dtype=summed.dtype), np.empty(width - 2, dtype=np.uint16)
    for row in range(depth * height):
        first, last = row * width + 1, (row + 1) * width - 1
        here = ranks[first:last]
        if not here.any():
            continue
        total[:], equal[:] = 0, 0
        for step in steps:
            there, summand = ranks[first + step : last + step], summed[first + step : last + step]
            for x in range(here.size):
                equal[x] += there[x] == here[x]
            for x in range(here.size):
                total[x] += summand[x]
        for x in range(here.size):
            if here[x] == 0:
                continue
            rank, around = here[x] - 1, total[x] & ((1 << bits) - 1)
            counted.dependence[rank, equal[x]] += 1
            if around > 0:
                counted.voxels[rank] += 1
                counted.difference[rank] += abs(values[here[x]] - (total[x] >> bits) / around)


@njit(cache=True, nogil=True)
def _tone(p: Floats, s: Floats, levels: Floats, n_voxels: int) -> Floats:
    result = np.zeros(5)
    n_levels = p.size
    weighted = (p * s).sum()
    summed = s.sum()
    result[0] = min(1.0 / weighted, MOST_COARSE) if weighted > 0.0 else MOST_COARSE
    spread = apart = complexity = strength = 0.0
    for i in range(n_levels):
        # Each pair once; the sums of the standard meet it twice.
        for j in range(i):
            gap = levels[i] - levels[j]
            spread += 2.0 * p[i] * p[j] * gap**2
            apart += 2.0 * abs(levels[i] * p[i] - levels[j] * p[j])
            complexity += 2.0 * gap * (p[i] * s[i] + p[j] * s[j]) / (p[i] + p[j])
            strength += 2.0 * (p[i] + p[j]) * gap**2
    if n_levels > 1:
        result[1] = spread / (n_levels * (n_levels - 1)) * summed / n_voxels
        result[2] = weighted / apart if apart > 0.0 else 0.0
    result[3] = complexity / n_voxels
    result[4] = strength / summed if summed > 0.0 else 0.0
    return result


def _none(n_levels: int, directions: Directions) -> Neighbourhoods:
    return Neighbourhoods(
        voxels=np.zeros(n_levels, dtype=np.int64),
        difference=np.zeros(n_levels),
        dependence=np.zeros((n_levels, 2 * len(directions) + 1), dtype=np.uint32),
    )


def _slices(ranks: Ranks, merged: Neighbourhoods) -> Iterator[Neighbourhoods]:
    """Yield slice by slice, and add each to what is merged."""
    for one in _each(ranks):
        merged.voxels[:] += one.voxels
        merged.difference[:] += one.difference
        merged.dependence[:] += one.dependence
        yield one


def _each(ranks: Ranks) -> Iterator[Neighbourhoods]:
    if is_cupy(ranks.padded):
        for one in on_device.neighbourhoods_by_slice(ranks.padded, ranks.levels, directions=DIRECTIONS_2D):
            yield Neighbourhoods(*one)
        return
    for place in range(1, len(ranks.padded) - 1):
        yield neighbourhoods(ranks.padded[place : place + 1], ranks.levels, directions=DIRECTIONS_2D)


def _put(found: NeighbourFeatures, way: Way, ranks: Ranks, parts: Iterable[Neighbourhoods]) -> None:
    tone, dependence = [], []
    for part in parts:
        tone.append(tone_features(part.voxels, part.difference, ranks.levels))
        sizes = np.arange(1.0, part.dependence.shape[1] + 1.0)
        dependence.append(emphases(part.dependence, ranks.levels, sizes, int(part.dependence.sum())))
    found.tone[way] = means(TONE_NAMES, tone)
    found.dependence[way] = means(DEPENDENCE_NAMES, dependence)
