"""Total-variation denoising by Chambolle's projection, a fixed number of steps.

``min_u sum |grad u| + |u - f|^2 / (2 w)`` through its dual field p: ``u = f + div p`` and
``p <- (p - tau grad u) / (1 + tau |grad u| / w)`` with ``tau = 1/6``. A stopping test on the
energy would look at the whole array and make blocks differ from the whole; the number of
steps is fixed instead, and news travels one voxel a step.

On the host some steps at a time are done in one strip of rows after the other, so that the dual
field is read from memory once for all of them. On a device a step is one kernel, which reads the image
and one dual field and writes another (``cuda/total_variation.cu``).

References
----------
A. Chambolle, J. Math. Imaging Vis. 20 (2004) 89-97, doi:10.1023/B:JMIV.0000011325.36760.1e
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.launching import EXACT, launch, tiles, wide
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

Floats = NDArray[np.float32]

STEP = 1.0 / 6.0
"""Length of a step, 1 / (2 x number of axes)."""

TOGETHER = 4
"""Steps that one sweep over a strip does."""

_THREADS = (32, 8)
_DEEP = 16
"""Planes that a thread of a device makes: one more is read beside them."""

_STRIP = 4096
"""Voxels of a plane's part in a strip: what several steps need of several planes stays in the cache."""


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
        return _on_device(x, weight=weight, iterations=iterations)
    image = np.ascontiguousarray(x, np.float32)
    dual = np.zeros((3, *image.shape), np.float32)
    result = np.empty_like(image)
    _chambolle(image, dual, np.float32(STEP), np.float32(STEP / weight), iterations - 1, result)
    return result


ON_DEVICE_BYTES = 20
"""Of a voxel: what :func:`total_variation` takes on a device beside its result, the rest of two dual fields."""


def scratch_bytes(shape: tuple[int, int, int]) -> int:
    """Return what :func:`total_variation` takes on the host beside result and dual field.

    Parameters
    ----------
    shape : (int, int, int)
        Of the array (z, y, x).
    """
    z, y, x = shape
    rows = _rows_of_a_strip(x)
    strips = 8 * TOGETHER * (rows + TOGETHER + 1) * x + (rows + TOGETHER) * x
    return strips + 8 * TOGETHER * z * x + 4 * y * x


def _on_device(x: Array, *, weight: float, iterations: int) -> Array:
    xp = backend_of(x).xp
    image = xp.ascontiguousarray(x, dtype=xp.float32)
    if iterations == 1:
        return image.copy()
    sizes = tuple(np.int32(n) for n in image.shape)
    blocks = tiles(image.shape, (_DEEP, *_THREADS[::-1]))
    step = (np.float32(STEP), np.float32(STEP / weight), np.int32(_DEEP))
    dual = [xp.zeros(image.shape, dtype=xp.float32) for _ in range(3)]
    other = [xp.empty(image.shape, dtype=xp.float32) for _ in range(3)]
    for _ in range(iterations - 1):
        launch(
            image,
            "total_variation.chambolle_step",
            blocks=blocks,
            threads=_THREADS,
            arguments=(image, *dual, *other, *sizes, *step),
            constants=wide(image),
            options=EXACT,
        )
        dual, other = other, dual
    launch(
        image,
        "total_variation.chambolle_image",
        blocks=blocks,
        threads=_THREADS,
        arguments=(image, *dual, other[0], *sizes, np.int32(_DEEP)),
        constants=wide(image),
        options=EXACT,
    )
    return other[0]


@njit(cache=True, nogil=True)
def _chambolle(  # noqa: PLR0917  # rows of one sweep; Numba has no keyword-only parameters
    image: Floats, dual: Floats, tau: np.float32, ratio: np.float32, updates: int, result: Floats
) -> None:
    n_z, n_y, n_x = image.shape
    high = _rows_of_a_strip(n_x)
    planes = np.empty((TOGETHER, 2, (high + TOGETHER + 1) * n_x), np.float32)
    # rows of u between two strips: those that the strip before has left, and those of this one
    edges = np.zeros((2, TOGETHER, n_z, n_x), np.float32)
    ends = np.zeros((high + TOGETHER) * n_x, np.bool_)
    ends[n_x - 1 :: n_x] = True
    nothing = np.zeros(n_y * n_x, np.float32)
    for done in range(0, updates, TOGETHER):
        steps = min(TOGETHER, updates - done)
        for y in range(0, n_y, high):
            _strip(image, dual, (y, min(y + high, n_y), steps), (tau, ratio), (nothing, ends), planes, edges)
            edges[0] = edges[1]
    for z in range(n_z):
        _primal(image, dual, z, (0, n_y), nothing, result[z].reshape(-1))


