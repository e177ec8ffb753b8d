"""Gabor filters in a slice: a bank of frequencies and directions, as two passes along the axes each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of

STANDARD_DEVIATIONS = 3
"""How far a filter reaches."""

Taps = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Real and imaginary part of a filter along an axis."""


def spread_of(frequency: float, bandwidth: float) -> float:
    """Return the standard deviation in pixels of a filter of a frequency (per pixel) and bandwidth (octaves)."""
    octaves = math.pow(2.0, bandwidth)
    return math.sqrt(math.log(2.0) / 2.0) / math.pi * (octaves + 1.0) / (octaves - 1.0) / frequency


def reach_of(frequency: float, bandwidth: float) -> int:
    """Return how many pixels around a pixel a filter of any direction looks at, at most."""
    return max(math.ceil(STANDARD_DEVIATIONS * spread_of(frequency, bandwidth)), 1)


def gabor_size(plane: Array, /, *, frequency: float, angle: float, bandwidth: float) -> Array:
    """Return the size of a Gabor filter's complex response.

    Parameters
    ----------
    plane : array (..., y, x)
        Without NaN; at its borders the image is mirrored, the edge pixel twice.
    frequency : float
        Of the wave, per pixel.
    angle : float
        Of the wave's direction, in radians from the x axis towards y.
    bandwidth : float
        In octaves.

    Returns
    -------
    array of float64 (..., y, x)

    Notes
    -----
    The kernel is a round Gaussian times a plane wave, so it is a product of one along x and one
    along y. Same samples as ``skimage.filters.gabor_kernel``.
    """
    spread = spread_of(frequency, bandwidth)
    across, down = math.cos(angle), math.sin(angle)
    far = STANDARD_DEVIATIONS * spread
    side = math.ceil(max(abs(far * across), abs(far * down), 1.0))
    along_x, along_y = (_taps(side, spread, frequency * part) for part in (across, down))
    xp = backend_of(plane).xp
    wide = plane.astype(xp.float64)
    real, imaginary = (_passed(wide, taps, axis=-1) for taps in along_x)
    cosine, sine = along_y
    found = xp.square(_passed(real, cosine, axis=-2) - _passed(imaginary, sine, axis=-2))
    found += xp.square(_passed(real, sine, axis=-2) + _passed(imaginary, cosine, axis=-2))
    return xp.sqrt(found, out=found)


def _taps(side: int, spread: float, frequency: float) -> Taps:
    places = np.arange(-side, side + 1, dtype=np.float64)
    bell = np.exp(-0.5 * (places / spread) ** 2) / (math.sqrt(2.0 * math.pi) * spread)
    return bell * np.cos(2.0 * math.pi * frequency * places), bell * np.sin(2.0 * math.pi * frequency * places)


def _passed(plane: Array, taps: NDArray[np.float64], *, axis: int) -> Array:
    backend = backend_of(plane)
    return backend.ndi.convolve1d(plane, backend.xp.asarray(taps), axis=axis, mode="reflect")
