"""Gaussian smoothing with a width in mm.

The window is separable and symmetric. On the host one plane of the result at a time is made:
sums along z over the planes around it, then along y and x while that plane is in the cache, so
that the volume is read from memory once and written once. Along z and y, values that lie one after
the other are summed in runs of many rows, which stay in the first cache; four pairs of neighbours
are added in one pass. On a device the sums are made along one axis after the other, in the same order
(``cuda/gaussian.cu``), of some planes of the result at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.launching import EXACT, launch, tiles, wide
from medpipe.kernels.slabs import planes_of, slab_ranges
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

Floats = NDArray[np.float32]

TRUNCATE = 4.0
"""The window ends after this many standard deviations."""

_RUN = 1 << 12
"""Values that are summed up in one go."""

_AT_ONCE = 1 << 24
"""Voxels that a device makes at a time."""

_THREADS = (256, 1)
_TOGETHER = 4
"""Values that a thread of a device makes."""


def gaussian_radius(*, sigma_mm: float, spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return the half-width of the window in voxels along (z, y, x).

    Parameters
    ----------
    sigma_mm : float
        Standard deviation, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.
    """
    z, y, x = (int(TRUNCATE * (sigma_mm / step) + 0.5) for step in spacing_mm)
    return z, y, x


def gaussian(
    x: Array, /, *, sigma_mm: float, spacing_mm: tuple[float, float, float], planes: tuple[int, int] | None = None
) -> Array:
    """Smooth an array with a Gaussian window; beyond the border the edge voxel goes on.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    sigma_mm : float
        Standard deviation, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.
    planes : (int, int), optional
        The first plane to make and the one after the last; all if not given.

    Returns
    -------
    array of float32 (z, y, x)
        So many planes.

    Notes
    -----
    ``w_k ~ exp(-(k s / sigma)^2 / 2)`` for ``|k|`` up to :func:`gaussian_radius`, normalised to
    sum 1, one axis after the other, in float32.
    """
    sigma = [sigma_mm / step for step in spacing_mm]
    first, last = (0, len(x)) if planes is None else planes
    radius = gaussian_radius(sigma_mm=sigma_mm, spacing_mm=spacing_mm)
    along_z, along_y, along_x = (_half_window(one, reach) for one, reach in zip(sigma, radius, strict=True))
    if is_cupy(x):
        return _on_device(x, (along_z, along_y, along_x), first, last)
    result = np.empty((last - first, *x.shape[1:]), np.float32)
    _gaussian(np.ascontiguousarray(x, np.float32), first, (along_z, along_y, along_x), result)
    return result


