"""Slope and curvature of an image smoothed with a Gaussian window: edges and what they enclose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medpipe.kernels.components import TOUCHING, looked_up
from medpipe.kernels.gaussian import gaussian
from medpipe.types import Array
from medpipe.xp import backend_of

Spacing = tuple[float, float, float]


def slope(x: Array, /, *, sigma_mm: float, spacing_mm: Spacing) -> Array:
    """Return the length of the gradient of a smoothed image.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        Finite; beyond the border the edge voxel goes on.
    sigma_mm : float
        Standard deviation of the window, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of float32 (z, y, x)
        Per mm: central differences of the smoothed image, at the border one-sided.
    """
    smooth = gaussian(x, sigma_mm=sigma_mm, spacing_mm=spacing_mm)
    total = backend_of(x).xp.zeros_like(smooth)
    for axis, step_mm in enumerate(spacing_mm):
        part = _difference(smooth, axis)
        part /= part.dtype.type(step_mm)
        part *= part
        total += part
        del part
    return backend_of(x).xp.sqrt(total, out=total)


def curvature(x: Array, /, *, sigma_mm: float, spacing_mm: Spacing) -> Array:
    """Return the Laplacian of a smoothed image; it is below 0 within what is brighter than around it.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        Finite; beyond the border the edge voxel goes on.
    sigma_mm : float
        Standard deviation of the window, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of float32 (z, y, x)
        Per mm².

    Notes
    -----
    Second differences of the smoothed image: exactly 0 where the image is flat, whatever its level.
    Sampled second derivatives of a narrow window do not sum to 0, and their zero crossings move
    with the level (D. Marr, E. Hildreth, Proc. R. Soc. B 207 (1980) 187-217,
    doi:10.1098/rspb.1980.0020).
    """
    smooth = gaussian(x, sigma_mm=sigma_mm, spacing_mm=spacing_mm)
    total = backend_of(x).xp.zeros_like(smooth)
    for axis, step_mm in enumerate(spacing_mm):
        part = _second_difference(smooth, axis)
        part /= part.dtype.type(step_mm**2)
        total += part
        del part
    return total


def connected_to_strong(weak: Array, strong: Array, /, *, around: NDArray[np.bool_] = TOUCHING) -> Array:
    """Return the components of what is weak that hold something strong: hysteresis.

    Parameters
    ----------
    weak : array of bool (z, y, x)
    strong : array of bool, same shape
        Within `weak`.
    around : array of bool (3, 3, 3)
        Neighbours that are connected; 26 if not given.

    Returns
    -------
    array of bool (z, y, x)
    """
    backend = backend_of(weak)
    xp = backend.xp
    labels, count = backend.ndi.label(weak, structure=around)
    wanted = xp.zeros(int(count) + 1, dtype=bool)
    for place in range(weak.shape[0]):
        wanted[labels[place][strong[place]]] = True
    wanted[0] = False
    return looked_up(wanted, labels)


def without_gaps(x: Array, /) -> Array:
    """Return an image whose voxels that are not finite have its least value; itself where all are."""
    xp = backend_of(x).xp
    known = xp.isfinite(x)
    if bool(known.all()):
        return x
    least = xp.where(known, x, xp.float32(np.inf)).min()
    return xp.where(known, x, least if bool(xp.isfinite(least)) else xp.float32(0.0))


def _difference(x: Array, axis: int) -> Array:
    """Return differences along an axis: of both neighbours, halved, at the ends of one."""
    xp = backend_of(x).xp
    result = xp.zeros_like(x)
    if x.shape[axis] > 1:
        source, into = xp.moveaxis(x, axis, 0), xp.moveaxis(result, axis, 0)
        into[1:-1] = (source[2:] - source[:-2]) / xp.float32(2.0)
        into[0], into[-1] = source[1] - source[0], source[-1] - source[-2]
    return result


def _second_difference(x: Array, axis: int) -> Array:
    """Return second differences along an axis; beyond the ends the edge voxel goes on."""
    xp = backend_of(x).xp
    result = xp.zeros_like(x)
    source, into = xp.moveaxis(x, axis, 0), xp.moveaxis(result, axis, 0)
    into[:-1] = source[1:] - source[:-1]
    into[1:] -= source[1:] - source[:-1]
    return result
