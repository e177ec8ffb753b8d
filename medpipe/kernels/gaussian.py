"""Gaussian smoothing with a width in mm.

The window is separable and symmetric. On the host one plane of the result at a time is made:
sums along z over the planes around it, then along y and x while that plane is in the cache, so
that the volume is read from memory once and written once.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.slabs import within
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

Floats = NDArray[np.float32]

TRUNCATE = 4.0
"""The window ends after this many standard deviations."""


def gaussian_radius(*, sigma_mm: float, spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return the half-width of the window in voxels along (z, y, x).

    Parameters
    ----------
    sigma_mm : float
        Standard deviation, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.
    """
    z, y, x = (int(TRUNCATE * (sigma_mm / step) + 0.5) for step in spacing_mm)
    return z, y, x


def gaussian(
    x: Array, /, *, sigma_mm: float, spacing_mm: tuple[float, float, float], planes: tuple[int, int] | None = None
) -> Array:
    """Smooth an array with a Gaussian window; beyond the border the edge voxel goes on.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    sigma_mm : float
        Standard deviation, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.
    planes : (int, int), optional
        The first plane to make and the one after the last; all if not given.

    Returns
    -------
    array of float32 (z, y, x)
        So many planes.

    Notes
    -----
    ``w_k ~ exp(-(k s / sigma)^2 / 2)`` for ``|k|`` up to :func:`gaussian_radius`, normalised to
    sum 1, one axis after the other, in float32.
    """
    sigma = [sigma_mm / step for step in spacing_mm]
    first, last = (0, len(x)) if planes is None else planes
    radius = gaussian_radius(sigma_mm=sigma_mm, spacing_mm=spacing_mm)
    if is_cupy(x):
        backend = backend_of(x)
        part, inner = within(x, first, last, reach=radius[0])
        wide = backend.ndi.gaussian_filter(part, sigma, output=backend.xp.float32, mode="nearest", truncate=TRUNCATE)
        return wide[inner]
    along_z, along_y, along_x = (_half_window(one, reach) for one, reach in zip(sigma, radius, strict=True))
    result = np.empty((last - first, *x.shape[1:]), np.float32)
    _gaussian(np.ascontiguousarray(x, np.float32), first, (along_z, along_y, along_x), result)
    return result


def _half_window(sigma: float, radius: int) -> Floats:
    """Return the weights from the middle of a window to its end."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray((weights / weights.sum())[radius:], np.float32)


@njit(cache=True, nogil=True)
def _gaussian(x: Floats, first: int, windows: tuple[Floats, Floats, Floats], result: Floats) -> None:
    n_z, n_y, n_x = x.shape
    along_z, along_y, along_x = windows
    reach = along_x.size - 1
    plane = np.empty((n_y, n_x), np.float32)
    row = np.empty(n_x + 2 * reach, np.float32)
    middle = row[reach : reach + n_x]
    for z in range(first, first + len(result)):
        for y in range(n_y):
            _begin(x[z, y], along_z[0], plane[y])
            for k in range(1, along_z.size):
                _add(x[max(z - k, 0), y], x[min(z + k, n_z - 1), y], along_z[k], plane[y])
        for y in range(n_y):
            _begin(plane[y], along_y[0], middle)
            for k in range(1, along_y.size):
                _add(plane[max(y - k, 0)], plane[min(y + k, n_y - 1)], along_y[k], middle)
            row[:reach] = middle[0]
            row[reach + n_x :] = middle[n_x - 1]
            made = result[z - first, y]
            _begin(middle, along_x[0], made)
            for k in range(1, along_x.size):
                _add(row[reach - k :], row[reach + k :], along_x[k], made)


@njit(cache=True, nogil=True)
def _begin(x: Floats, weight: np.float32, out: Floats) -> None:
    for place in range(out.size):
        out[place] = weight * x[place]


@njit(cache=True, nogil=True)
def _add(before: Floats, after: Floats, weight: np.float32, out: Floats) -> None:
    for place in range(out.size):
        out[place] += weight * (before[place] + after[place])
