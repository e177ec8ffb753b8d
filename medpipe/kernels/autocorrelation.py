"""Moran's I and Geary's C of a region, exactly, by Fourier transform."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.device import autocorrelation as on_device
from medpipe.types import Array
from medpipe.xp import is_cupy

Floats = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

_PARTS = 16

_LEAST_CELLS = 1 << 14
"""Cells of a spectrum that are worth a part of their own."""


def moran_geary(image: Array, mask: Array, /, *, spacing_mm: tuple[float, float, float]) -> tuple[float, float]:
    """Return Moran's I and Geary's C with weights 1 / distance over all pairs of voxels.

    Parameters
    ----------
    image : array (z, y, x)
        Intensities.
    mask : array of bool (z, y, x)
        The region.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    moran, geary : float
        NaN for fewer than two voxels, or if all intensities are equal.

    Notes
    -----
    With ``z = x - mean`` inside the region and 0 outside, the mask ``m`` and ``w`` the kernel
    1/d (0 at d = 0): ``W = sum m (w*m)`` is the sum of weights, ``cross = sum z (w*z)``,

    - ``I = n / W * cross / sum z²``
    - ``C = (n - 1) / (2 W) * (2 sum z² (w*m) - 2 cross) / sum z²``

    Each sum of products is read off the spectra by Parseval's theorem, so the O(n²) pairs cost
    four transforms of twice the box. IBSI codes N365 and NPT7.
    """
    if is_cupy(image):
        return on_device.moran_geary(image, mask, spacing_mm=spacing_mm)
    n = int(np.count_nonzero(mask))
    if n < 2:
        return math.nan, math.nan
    inside = image[mask].astype(np.float64)
    deviation = np.zeros(mask.shape)
    deviation[mask] = inside - inside.mean()
    scatter = float((deviation**2).sum())
    if inside.min() == inside.max() or scatter == 0.0:
        return math.nan, math.nan
    pairs = _PairSums(mask.shape, spacing_mm)
    region = pairs.half(mask.astype(np.float64))
    weights = pairs.total(region, region)
    squares = pairs.total(pairs.half(deviation**2), region)
    del region
    signed = pairs.half(deviation)
    cross = pairs.total(signed, signed)
    return n / weights * cross / scatter, (n - 1) / weights * (squares - cross) / scatter


class _PairSums:
    """Sums over all pairs of voxels of a box, weighted by 1 / distance.

    The box is padded to twice its size, so that no pair is counted around the corner. Spectra
    of that size would be most of what a case holds: arrays are transformed along x and z, and
    along y only a few frequencies of z at a time, where they are multiplied and summed.
    """

    def __init__(self, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> None:
        from scipy.fft import next_fast_len

        z, y, x = (int(next_fast_len(2 * size - 1, real=True)) for size in shape)
        self._shape = z, y, x
        self._weights = self._half_of_weights(spacing_mm)
        self._times = np.full(x // 2 + 1, 2.0)
        self._times[0] = 1.0
        if x % 2 == 0:
            self._times[-1] = 1.0

    def half(self, values: Floats) -> Spectrum:
        """Return the spectrum along x and z of values that stand in a corner of the padded box."""
        from scipy.fft import fft, rfft

        return np.asarray(fft(rfft(values, self._shape[2], axis=2), self._shape[0], axis=0, overwrite_x=True))

    def total(self, a: Spectrum, b: Spectrum) -> float:
        """Return the sum over pairs of ``a(p) w(p, q) b(q)``."""
        lines = np.empty(self._shape[:2])
        for part in self._parts():
            first = self._whole(a[part])
            second = first if a is b else self._whole(b[part])
            product = first.real * second.real
            product += first.imag * second.imag
            # the kernel is real and even, and so is its spectrum
            product *= self._whole(self._weights[part][:, self._offsets(1)]).real
            lines[part] = product @ self._times
        return float(lines.sum()) / math.prod(self._shape)

    def _whole(self, part: Spectrum) -> Spectrum:
        from scipy.fft import fft

        return np.asarray(fft(part, self._shape[1], axis=1))

    def _parts(self) -> Iterator[slice]:
        step = max(-(-self._shape[0] // _PARTS), _LEAST_CELLS // (self._shape[1] * self._times.size))
        for start in range(0, self._shape[0], step):
            yield slice(start, start + step)

    def _half_of_weights(self, spacing_mm: tuple[float, float, float]) -> Spectrum:
        """Return the spectrum along x and z of 1 / distance, for the rows of y that differ."""
        from scipy.fft import fft, rfft

        squares = [(self._offsets(axis) * step) ** 2 for axis, step in enumerate(spacing_mm)]
        n_z, n_y = (size // 2 + 1 for size in self._shape[:2])
        distance = squares[0][:n_z, None, None] + squares[1][:n_y, None] + squares[2]
        distance[0, 0, 0] = math.inf
        np.sqrt(distance, out=distance)
        np.divide(1.0, distance, out=distance)
        return np.asarray(fft(rfft(distance, axis=2)[self._offsets(0)], axis=0, overwrite_x=True))

    def _offsets(self, axis: int) -> NDArray[np.int64]:
        """Return how far each place along an axis is from the first, around the corner if that is nearer."""
        return np.minimum(np.arange(self._shape[axis]), self._shape[axis] - np.arange(self._shape[axis]))
