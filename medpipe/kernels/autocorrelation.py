"""Moran's I and Geary's C of a region, exactly, by Fourier transform in pieces."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.device import autocorrelation as on_device
from medpipe.kernels.sums import mean_of, sum_of
from medpipe.types import Array
from medpipe.xp import is_cupy

Floats = NDArray[np.float64]
Spectrum = NDArray[np.complex128]
Spacing = tuple[float, float, float]

_BYTES_A_FREQUENCY = 160
"""What one frequency of x takes for each line along x, at most."""

_LEAST_BYTES = 2**20
_PARTS = 8
_LEAST_CELLS = 1 << 13
"""Cells of a spectrum that are worth a part of their own."""


def moran_geary(image: Array, mask: Array, /, *, spacing_mm: Spacing) -> tuple[float, float]:
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
    transforms of twice the box. IBSI codes N365 and NPT7.
    """
    if is_cupy(image):
        return on_device.moran_geary(image, mask, spacing_mm=spacing_mm)
    values = image[mask]
    if values.size < 2 or values.min() == values.max():
        return math.nan, math.nan
    n, mean = values.size, mean_of(values)
    scatter = sum_of(values, lambda x: (x - mean) ** 2)
    del values
    if scatter == 0.0:
        return math.nan, math.nan
    weights, cross, squares = _pair_sums(image, mask, mean, spacing_mm)
    return n / weights * cross / scatter, (n - 1) / weights * (squares - cross) / scatter


def moran_geary_bytes(shape: tuple[int, int, int], /, *, most_voxels: int) -> int:
    """Return the bytes that :func:`moran_geary` takes, beside the region's values in a row.

    Parameters
    ----------
    shape : (int, int, int)
        Of the largest box of a region.
    most_voxels : int
        Of a box that is measured.
    """
    z, y, x = (shape[axis] for axis in _axes_in_order(shape))
    return max(_most_bytes(min(z * y * x, most_voxels)), _BYTES_A_FREQUENCY * z * y) + 60 * (y + 1) * (x + 1) + 2**16