@njit(cache=True, nogil=True)
def _rows_of_a_strip(n_x: int) -> int:
    return max(TOGETHER, _STRIP // n_x)


@njit(cache=True, nogil=True)
def _strip(  # noqa: PLR0917  # rows of one sweep; Numba has no keyword-only parameters
    image: Floats,
    dual: Floats,
    where: tuple[int, int, int],
    sizes: tuple[np.float32, np.float32],
    constants: tuple[Floats, NDArray[np.bool_]],
    planes: Floats,
    edges: Floats,
) -> None:
    """Do some steps in the rows of a strip while they are in the cache.

    Each step is one plane behind the one before it and one row further up, where what it needs
    of the dual field has had all steps before it and no other.
    """
    n_z, n_y, n_x = image.shape
    low, high, steps = where
    nothing, ends = constants
    known = 1 if low > 0 else 0
    for front in range(n_z + steps):
        for step in range(steps):
            z = front - step
            first, last = low - step * known, high - step if high < n_y else n_y
            behind, here = planes[step, (z - 1) & 1], planes[step, z & 1]
            if 0 <= z < n_z:
                if known:
                    here[:n_x] = edges[0, step, z]
                _primal(image, dual, z, (first + known, min(last + 1, n_y)), nothing, here[known * n_x :])
                end = (last - first) * n_x
                if high < n_y:
                    edges[1, step, z] = here[end : end + n_x]
                else:
                    # beyond the last row there is no slope
                    here[end : end + n_x] = here[end - n_x : end]
            if 0 < z <= n_z:
                _dual(dual, z - 1, (first, last), behind, here if z < n_z else behind, sizes, ends)


@njit(cache=True, nogil=True)
def _primal(  # noqa: PLR0917  # rows of one sweep; Numba has no keyword-only parameters
    image: Floats, dual: Floats, z: int, rows: tuple[int, int], nothing: Floats, u: Floats
) -> None:
    first, last = rows
    if first == 0:
        _primal_run(image, dual, z, (0, 1), nothing, nothing, u)
        u = u[image.shape[2] :]
        first = 1
    if last > first:
        before = dual[1, z, first - 1 : last - 1].reshape(-1)
        _primal_run(image, dual, z, (first, last), nothing, before, u)


@njit(cache=True, nogil=True)
def _primal_run(  # noqa: PLR0917  # rows of one sweep; Numba has no keyword-only parameters
    image: Floats, dual: Floats, z: int, rows: tuple[int, int], nothing: Floats, before: Floats, u: Floats
) -> None:
    # At the end of a row the field along x is 0, so rows may be taken as one run.
    first, last = rows
    f = image[z, first:last].reshape(-1)
    p_z, p_y = dual[0, z, first:last].reshape(-1), dual[1, z, first:last].reshape(-1)
    p_x = dual[2, z, first:last].reshape(-1)
    above = dual[0, z - 1, first:last].reshape(-1) if z > 0 else nothing
    u[0] = f[0] - (p_z[0] - above[0]) - (p_y[0] - before[0]) - p_x[0]
    for i in range(1, f.size):
        u[i] = f[i] - (p_z[i] - above[i]) - (p_y[i] - before[i]) - (p_x[i] - p_x[i - 1])


# Without the NumPy error model a test for division by zero stands in the way of vectors.
@njit(cache=True, nogil=True, error_model="numpy")
def _dual(  # noqa: PLR0917  # rows of one sweep; Numba has no keyword-only parameters
    dual: Floats,
    z: int,
    rows: tuple[int, int],
    u: Floats,
    ahead: Floats,
    sizes: tuple[np.float32, np.float32],
    ends: NDArray[np.bool_],
) -> None:
    first, last = rows
    tau, ratio = sizes
    one, none = np.float32(1), np.float32(0)
    p_z, p_y = dual[0, z, first:last].reshape(-1), dual[1, z, first:last].reshape(-1)
    p_x = dual[2, z, first:last].reshape(-1)
    below, right = u[dual.shape[3] :], u[1:]
    for i in range(p_z.size):
        g_z, g_y = ahead[i] - u[i], below[i] - u[i]
        g_x = none if ends[i] else right[i] - u[i]
        scale = one / (one + ratio * math.sqrt(g_z * g_z + g_y * g_y + g_x * g_x))
        p_z[i] = (p_z[i] - tau * g_z) * scale
        p_y[i] = (p_y[i] - tau * g_y) * scale
        # at the end of a row it is 0 even beside a missing voxel, since the next row goes on from it
        p_x[i] = none if ends[i] else (p_x[i] - tau * g_x) * scale
