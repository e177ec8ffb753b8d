"""Total-variation denoising by Chambolle's projection, a fixed number of steps.

``min_u sum |grad u| + |u - f|^2 / (2 w)`` through its dual field p: ``u = f + div p`` and
``p <- (p - tau grad u) / (1 + tau |grad u| / w)`` with ``tau = 1/6``. A stopping test on the
energy would look at the whole array and make blocks differ from the whole; the number of
steps is fixed instead, and news travels one voxel a step.

References
----------
A. Chambolle, J. Math. Imaging Vis. 20 (2004) 89-97, doi:10.1023/B:JMIV.0000011325.36760.1e
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

Floats = NDArray[np.float32]

STEP = 1.0 / 6.0
"""Length of a step, 1 / (2 x number of axes)."""


def total_variation(x: Array, /, *, weight: float, iterations: int) -> Array:
    """Return the array with its total variation reduced.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    weight : float
        Strength, in the unit of the image: steps well below it are flattened.
    iterations : int
        Number of steps, from 1 (which returns the input's values).

    Returns
    -------
    array of float32 (z, y, x)

    Notes
    -----
    Voxels count as cubes, whatever the spacing. The result at a voxel depends on voxels less
    than ``iterations`` away.
    """
    if is_cupy(x):
        return chambolle(x, weight=weight, iterations=iterations)
    image = np.ascontiguousarray(x, np.float32)
    dual = np.zeros((3, *image.shape), np.float32)
    result = np.empty_like(image)
    _chambolle(image, dual, np.float32(STEP), np.float32(STEP / weight), iterations - 1, result)
    return result


def chambolle(x: Array, /, *, weight: float, iterations: int) -> Array:
    """Return what :func:`total_variation` does, as whole-array arithmetic.

    The body for CuPy, and on NumPy the oracle of the compiled one. Beside its input it holds
    six arrays of the input's size.
    """
    xp = backend_of(x).xp
    dual = xp.zeros((3, *x.shape), dtype=xp.float32)
    primal = xp.array(x, dtype=xp.float32)
    norm = xp.empty_like(primal)
    slope = xp.empty_like(primal)
    for _ in range(iterations - 1):
        norm.fill(0)
        for axis in range(3):
            _slope(primal, axis, slope)
            slope *= slope
            norm += slope
        xp.sqrt(norm, out=norm)
        norm *= STEP / weight
        norm += 1
        for axis in range(3):
            _slope(primal, axis, slope)
            slope *= STEP
            dual[axis] -= slope
            dual[axis] /= norm
        xp.copyto(primal, x)
        for axis in range(3):
            primal -= dual[axis]
            primal[_part(axis, slice(1, None))] += dual[axis][_part(axis, slice(None, -1))]
    return primal


def _slope(primal: Array, axis: int, slope: Array) -> None:
    ahead, behind = _part(axis, slice(1, None)), _part(axis, slice(None, -1))
    slope[_part(axis, slice(-1, None))] = 0
    slope[behind] = primal[ahead]
    slope[behind] -= primal[behind]


def _part(axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if place == axis else slice(None) for place in range(3))


@njit(cache=True, nogil=True)
def _chambolle(  # noqa: PLR0917  # rows of one sweep; Numba has no keyword-only parameters
    image: Floats, dual: Floats, tau: np.float32, ratio: np.float32, updates: int, result: Floats
) -> None:
    # One sweep does a step: plane z + 1 of u is made before plane z of p changes.
    n_z, n_y, n_x = image.shape
    nothing = np.zeros(n_x, np.float32)
    scale = np.empty(n_x, np.float32)
    planes = np.empty((2, n_y, n_x), np.float32)
    for _ in range(updates):
        _primal_plane(image, dual, 0, nothing, planes[0])
        for z in range(n_z):
            here, ahead = planes[z & 1], planes[(z + 1) & 1]
            if z + 1 < n_z:
                _primal_plane(image, dual, z + 1, nothing, ahead)
            else:
                ahead = here
            _dual_plane(dual, z, here, ahead, tau, ratio, scale)
    for z in range(n_z):
        _primal_plane(image, dual, z, nothing, result[z])


@njit(cache=True, nogil=True)
def _primal_plane(image: Floats, dual: Floats, z: int, nothing: Floats, plane: Floats) -> None:
    for y in range(image.shape[1]):
        above = dual[0, z - 1, y] if z > 0 else nothing
        before = dual[1, z, y - 1] if y > 0 else nothing
        _primal_row(image[z, y], dual[0, z, y], above, dual[1, z, y], before, dual[2, z, y], plane[y])


@njit(cache=True, nogil=True)
def _primal_row(  # noqa: PLR0917  # rows of one sweep; Numba has no keyword-only parameters
    f: Floats, p_z: Floats, above: Floats, p_y: Floats, before: Floats, p_x: Floats, u: Floats
) -> None:
    u[0] = f[0] - (p_z[0] - above[0]) - (p_y[0] - before[0]) - p_x[0]
    for i in range(1, f.size):
        u[i] = f[i] - (p_z[i] - above[i]) - (p_y[i] - before[i]) - (p_x[i] - p_x[i - 1])


@njit(cache=True, nogil=True)
def _dual_plane(  # noqa: PLR0917  # rows of one sweep; Numba has no keyword-only parameters
    dual: Floats, z: int, here: Floats, ahead: Floats, tau: np.float32, ratio: np.float32, scale: Floats
) -> None:
    n_y = here.shape[0]
    for y in range(n_y):
        below = here[min(y + 1, n_y - 1)]
        _scale_row(here[y], below, ahead[y], ratio, scale)
        _dual_row(dual[0, z, y], here[y], ahead[y], tau, scale)
        _dual_row(dual[1, z, y], here[y], below, tau, scale)
        _dual_row(dual[2, z, y], here[y], here[y, 1:], tau, scale)


# Without the NumPy error model a test for division by zero stands in the way of vectors.
@njit(cache=True, nogil=True, error_model="numpy")
def _scale_row(u: Floats, below: Floats, ahead: Floats, ratio: np.float32, scale: Floats) -> None:
    one = np.float32(1)
    last = u.size - 1
    for i in range(last):
        g_z, g_y, g_x = ahead[i] - u[i], below[i] - u[i], u[i + 1] - u[i]
        scale[i] = one / (one + ratio * math.sqrt(g_z * g_z + g_y * g_y + g_x * g_x))
    g_z, g_y = ahead[last] - u[last], below[last] - u[last]
    scale[last] = one / (one + ratio * math.sqrt(g_z * g_z + g_y * g_y))


@njit(cache=True, nogil=True)
def _dual_row(p: Floats, u: Floats, beyond: Floats, tau: np.float32, scale: Floats) -> None:
    for i in range(beyond.size):
        p[i] = (p[i] - tau * (beyond[i] - u[i])) * scale[i]
