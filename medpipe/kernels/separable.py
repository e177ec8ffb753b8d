"""Sums and largest values of separable convolutions, plane by plane.

A term is a product of three short kernels, one along each axis. On the host one plane of the
result is made at a time: sums along z over the planes around it, then along y and x while that
plane is in the cache, in float64; planes that terms have in common along z are made once. Beside
the result there is no second volume, however many terms there are; on a device, beside it there are
arrays over some planes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.boundary import NOWHERE, Boundary, places
from medpipe.kernels.slabs import planes_of, slab_ranges
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

Taps = tuple[float, ...]
"""Weights of a kernel of odd length, in the order in which a convolution reads: the last weighs the first voxel."""

Term = tuple[Taps, Taps, Taps]
"""Kernels along z, y and x; ``(1.0,)`` leaves an axis alone."""

Joined = Literal["sum", "max", "size"]
"""Added; the largest; the largest of absolute values."""

_HOW: dict[Joined, int] = {"sum": 0, "max": 1, "size": 2}

ALONE: Taps = (1.0,)
"""The kernel that changes nothing."""

AT_ONCE = 1 << 22
"""Voxels that a device works on at a time."""

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Places = NDArray[np.int64]
Tables = tuple[tuple[Floats, Floats, Floats], tuple[Places, Places, Places], Places]


def convolved(x: Array, terms: Sequence[Term], /, *, joined: Joined, boundary: Boundary) -> Array:
    """Return the sum of separable convolutions of an image, or at each voxel the largest or its size.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    terms : sequence of Term
        At least one. Kernels of one axis may differ in length.
    joined : {"sum", "max", "size"}
    boundary : {"constant", "nearest", "wrap", "reflect"}

    Returns
    -------
    array of float32 (z, y, x)
        NaN wherever a weight other than 0 falls on a missing voxel (NaN).

    Notes
    -----
    ``y(i) = sum_k w_k x(i - k)`` along each axis, k from minus to plus half the length.
    """
    if is_cupy(x):
        return by_arrays(x, terms, joined=joined, boundary=boundary)
    kernels, around, numbers = _tables(terms, x.shape, boundary)
    result = np.empty(x.shape, np.float32)
    _convolved(np.ascontiguousarray(x, np.float32), (kernels, around, numbers), _HOW[joined], result)
    return result


def reach_of(terms: Sequence[Term], /) -> tuple[int, int, int]:
    """Return how far terms look along (z, y, x), in voxels."""
    z, y, x = (max(len(term[axis]) // 2 for term in terms) for axis in range(3))
    return z, y, x


def mean_term(size: int, /, *, by_slice: bool) -> Term:
    """Return the term of a mean over a cube, or a square in the slice, of so many voxels on edge."""
    taps = (1.0 / size,) * size
    return (ALONE if by_slice else taps, taps, taps)


def by_arrays(x: Array, terms: Sequence[Term], /, *, joined: Joined, boundary: Boundary) -> Array:
    """Return what :func:`convolved` does, by array operations: for a device, and to check the other against."""
    xp = backend_of(x).xp
    tables = _tables(terms, x.shape, boundary)
    result = xp.empty(x.shape, dtype=xp.float32)
    for first, last in slab_ranges(x.shape, planes=planes_of(x.shape, AT_ONCE)):
        result[first:last] = _slab(x, first, last, tables, joined)
    return result


def device_bytes(shape: tuple[int, int, int], /, *, reach: tuple[int, int, int], terms: int) -> int:
    """Return what :func:`convolved` takes on a device beside its result.

    Parameters
    ----------
    shape : (int, int, int)
        Of the image (z, y, x).
    reach : (int, int, int)
        Of the terms, see :func:`reach_of`.
    terms : int
        How many there are.
    """
    z, y, x = shape
    planes = min(planes_of(shape, AT_ONCE), z)
    wide = planes * max((y + 2 * reach[1]) * x, y * (x + 2 * reach[2]))
    # the image around a slab in float32; in float64 what is summed, a product, their sum, and that of all terms
    return 4 * (planes + 2 * reach[0]) * y * x + 8 * wide + (24 if terms > 1 else 16) * planes * y * x


def _slab(x: Array, first: int, last: int, tables: Tables, joined: Joined) -> Array:
    """Return some planes of the result, in float64."""
    xp = backend_of(x).xp
    kernels, around, numbers = tables
    near = _gathered(x, 0, around[0][first : last + kernels[0].shape[1] - 1])
    result = None
    for along_z, *others in numbers.tolist():
        made = _weighed(near, 0, kernels[0][along_z])
        for axis, number in enumerate(others, 1):
            taps = kernels[axis][number]
            if taps.size == 1:
                made *= taps[0]
                continue
            wide = _gathered(made, axis, around[axis])
            # memory of a device is what there is least of
            del made
            made = _weighed(wide, axis, taps)
            del wide
        if joined == "size":
            xp.abs(made, out=made)
        if result is None:
            result = made
        elif joined == "sum":
            result += made
        else:
            xp.maximum(result, made, out=result)
        del made
    assert result is not None
    return result


def _gathered(x: Array, axis: int, source: Places) -> Array:
    """Return the values of some places along an axis; where there are none, zeros."""
    xp = backend_of(x).xp
    wide = xp.take(x, xp.asarray(np.maximum(source, 0)), axis=axis)
    inside = np.flatnonzero(source != NOWHERE)
    for end in (slice(0, int(inside[0])), slice(int(inside[-1]) + 1, source.size)):
        if end.stop > end.start:
            wide[_part(axis, end)] = 0.0
    return wide


def _weighed(wide: Array, axis: int, taps: Floats) -> Array:
    """Return the sums under a kernel along an axis, of float64."""
    xp = backend_of(wide).xp
    n = wide.shape[axis] - taps.size + 1
    if taps.size == 1:
        return xp.multiply(wide, float(taps[0]), dtype=xp.float64)
    shape = list(wide.shape)
    shape[axis] = n
    result = xp.zeros(shape)
    for k in np.flatnonzero(taps).tolist():
        result += xp.multiply(wide[_part(axis, slice(k, k + n))], float(taps[k]), dtype=xp.float64)
    return result


def _part(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None) for _ in range(axis)), part)


def _tables(terms: Sequence[Term], shape: tuple[int, ...], boundary: Boundary) -> Tables:
    """Return the kernels of each axis that differ, what stands beyond its ends, and the kernels of each term."""
    (z, of_z), (y, of_y), (x, of_x) = (_table([term[axis] for term in terms]) for axis in range(3))
    numbers = np.array([of_z, of_y, of_x], np.int64).T
    places_z, places_y, places_x = (
        places(size, before=kernel.shape[1] // 2, after=kernel.shape[1] // 2, boundary=boundary)
        for size, kernel in zip(shape, (z, y, x), strict=True)
    )
    # terms that share a kernel along z follow each other
    return (z, y, x), (places_z, places_y, places_x), np.ascontiguousarray(numbers[np.lexsort(numbers.T[::-1])])


def _table(given: list[Taps]) -> tuple[Floats, list[int]]:
    """Return the kernels that differ, as rows of one length in the order of a correlation, and the row of each."""
    different = sorted(set(given))
    length = max(len(taps) for taps in different)
    rows = np.zeros((len(different), length))
    for row, taps in zip(rows, different, strict=True):
        first = (length - len(taps)) // 2
        row[first : first + len(taps)] = taps[::-1]
    return rows, [different.index(taps) for taps in given]


@njit(cache=True, nogil=True)
def _convolved(x: Singles, tables: Tables, how: int, result: Singles) -> None:
    kernels, around, numbers = tables
    n_z, n_y, n_x = x.shape
    plane = np.empty((n_y, n_x))
    pooled = np.empty((n_y, n_x))
    middle = np.empty(n_x)
    row = np.empty(around[2].size)
    for z in range(n_z):
        before = -1
        for place in range(len(numbers)):
            along_z, along_y, along_x = numbers[place]
            if along_z != before:
                _sum_planes(x, z, kernels[0][along_z], around[0], plane)
                before = along_z
            for y in range(n_y):
                _sum_rows(plane, y, kernels[1][along_y], around[1], middle)
                _spread(middle, around[2], row)
                _sum_row(row, kernels[2][along_x], middle)
                _pool(middle, pooled[y], how, place == 0)
        for y in range(n_y):
            for i in range(n_x):
                result[z, y, i] = pooled[y, i]


@njit(cache=True, nogil=True)
def _sum_planes(x: Singles, z: int, taps: Floats, source: Places, plane: Floats) -> None:
    for y in range(plane.shape[0]):
        out = plane[y]
        for i in range(out.size):
            out[i] = 0.0
        for k in range(taps.size):
            if taps[k] != 0.0 and source[z + k] >= 0:
                given, weight = x[source[z + k], y], taps[k]
                for i in range(out.size):
                    out[i] += weight * given[i]


@njit(cache=True, nogil=True)
def _sum_rows(plane: Floats, y: int, taps: Floats, source: Places, out: Floats) -> None:
    for i in range(out.size):
        out[i] = 0.0
    for k in range(taps.size):
        if taps[k] != 0.0 and source[y + k] >= 0:
            given, weight = plane[source[y + k]], taps[k]
            for i in range(out.size):
                out[i] += weight * given[i]


@njit(cache=True, nogil=True)
def _spread(given: Floats, source: Places, row: Floats) -> None:
    half = (row.size - given.size) // 2
    for i in range(given.size):
        row[half + i] = given[i]
    for i in range(half):
        row[i] = given[source[i]] if source[i] >= 0 else 0.0
        j = row.size - 1 - i
        row[j] = given[source[j]] if source[j] >= 0 else 0.0


@njit(cache=True, nogil=True)
def _sum_row(row: Floats, taps: Floats, out: Floats) -> None:
    for i in range(out.size):
        out[i] = 0.0
    for k in range(taps.size):
        if taps[k] != 0.0:
            given, weight = row[k : k + out.size], taps[k]
            for i in range(out.size):
                out[i] += weight * given[i]


@njit(cache=True, nogil=True)
def _pool(made: Floats, pooled: Floats, how: int, is_first: bool) -> None:  # noqa: FBT001  # Numba takes positions
    """Add a row (0), or keep the larger values (1) or sizes (2)."""
    for i in range(made.size):
        value = abs(made[i]) if how == 2 else made[i]
        # of the larger two a missing value stays, whichever it is
        if is_first or (how != 0 and (value > pooled[i] or np.isnan(value))):
            pooled[i] = value
        elif how == 0:
            pooled[i] += value
