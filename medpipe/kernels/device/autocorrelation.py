"""Moran's I and Geary's C by Fourier transforms on a device: see :mod:`medpipe.kernels.autocorrelation`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of

CELLS_AT_ONCE = 1 << 20
"""Cells of padded spectra that are multiplied at a time."""


def moran_geary(image: Array, mask: Array, /, *, spacing_mm: tuple[float, float, float]) -> tuple[float, float]:
    """Return Moran's I and Geary's C with weights 1 / distance over all pairs of voxels.

    Parameters
    ----------
    image : array of float (z, y, x)
    mask : array of bool (z, y, x)
    spacing_mm : (float, float, float)
        All as for :func:`medpipe.kernels.autocorrelation.moran_geary`.

    Returns
    -------
    moran, geary : float
        NaN for fewer than two voxels, or if all intensities are equal.

    Notes
    -----
    Of the box padded to twice its size a few frequencies of x are made at a time, by products with
    their waves, then all of z and y; what is multiplied and summed is gone before the next ones.
    """
    xp = backend_of(image).xp
    n = int(xp.count_nonzero(mask))
    if n < 2:
        return math.nan, math.nan
    inside = image[mask].astype(xp.float64)
    if bool(inside.min() == inside.max()):
        return math.nan, math.nan
    mean = float(inside.sum()) / n
    del inside
    deviation = xp.where(mask, image.astype(xp.float64) - mean, 0.0)
    scatter = float((deviation**2).sum())
    if scatter == 0.0:
        return math.nan, math.nan
    weights, squares, cross = _pair_sums(mask, deviation, spacing_mm)
    return n / weights * cross / scatter, (n - 1) / weights * (squares - cross) / scatter


def _pair_sums(mask: Array, deviation: Array, spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the weighted sums over pairs of voxels: of 1, of the square of the first deviation, of their product."""
    from scipy.fft import next_fast_len

    xp = backend_of(mask).xp
    depth, height, width = mask.shape
    z, y, x = (int(next_fast_len(2 * size - 1, real=True)) for size in mask.shape)
    values = [one.reshape(-1, width) for one in (mask.astype(xp.float64), deviation**2, deviation)]
    kernel = _inverse_distances((z, y, x), spacing_mm, xp)
    rows, columns = (xp.asarray(_offsets(size)) for size in (z, y))
    sums = np.zeros(3)
    step = max(CELLS_AT_ONCE // (z * y), 1)
    for first in range(0, x // 2 + 1, step):
        frequencies = xp.arange(first, min(first + step, x // 2 + 1))
        # the kernel is real and even, and so is its spectrum
        cosines, _ = _waves(kernel.shape[2], frequencies, x)
        weight = _first(kernel @ (cosines * _times(kernel.shape[2], x, xp)[:, None]))
        weight = xp.fft.fft2(weight[:, rows][:, :, columns]).real
        # frequencies of x stand for their negatives too
        weight *= _times(x // 2 + 1, x, xp)[frequencies][:, None, None]
        waves = _waves(width, frequencies, x)
        shape = (depth, height, frequencies.size)
        lines = ((one @ waves[0] - 1j * (one @ waves[1])).reshape(shape) for one in values)
        ones, squares, signed = (xp.fft.fft2(_first(one), s=(z, y)) for one in lines)
        for place, (a, b) in enumerate(((ones, ones), (squares, ones), (signed, signed))):
            product = a.real * b.real
            product += a.imag * b.imag
            product *= weight
            sums[place] += float(product.sum())
    weights, squared, cross = (sums / (z * y * x)).tolist()
    return weights, squared, cross


def _waves(places: int, frequencies: Array, period: int) -> tuple[Array, Array]:
    """Return cosines and sines (places, frequencies) of waves of so many turns in a period."""
    xp = backend_of(frequencies).xp
    angles = xp.arange(places)[:, None] * frequencies % period * (2.0 * math.pi / period)
    return xp.cos(angles), xp.sin(angles)


def _times(places: int, period: int, xp: Any) -> Array:
    """Return for how many places of an even sequence each of its first half stands: two, but for both its ends."""
    times = xp.full(places, 2.0)
    times[0] = 1.0
    if period % 2 == 0:
        times[-1] = 1.0
    return times


def _first(spectrum: Array) -> Array:
    """Return an array with its last axis first, in that order in memory."""
    xp = backend_of(spectrum).xp
    return xp.ascontiguousarray(xp.moveaxis(spectrum, 2, 0))


def _inverse_distances(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], xp: Any) -> Array:
    """Return 1 / distance from the first place of a periodic box, 0 there, for the places that differ along each axis."""
    z, y, x = ((xp.arange(size // 2 + 1) * step) ** 2 for size, step in zip(shape, spacing_mm, strict=True))
    distances = z[:, None, None] + y[:, None] + x
    distances[0, 0, 0] = math.inf
    xp.sqrt(distances, out=distances)
    return xp.divide(1.0, distances, out=distances)


def _offsets(size: int) -> NDArray[np.int64]:
    """Return how far each place of a periodic axis is from the first."""
    places = np.arange(size)
    return np.minimum(places, size - places)
