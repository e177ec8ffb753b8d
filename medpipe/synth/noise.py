"""Noise as the machines make it: correlated Gaussian (CT, PET) and Rician (MR)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from medpipe.synth.shapes import Floats


def correlated(
    rng: np.random.Generator, shape: tuple[int, ...], *, sigma: float, correlation_voxels: tuple[float, ...]
) -> Floats:
    """Return Gaussian noise with spatial correlation, as reconstruction filters leave it.

    Parameters
    ----------
    rng : Generator
    shape : tuple of int
    sigma : float
        Standard deviation of the result, exact over the array, in the image's unit.
    correlation_voxels : tuple of float
        Standard deviation of the smoothing kernel along each axis, voxels.

    Returns
    -------
    array of float32 and ``shape``, with mean near 0.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, correlation_voxels, mode="wrap")
    scaled: Floats = smooth * np.float32(sigma / float(smooth.std(dtype=np.float64)))
    return scaled


def rician(rng: np.random.Generator, signal: Floats, *, sigma: float) -> Floats:
    """Return the magnitude of a complex signal with Gaussian noise on both channels.

    sqrt((S + n1)^2 + n2^2) with n1, n2 ~ N(0, sigma): Rician where there is signal, Rayleigh in
    air (Gudbjartsson & Patz 1995, doi:10.1002/mrm.1910340618).

    Parameters
    ----------
    rng : Generator
    signal : array of float32
        Noise-free magnitude.
    sigma : float
        Standard deviation per channel, in the unit of ``signal``.
    """
    real = signal + np.float32(sigma) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(sigma) * rng.standard_normal(signal.shape, dtype=np.float32)
    magnitude: Floats = np.hypot(real, imaginary)
    return magnitude
