"""Gaussian smoothing with a width in mm."""

from __future__ import annotations

from medpipe.types import Array
from medpipe.xp import backend_of

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


def gaussian(x: Array, /, *, sigma_mm: float, spacing_mm: tuple[float, float, float]) -> Array:
    """Smooth an array with a Gaussian window; beyond the border the edge voxel goes on.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    sigma_mm : float
        Standard deviation, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of float32 (z, y, x)

    Notes
    -----
    ``w_k ~ exp(-(k s / sigma)^2 / 2)`` for ``|k|`` up to :func:`gaussian_radius`, normalised to
    sum 1, one axis after the other. It is the library's own filter: SciPy and CuPy are as fast
    as their memory here.
    """
    backend = backend_of(x)
    sigma = [sigma_mm / step for step in spacing_mm]
    return backend.ndi.gaussian_filter(x, sigma, output=backend.xp.float32, mode="nearest", truncate=TRUNCATE)
