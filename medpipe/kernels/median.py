"""The median of a cube of voxels.

The cube of 3 has a compiled body of its own, which never branches on a value. Three voxels
along z are sorted, then three such triples along x, and each sorted nine serves the three rows
around it. Two neighbouring rows of the result share the merge of the two nines between them,
of which only ranks 5 to 14 can still be the median. Lanes of a tile are independent, so the
compiler turns every comparison into vector minimum and maximum. On a device each thread does the
same with the voxels of a column, nine of a plane at a time (``cuda/median.cu``).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.kernels.launching import EXACT, launch, tiles, wide
from medpipe.kernels.slabs import within
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy

Floats = NDArray[np.float32]

LANES = 128
"""Voxels of a tile along x; a constant, so that the compiler knows every distance."""

PADDED = LANES + 2
"""Lanes of a tile with one neighbour on each side."""

_THREADS = (32, 8)
_DEEP = 32
"""Planes that a thread of a device makes: two more are read beside them."""


def median(x: Array, /, *, size: int, planes: tuple[int, int] | None = None) -> Array:
    """Return the median of the cube around each voxel; beyond the border the edge voxel goes on.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    size : int
        Edge of the cube in voxels, odd.
    planes : (int, int), optional
        The first plane to make and the one after the last; all if not given.

    Returns
    -------
    array of float32 (z, y, x)
        So many planes. NaN wherever the cube holds a NaN; a zero is always ``+0.0``.
    """
    backend = backend_of(x)
    first, last = (0, len(x)) if planes is None else planes
    if size == 3 and is_cupy(x):
        return _on_device(x, first, last)
    part, inner = within(x, first, last, reach=size // 2)
    if size == 3:
        result = np.empty((last - first, *x.shape[1:]), np.float32)
        _median_of_27(np.ascontiguousarray(x, np.float32), first, result)
    else:
        wide = backend.ndi.median_filter(part, size=size, output=backend.xp.float32, mode="nearest")
        # Adding zero leaves one sign of zero, whichever of the equal voxels was picked.
        result = wide[inner] + np.float32(0)
    missing = backend.xp.isnan(part)
    if bool(missing.any()):
        spread = backend.ndi.maximum_filter(missing.astype(backend.xp.uint8), size=size, mode="nearest")
        result[spread[inner] > 0] = np.nan
    return result


def _on_device(x: Array, first: int, last: int) -> Array:
    xp = backend_of(x).xp
    image = xp.ascontiguousarray(x, dtype=xp.float32)
    result = xp.empty((last - first, *image.shape[1:]), dtype=xp.float32)
    columns = tiles(image.shape[1:], _THREADS[::-1])
    sizes = [np.int32(n) for n in (*image.shape, first, last, _DEEP)]
    launch(
        image,
        "median.median_of_27",
        blocks=columns * -(-(last - first) // _DEEP),
        threads=_THREADS,
        arguments=(image, result, *sizes),
        constants=wide(image),
        options=EXACT,
    )
    return result


@njit(cache=True, nogil=True)
def _median_of_27(x: Floats, first: int, result: Floats) -> None:
    _, n_y, n_x = x.shape
    triples = np.empty(3 * PADDED, np.float32)
    nines = np.empty((4, 9 * LANES), np.float32)
    middle = np.empty(10 * LANES, np.float32)
    for left in range(0, n_x, LANES):
        for z in range(first, first + len(result)):
            _sort_triples(x, z, 0, left, triples)
            _sort_nines(triples, nines[0])
            _sort_nines(triples, nines[1])
            for y in range(0, n_y, 2):
                # The ring holds rows y - 1 to y + 2; row r lies in place (r + 1) mod 4.
                for row in range(y + 1, y + 3):
                    _sort_triples(x, z, min(row, n_y - 1), left, triples)
                    _sort_nines(triples, nines[(row + 1) & 3])
                _merge_middle(nines[(y + 1) & 3], nines[(y + 2) & 3], middle)
                _pick(middle, nines[y & 3], result[z - first, y, left:])
                if y + 1 < n_y:
                    _pick(middle, nines[(y + 3) & 3], result[z - first, y + 1, left:])


@njit(cache=True, nogil=True)
def _ordered(a: np.float32, b: np.float32) -> tuple[np.float32, np.float32]:
    return min(b, a), max(a, b)


@njit(cache=True, nogil=True)
def _sort_triples(x: Floats, z: int, y: int, left: int, triples: Floats) -> None:
    n_z, _, n_x = x.shape
    below, here, above = x[max(z - 1, 0), y], x[z, y], x[min(z + 1, n_z - 1), y]
    for lane in range(PADDED):
        column = min(max(left + lane - 1, 0), n_x - 1)
        triples[lane] = below[column]
        triples[PADDED + lane] = here[column]
        triples[2 * PADDED + lane] = above[column]
    for i in range(PADDED):
        a, b, c = triples[i], triples[PADDED + i], triples[2 * PADDED + i]
        a, b = _ordered(a, b)
        b, c = _ordered(b, c)
        a, b = _ordered(a, b)
        triples[i] = a
        triples[PADDED + i] = b
        triples[2 * PADDED + i] = c


@njit(cache=True, nogil=True)
def _sort_nines(triples: Floats, nine: Floats) -> None:
    # Floyd's network of 25 comparators, of which the first 9 are the sorted triples.
    for i in range(LANES):
        a0, a1, a2 = triples[i], triples[PADDED + i], triples[2 * PADDED + i]
        a3, a4, a5 = triples[i + 1], triples[PADDED + i + 1], triples[2 * PADDED + i + 1]
        a6, a7, a8 = triples[i + 2], triples[PADDED + i + 2], triples[2 * PADDED + i + 2]
        a0, a3 = _ordered(a0, a3)
        a3, a6 = _ordered(a3, a6)
        a0, a3 = _ordered(a0, a3)
        a1, a4 = _ordered(a1, a4)
        a4, a7 = _ordered(a4, a7)
        a1, a4 = _ordered(a1, a4)
        a2, a5 = _ordered(a2, a5)
        a5, a8 = _ordered(a5, a8)
        a2, a5 = _ordered(a2, a5)
        a1, a3 = _ordered(a1, a3)
        a5, a7 = _ordered(a5, a7)
        a2, a6 = _ordered(a2, a6)
        a4, a6 = _ordered(a4, a6)
        a2, a4 = _ordered(a2, a4)
        a2, a3 = _ordered(a2, a3)
        a5, a6 = _ordered(a5, a6)
        nine[i] = a0
        nine[LANES + i] = a1
        nine[2 * LANES + i] = a2
        nine[3 * LANES + i] = a3
        nine[4 * LANES + i] = a4
        nine[5 * LANES + i] = a5
        nine[6 * LANES + i] = a6
        nine[7 * LANES + i] = a7
        nine[8 * LANES + i] = a8


@njit(cache=True, nogil=True)
def _merge_middle(p: Floats, q: Floats, middle: Floats) -> None:
    # Batcher's odd-even merge of 9 and 9, without what only ranks 1-4 and 15-18 need.
    for i in range(LANES):
        a0, a1, a2 = p[i], p[LANES + i], p[2 * LANES + i]
        a3, a4, a5 = p[3 * LANES + i], p[4 * LANES + i], p[5 * LANES + i]
        a6, a7, a8 = p[6 * LANES + i], p[7 * LANES + i], p[8 * LANES + i]
        b0, b1, b2 = q[i], q[LANES + i], q[2 * LANES + i]
        b3, b4, b5 = q[3 * LANES + i], q[4 * LANES + i], q[5 * LANES + i]
        b6, b7, b8 = q[6 * LANES + i], q[7 * LANES + i], q[8 * LANES + i]
        a0, b0 = _ordered(a0, b0)
        a8, b8 = _ordered(a8, b8)
        a8, b0 = _ordered(a8, b0)
        a4, b4 = _ordered(a4, b4)
        a4, a8 = _ordered(a4, a8)
        b4, b0 = _ordered(b4, b0)
        a2, b2 = _ordered(a2, b2)
        a6, b6 = _ordered(a6, b6)
        a6, b2 = _ordered(a6, b2)
        a2, a4 = _ordered(a2, a4)
        a6, a8 = _ordered(a6, a8)
        b2, b4 = _ordered(b2, b4)
        b6, b0 = _ordered(b6, b0)
        a1, b1 = _ordered(a1, b1)
        a5, b5 = _ordered(a5, b5)
        a5, b1 = _ordered(a5, b1)
        a3, b3 = _ordered(a3, b3)
        a7, b7 = _ordered(a7, b7)
        a7, b3 = _ordered(a7, b3)
        a3, a5 = _ordered(a3, a5)
        a7, b1 = _ordered(a7, b1)
        b3, b5 = _ordered(b3, b5)
        a3, a4 = _ordered(a3, a4)
        a5, a6 = _ordered(a5, a6)
        a7, a8 = _ordered(a7, a8)
        b1, b2 = _ordered(b1, b2)
        b3, b4 = _ordered(b3, b4)
        b5, b6 = _ordered(b5, b6)
        middle[i] = a4
        middle[LANES + i] = a5
        middle[2 * LANES + i] = a6
        middle[3 * LANES + i] = a7
        middle[4 * LANES + i] = a8
        middle[5 * LANES + i] = b1
        middle[6 * LANES + i] = b2
        middle[7 * LANES + i] = b3
        middle[8 * LANES + i] = b4
        middle[9 * LANES + i] = b5


@njit(cache=True, nogil=True)
def _pick(middle: Floats, nine: Floats, row: Floats) -> None:
    # Rank 14 of 27: the least, over j, of max(rank 14 - j of the 18, rank j of the 9).
    picked = np.empty(LANES, np.float32)
    for i in range(LANES):
        least = middle[9 * LANES + i]
        for j in range(9):
            a, b = middle[(8 - j) * LANES + i], nine[j * LANES + i]
            least = min(least, max(a, b))
        picked[i] = least + np.float32(0)
    for i in range(min(LANES, row.size)):
        row[i] = picked[i]
