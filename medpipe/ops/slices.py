"""Places among slices with uneven steps: by number of the slice, and by the affine, whose step is the mean one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Geometry

Floats = NDArray[np.float64]


def along_affine(places: Floats, geometry: Geometry, /) -> Floats:
    """Return places among slices, counted in slices, as multiples of the affine's step.

    Parameters
    ----------
    places : array of float64
        0 is the first slice; from one slice before the first to one behind the last.
    geometry : Geometry

    Returns
    -------
    array of float64, same shape
        The places themselves where steps are even. Beyond the ends the last step goes on.
    """
    steps = _steps(geometry)
    if steps is None:
        return places
    return np.asarray(np.interp(places, np.arange(-1.0, len(steps) - 1.0), steps))


def among_slices(steps: Floats, geometry: Geometry, /) -> Floats:
    """Return the opposite of :func:`along_affine`: multiples of the affine's step counted in slices."""
    known = _steps(geometry)
    if known is None:
        return steps
    return np.asarray(np.interp(steps, known, np.arange(-1.0, len(known) - 1.0)))


def _steps(geometry: Geometry) -> Floats | None:
    """Return where each slice lies by the affine's step, and one more at either end; None for even steps."""
    positions = geometry.slice_positions_mm
    depth = geometry.spatial_shape[0]
    if positions is None or depth < 2:
        return None
    steps = (np.array(positions) - positions[0]) / (positions[-1] - positions[0]) * (depth - 1)
    return np.array([2 * steps[0] - steps[1], *steps, 2 * steps[-1] - steps[-2]])
