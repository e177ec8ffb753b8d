"""Regions that grow from seeds: connected voxels within limits, given or learnt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medpipe.kernels.components import looked_up
from medpipe.kernels.labels import Neighbours, structure
from medpipe.types import Array
from medpipe.xp import backend_of

Place = tuple[int, int, int]


def grown(x: Array, seeds: Sequence[Place], /, *, low: float, high: float, neighbours: Neighbours = 6) -> Array:
    """Return the voxels within limits that a path of such voxels leads to from a seed.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        NaN is outside.
    seeds : sequence of (int, int, int)
        Places (z, y, x); one outside the limits starts nothing.
    low, high : float
        Least and greatest value.
    neighbours : {6, 18, 26}

    Returns
    -------
    array of bool (z, y, x)
    """
    backend = backend_of(x)
    labels, count = backend.ndi.label((x >= low) & (x <= high), structure=structure(neighbours))
    wanted = np.zeros(int(count) + 1, dtype=bool)
    wanted[[int(labels[seed]) for seed in seeds]] = True
    wanted[0] = False
    return looked_up(backend.xp.asarray(wanted), labels)


def grown_by_confidence(
    x: Array, seeds: Sequence[Place], /, *, radius: int, multiplier: float, iterations: int
) -> Array:
    """Return what grows from seeds within ``mean ± multiplier sd`` of what grew before.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        NaN is outside.
    seeds : sequence of (int, int, int)
        Finite voxels.
    radius : int
        The first mean and deviation are those of cubes around the seeds, of this half edge in
        voxels; beyond the border the edge voxel goes on.
    multiplier : float
        Deviations around the mean that are within.
    iterations : int
        How often mean and deviation are taken of what grew, and it grows again.

    Returns
    -------
    array of bool (z, y, x)

    Notes
    -----
    The rule of ITK's ConfidenceConnectedImageFilter: face neighbours, the sample's variance, and
    limits that the seeds' own values are always within.
    """
    xp = backend_of(x).xp
    own = [float(x[seed]) for seed in seeds]
    around = np.concatenate([_cube(x, seed, radius) for seed in seeds])
    low, high = _limits(around, own, multiplier)
    mask = grown(x, seeds, low=low, high=high)
    for _ in range(iterations):
        low, high = _limits(x[mask], own, multiplier)
        again = grown(x, seeds, low=low, high=high)
        if bool(xp.array_equal(again, mask)):
            break
        mask = again
    return mask


def _cube(x: Array, seed: Place, radius: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    reach = range(-radius, radius + 1)
    places = [
        tuple(min(max(at + step, 0), size - 1) for at, step, size in zip(seed, steps, x.shape, strict=True))
        for steps in np.stack(np.meshgrid(reach, reach, reach), axis=-1).reshape(-1, 3).tolist()
    ]
    values = np.array([float(x[place]) for place in places])
    return np.asarray(values[np.isfinite(values)])


def _limits(values: Array, own: Sequence[float], multiplier: float) -> tuple[float, float]:
    mean = float(values.mean(dtype=np.float64))
    deviation = float(values.std(dtype=np.float64, ddof=1)) if values.size > 1 else 0.0
    reach = multiplier * deviation
    return min(mean - reach, *own), max(mean + reach, *own)
