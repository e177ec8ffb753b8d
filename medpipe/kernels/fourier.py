"""Fourier transforms of planes and volumes that may miss voxels."""

from __future__ import annotations

from typing import Any

from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy


def fft_of(x: Array, /) -> Any:
    """Return the module of Fourier transforms that keeps single precision where this array is."""
    if is_cupy(x):
        from cupyx.scipy import fft
    else:
        from scipy import fft
    return fft


def fast_length(size: int, /) -> int:
    """Return the shortest length from a size on that transforms quickly."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(size))


def known(x: Array, /) -> tuple[Array, Array | None]:
    """Return an image whose missing voxels (NaN) have the mean of the others, and where they are, or None.

    Parameters
    ----------
    x : array of float32

    Returns
    -------
    image : array of float32
        `x` itself where nothing is missing.
    missing : array of bool, or None
    """
    xp = backend_of(x).xp
    missing = xp.isnan(x)
    if not bool(missing.any()):
        return x, None
    there = int(missing.size - missing.sum())
    mean = float(xp.nansum(x, dtype=xp.float64)) / there if there else 0.0
    return xp.where(missing, xp.float32(mean), x), missing
