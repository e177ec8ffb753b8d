"""Gabor filters in planes: waves under a Gaussian, in one direction or in all.

References
----------
IBSI 2 reference manual, "Gabor filters" (code Q88H), arXiv:2006.05470.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.boundary import Boundary, widened
from medpipe.kernels.fourier import fast_length, fft_of, known
from medpipe.kernels.laws import Pooling
from medpipe.types import Array
from medpipe.xp import backend_of

CUT = 6.0
"""Standard deviations after which the kernel ends: its weight is 1.5e-8 there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """The kernel ``exp(-(R1^2 + gamma^2 R2^2) / (2 sigma^2) + 2 pi i R1 / wavelength)``.

    ``R1 = x cos theta + y sin theta`` and ``R2 = -x sin theta + y cos theta``, in mm.

    Attributes
    ----------
    sigma_mm, wavelength_mm : float
        Standard deviation along the wave, and its length.
    gamma : float
        Standard deviation along the wave over that across it.
    angles_deg : tuple of float
        Directions theta whose responses are pooled.
    """

    sigma_mm: float
    wavelength_mm: float
    gamma: float
    angles_deg: tuple[float, ...]

    def reach(self, step_mm: float) -> int:
        """Return how far the kernel looks along an axis with a step, in voxels, in its widest direction."""
        return math.ceil(CUT * self.sigma_mm * max(1.0, 1.0 / self.gamma) / step_mm)


def gabor(
    x: Array,
    /,
    *,
    wave: Wave,
    spacing_mm: tuple[float, float, float],
    by_slice: bool,
    pooling: Pooling,
    boundary: Boundary,
) -> Array:
    """Return the modulus of the response to a wave, pooled over directions, and planes.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        What is missing (NaN) has the mean of its plane for its neighbours, and is missing in the result.
    wave : Wave
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.
    by_slice : bool
        In the planes of x and y alone; else in those of x and z and of y and z too, averaged over the three.
    pooling : {"max", "mean"}
        Over directions.
    boundary : {"constant", "nearest", "wrap", "reflect"}

    Returns
    -------
    array of float32 (z, y, x)
    """
    xp = backend_of(x).xp
    result = xp.zeros(x.shape, dtype=xp.float32)
    normals = (0,) if by_slice else (0, 1, 2)
    for normal in normals:
        # the first letter of x, y, z that is in the plane runs along the wave at 0 degrees: the last axis
        (_, row_mm), (_, column_mm) = ((axis, spacing_mm[axis]) for axis in range(3) if axis != normal)
        planes, made = xp.moveaxis(x, normal, 0), xp.moveaxis(result, normal, 0)
        plane_of = _Plane(planes[0], wave, (row_mm, column_mm), pooling, boundary)
        for place in range(len(planes)):
            made[place] += plane_of.response(planes[place]) / xp.float32(len(normals))
    return result


class _Plane:
    """Responses of planes of one size, whose kernels are transformed once."""

    def __init__(
        self, plane: Array, wave: Wave, spacing_mm: tuple[float, float], pooling: Pooling, boundary: Boundary
    ) -> None:
        xp = backend_of(plane).xp
        self._shape = plane.shape
        self._by = wave.reach(spacing_mm[0]), wave.reach(spacing_mm[1])
        self._size = tuple(fast_length(n + 2 * by) for n, by in zip(plane.shape, self._by, strict=True))
        self._pooling, self._boundary = pooling, boundary
        # a wave that runs the other way has the same modulus
        counts = Counter(round(angle % 180.0, 9) % 180.0 for angle in wave.angles_deg)
        self._shares = [count / len(wave.angles_deg) for count in counts.values()]
        self._kernels = [
            xp.asarray(_transfer(wave, math.radians(angle), spacing_mm, self._by, self._size)) for angle in counts
        ]

    def response(self, plane: Array) -> Array:
        """Return the pooled modulus over a plane."""
        xp, fft = backend_of(plane).xp, fft_of(plane)
        filled, missing = known(plane)
        wide = widened(filled, by=self._by, boundary=self._boundary)
        spectrum = fft.fft2(wide, self._size)
        inner = tuple(slice(by, by + n) for by, n in zip(self._by, self._shape, strict=True))
        result = None
        for share, kernel in zip(self._shares, self._kernels, strict=True):
            made = xp.abs(fft.ifft2(spectrum * kernel, overwrite_x=True)[inner])
            if self._pooling == "mean":
                made *= xp.float32(share)
            if result is None:
                result = made
            elif self._pooling == "max":
                xp.maximum(result, made, out=result)
            else:
                result += made
        assert result is not None
        if missing is not None:
            result[missing] = xp.nan
        return result


def _transfer(
    wave: Wave, theta: float, spacing_mm: tuple[float, float], by: tuple[int, int], size: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return the transform of the kernel of a direction, real since the kernel turned round is its conjugate."""
    row, column = (np.arange(-half, half + 1) * step for half, step in zip(by, spacing_mm, strict=True))
    along = column * math.cos(theta) + row[:, None] * math.sin(theta)
    across = -column * math.sin(theta) + row[:, None] * math.cos(theta)
    width = along**2 + (wave.gamma * across) ** 2
    kernel = np.exp(-0.5 * width / wave.sigma_mm**2 + 2j * math.pi / wave.wavelength_mm * along)
    placed = np.zeros(size, dtype=np.complex128)
    placed[np.ix_(np.arange(-by[0], by[0] + 1) % size[0], np.arange(-by[1], by[1] + 1) % size[1])] = kernel
    return np.ascontiguousarray(fft_of(placed).fft2(placed).real, dtype=np.float32)