def _pair_sums(image: Array, mask: Array, mean: float, spacing_mm: Spacing) -> tuple[float, float, float]:
    """Return three sums over all pairs of voxels of a region, weighted by 1 / distance.

    They are of 1, of the product of both deviations from the mean, and of the square of one.

    The box is padded to twice its size, so that no pair is counted around the corner. Spectra of
    that size would be most of what a case holds: of all frequencies along x only some are made at a
    time, and of those along y again; what is multiplied and summed is gone before the next.
    """
    from scipy.fft import next_fast_len

    order = _axes_in_order(image.shape)
    steps_mm = tuple(spacing_mm[axis] for axis in order)
    image, mask = image.transpose(order), mask.transpose(order)
    depth, height, width = image.shape
    # even, so that the kernel's spectrum is one of cosines
    z, y, x = (2 * int(next_fast_len(size, real=True)) for size in image.shape)
    at_once = max(_most_bytes(image.size) // (_BYTES_A_FREQUENCY * depth * height), 1)
    sums = np.zeros(3)
    for first in range(0, x // 2 + 1, at_once):
        frequencies = np.arange(first, min(first + at_once, x // 2 + 1))
        spectra = _spectra(image, mask, mean, _waves(frequencies, np.arange(width), x), y)
        _add_part(spectra, _kernel((z, y, x), steps_mm, frequencies), sums)
        del spectra
    weights, cross, squares = (float(one) / (z * y * x) for one in sums)
    return weights, cross, squares


def _spectra(image: Array, mask: Array, mean: float, waves: tuple[Floats, Floats], y: int) -> list[Spectrum]:
    """Return mask, deviations from the mean and their squares transformed along x, and to a length of y."""
    from scipy.fft import fft

    shape = (*image.shape[:2], len(waves[0]))
    lines = [np.empty(shape, dtype=np.complex128) for _ in range(3)]
    for z, (plane, inside) in enumerate(zip(image, mask, strict=True)):
        made = lines[0][z], lines[1][z], lines[2][z]
        _along_lines(np.ascontiguousarray(plane), np.ascontiguousarray(inside), mean, waves, made)
        del made
    # each is let go as soon as it is transformed
    return [fft(lines.pop(0), n=y, axis=1) for _ in range(3)]


def _add_part(spectra: list[Spectrum], kernel: Floats, sums: Floats) -> None:
    """Add the products of spectra to three sums, some frequencies of y at a time."""
    from scipy.fft import fft

    z, y = 2 * (kernel.shape[0] - 1), spectra[0].shape[1]
    part = max(-(-y // _PARTS), _LEAST_CELLS // (z * kernel.shape[2]))
    for start in range(0, y, part):
        _add_weighed(tuple(fft(one[:, start : start + part], n=z, axis=0) for one in spectra), kernel, start, sums)


def _most_bytes(voxels: int) -> int:
    """Return what frequencies made at a time may take: twice the box in float32."""
    return max(8 * voxels, _LEAST_BYTES)


def _axes_in_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes with the longest one last, as they are where the last one is nearly as long."""
    if 2 * shape[-1] >= max(shape):
        return 0, 1, 2
    return tuple(int(axis) for axis in np.argsort(shape, kind="stable"))


def _waves(frequencies: NDArray[np.int64], places: NDArray[np.int64], period: int) -> tuple[Floats, Floats]:
    """Return cosines and sines (frequencies, places) of waves of so many turns in a period."""
    angles = (frequencies[:, None] * places % period) * (2.0 * math.pi / period)
    return np.cos(angles), np.sin(angles)


def _kernel(shape: tuple[int, int, int], spacing_mm: tuple[float, ...], frequencies: NDArray[np.int64]) -> Floats:
    """Return the spectrum of 1 / distance, 0 at 0, at some frequencies of x: (z / 2 + 1, y / 2 + 1, frequencies).

    It is real and even, so the others along z and y are the same again.
    """
    from scipy.fft import dct

    n_z, n_y, n_x = (size // 2 + 1 for size in shape)
    squares = [(np.arange(n) * step) ** 2 for n, step in zip((n_z, n_y, n_x), spacing_mm, strict=True)]
    waves = _waves(frequencies, np.arange(n_x), shape[2])[0].T.copy()
    # all but the first and the last place come twice in a period
    waves[1:-1] *= 2.0
    spectrum = np.empty((n_z, n_y, frequencies.size))
    for z, square in enumerate(squares[0]):
        weights = np.add.outer(squares[1] + square, squares[2])
        if z == 0:
            weights[0, 0] = math.inf
        np.sqrt(weights, out=weights)
        np.divide(1.0, weights, out=weights)
        np.matmul(weights, waves, out=spectrum[z])
    # at the first and last of frequencies that are their own opposites waves count once
    times = np.where((frequencies == 0) | (2 * frequencies == shape[2]), 1.0, 2.0)
    return np.asarray(dct(dct(spectrum, type=1, axis=0, overwrite_x=True), type=1, axis=1, overwrite_x=True) * times)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _along_lines(
    image: Array, mask: Array, mean: float, waves: tuple[Floats, Floats], made: tuple[Spectrum, Spectrum, Spectrum]
) -> None:
    """Transform mask, deviations from the mean and their squares of a plane along x at some frequencies."""
    cosines, sines = waves
    region, deviation, square = made
    height, width = image.shape
    ones, apart = np.empty(width), np.empty(width)
    for y in range(height):
        some = 0
        for x in range(width):
            inside = mask[y, x]
            some += inside
            ones[x] = 1.0 if inside else 0.0
            apart[x] = float(image[y, x]) - mean if inside else 0.0
        for k in range(len(cosines)):
            a = b = c = d = e = f = 0.0
            if some > 0:
                for x in range(width):
                    cosine, sine, away = cosines[k, x], sines[k, x], apart[x]
                    a += cosine * ones[x]
                    b += sine * ones[x]
                    c += cosine * away
                    d += sine * away
                    e += cosine * (away * away)
                    f += sine * (away * away)
            region[y, k] = complex(a, -b)
            deviation[y, k] = complex(c, -d)
            square[y, k] = complex(e, -f)


@njit(cache=True, nogil=True)
def _add_weighed(spectra: tuple[Spectrum, ...], kernel: Floats, start: int, sums: Floats) -> None:
    """Add products of spectra at all frequencies of z, and those of y from ``start`` on, to three sums."""
    region, deviation, square = spectra
    n_z, n_y = 2 * (kernel.shape[0] - 1), 2 * (kernel.shape[1] - 1)
    for z in range(n_z):
        for at in range(region.shape[1]):
            y = start + at
            weights = kernel[min(z, n_z - z), min(y, n_y - y)]
            a = b = c = 0.0
            for k in range(weights.size):
                m, u, v = region[z, at, k], deviation[z, at, k], square[z, at, k]
                a += weights[k] * (m.real * m.real + m.imag * m.imag)
                b += weights[k] * (u.real * u.real + u.imag * u.imag)
                c += weights[k] * (v.real * m.real + v.imag * m.imag)
            sums[0] += a
            sums[1] += b
            sums[2] += c
