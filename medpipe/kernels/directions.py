"""Steps to neighbours at given distances, and what a step weighs."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.ranks import Directions

Norm = Literal["infinity", "euclidean", "manhattan", "no_weighting"]


def directions_at(distances: tuple[int, ...], /, *, flat_axis: int | None) -> Directions:
    """Return one of each two opposite steps (z, y, x) whose largest part is one of the distances.

    Parameters
    ----------
    distances : tuple of int
        Voxels, from 1.
    flat_axis : int, optional
        Axis that no step moves along.
    """
    most = max(distances)
    sides = [range(1) if axis == flat_axis else range(-most, most + 1) for axis in range(3)]
    steps = ((z, y, x) for z in sides[0] for y in sides[1] for x in sides[2])
    return tuple(step for step in steps if step > (0, 0, 0) and max(map(abs, step)) in distances)


def lengths_mm(directions: Directions, /, *, norm: Norm, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the length of each step in mm by a norm; 1 for each without weighting."""
    parts = np.abs(np.array(directions, dtype=np.float64)) * spacing_mm
    if norm == "infinity":
        lengths = parts.max(axis=1)
    elif norm == "manhattan":
        lengths = parts.sum(axis=1)
    elif norm == "euclidean":
        lengths = np.array([math.hypot(*part) for part in parts])
    else:
        lengths = np.ones(len(parts))
    return np.asarray(lengths, dtype=np.float64)