def _half_window(sigma: float, radius: int) -> Floats:
    """Return the weights from the middle of a window to its end."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray((weights / weights.sum())[radius:], np.float32)


def device_bytes(shape: tuple[int, int, int], /) -> int:
    """Return what :func:`gaussian` takes on a device beside its result: some planes (of an array z, y, x)."""
    z, y, x = shape
    return 4 * min(planes_of(shape, _AT_ONCE), z) * y * x


def _on_device(x: Array, windows: tuple[Floats, Floats, Floats], first: int, last: int) -> Array:
    xp = backend_of(x).xp
    image = xp.ascontiguousarray(x, dtype=xp.float32)
    n_z, n_y, n_x = image.shape
    along_z, along_y, along_x = (xp.asarray(window) for window in windows)
    result = xp.empty((last - first, n_y, n_x), dtype=xp.float32)
    planes = min(planes_of(result.shape, _AT_ONCE), len(result))
    beside = xp.empty((planes, n_y, n_x), dtype=xp.float32)
    for low, high in slab_ranges(result.shape, planes=planes):
        part, between = result[low:high], beside[: high - low]
        _across(image, along_z, (n_z, n_y * n_x), (first + low, high - low), part)
        _across(part, along_y, (n_y, n_x), (0, n_y), between)
        _within(between, along_x, part)
    return result


def _across(x: Array, window: Array, axis: tuple[int, int], part: tuple[int, int], result: Array) -> None:
    """Sum up along an axis of so many values so far apart: from the first of a part on, and so many."""
    (n, apart), (first, count) = axis, part
    threads = result.size // count * -(-count // _TOGETHER)
    sizes = (np.int32(window.size - 1), np.int32(n), np.int64(apart), np.int32(first), np.int32(count))
    _launch("weighed_across", x, window, result, (*sizes, np.int64(threads)))


def _within(x: Array, window: Array, result: Array) -> None:
    """Sum up along the last axis."""
    n = x.shape[-1]
    rows = x.size // n
    threads = -(-rows // _TOGETHER) * n
    sizes = (np.int32(window.size - 1), np.int32(n), np.int64(rows), np.int64(threads))
    _launch("weighed_within", x, window, result, sizes)


def _launch(kernel: str, x: Array, window: Array, result: Array, sizes: tuple[np.generic, ...]) -> None:
    """Launch a kernel, whose last size is the number of its threads."""
    launch(
        x,
        f"gaussian.{kernel}",
        blocks=tiles((int(sizes[-1]),), _THREADS[:1]),
        threads=_THREADS,
        arguments=(x, window, result, *sizes),
        constants={"TOGETHER": _TOGETHER, **wide(x, result)},
        options=EXACT,
    )


@njit(cache=True, nogil=True)
def _gaussian(x: Floats, first: int, windows: tuple[Floats, Floats, Floats], result: Floats) -> None:
    n_z, n_y, n_x = x.shape
    along_z, along_y, along_x = windows
    volume, made, size = x.reshape(-1), result.reshape(-1), n_y * n_x
    reach_y, reach_x = along_y.size - 1, along_x.size - 1
    most = max(_RUN // n_x, 1)
    plane, rows = np.empty(size, np.float32), np.empty(most * n_x, np.float32)
    row = np.empty(n_x + 2 * reach_x, np.float32)
    for z in range(first, first + len(result)):
        for start in range(0, size, _RUN):
            _weigh(volume, (z, n_z, size, start), along_z, plane, (start, min(_RUN, size - start)))
        y = 0
        while y < n_y:
            # neighbours beyond the border are not as far as others: there it goes row by row
            count = min(most, n_y - reach_y - y) if reach_y <= y < n_y - reach_y else 1
            _weigh(plane, (y, n_y, n_x, 0), along_y, rows, (0, count * n_x))
            for place in range(count):
                _widen(rows, place * n_x, n_x, row)
                into = (z - first) * size + (y + place) * n_x
                _weigh(row, (reach_x, row.size, 1, 0), along_x, made, (into, n_x))
            y += count


@njit(cache=True, nogil=True)
def _weigh(x: Floats, run: tuple[int, int, int, int], window: Floats, out: Floats, into: tuple[int, int]) -> None:
    """Sum up runs of values under a window.

    Parameters
    ----------
    x : array of float32, one axis
    run : (int, int, int, int)
        The run in the middle, of how many, how far they lie from each other, and where the first one begins.
    window : array of float32
        From its middle on.
    out : array of float32, one axis
    into : (int, int)
        Where the sums go, and how many.
    """
    at = run[0]
    where = np.uintp(into[0]), np.uintp(into[1])
    _begin(x, _start(run, at), window[0], out, where)
    k = 1
    while k + 3 < window.size:
        pairs = (
            _start(run, at - k),
            _start(run, at + k),
            _start(run, at - k - 1),
            _start(run, at + k + 1),
            _start(run, at - k - 2),
            _start(run, at + k + 2),
            _start(run, at - k - 3),
            _start(run, at + k + 3),
        )
        _add_four(x, pairs, (window[k], window[k + 1], window[k + 2], window[k + 3]), out, where)
        k += 4
    while k < window.size:
        _add(x, (_start(run, at - k), _start(run, at + k)), window[k], out, where)
        k += 1


@njit(cache=True, nogil=True)
def _start(run: tuple[int, int, int, int], at: int) -> np.uintp:
    _, count, step, start = run
    # places have no sign: nothing has to be counted from the end, and loops are vectorised
    return np.uintp(min(max(at, 0), count - 1) * step + start)


@njit(cache=True, nogil=True)
def _widen(x: Floats, start: int, size: int, out: Floats) -> None:
    """Copy a row into a longer one, whose ends go on as its own do."""
    reach = (out.size - size) // 2
    begin, middle = np.uintp(start), np.uintp(reach)
    for place in range(np.uintp(size)):
        out[middle + place] = x[begin + place]
    for end in range(reach):
        out[end] = out[reach]
        out[reach + size + end] = out[reach + size - 1]


@njit(cache=True, nogil=True)
def _begin(x: Floats, at: np.uintp, weight: np.float32, out: Floats, where: tuple[np.uintp, np.uintp]) -> None:
    into, size = where
    for place in range(size):
        out[into + place] = weight * x[at + place]


@njit(cache=True, nogil=True)
def _add(
    x: Floats, pair: tuple[np.uintp, np.uintp], weight: np.float32, out: Floats, where: tuple[np.uintp, np.uintp]
) -> None:
    (a, b), (into, size) = pair, where
    for place in range(size):
        out[into + place] += weight * (x[a + place] + x[b + place])


@njit(cache=True, nogil=True)
def _add_four(
    x: Floats,
    pairs: tuple[np.uintp, ...],
    weights: tuple[np.float32, ...],
    out: Floats,
    where: tuple[np.uintp, np.uintp],
) -> None:
    """Do what four calls of :func:`_add` do, to the last bit, in one pass."""
    a, b, c, d, e, f, g, h = pairs
    (first, second, third, fourth), (into, size) = weights, where
    for place in range(size):
        total = out[into + place] + first * (x[a + place] + x[b + place])
        total += second * (x[c + place] + x[d + place])
        total += third * (x[e + place] + x[f + place])
        out[into + place] = total + fourth * (x[g + place] + x[h + place])
