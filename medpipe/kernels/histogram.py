"""Histogram equalization of a whole image, and of tiles with limited contrast (CLAHE).

References
----------
K. Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV (1994) 474-485.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.errors import Rejected
from medpipe.kernels.bins import counted
from medpipe.kernels.intensity import varying
from medpipe.kernels.slabs import planes_of, slab_ranges
from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy, to_numpy

Floats = NDArray[np.float32]
Counts = NDArray[np.int64]

BINS = 256
LEVELS = 1 << 14
"""Grey levels an image is rounded to before its tiles are counted."""

_BIN_LEVELS = 1 + LEVELS // BINS

_AT_ONCE = 1 << 22
"""Voxels that a device works on at a time."""

_MAPPED_BYTES = 34
"""Of each of these: what its bins in the maps of eight tiles take."""


def equalized(x: Array, mask: Array, /) -> Array:
    """Return the share of the voxels of a mask that are at most as bright.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    mask : array of bool, same shape
        Voxels that are not finite do not count.

    Returns
    -------
    array of float32, same shape
        From 0 to 1: a histogram of 256 bins, summed up, interpolated between the centres of the bins.
        NaN stays NaN.

    Raises
    ------
    Rejected
        ``EMPTY_ROI`` if nothing finite lies in the mask, ``E_CONSTANT`` if all of it is equal.
    """
    xp = backend_of(x).xp
    counts, edges = counted(varying(x, mask), bins=BINS)
    edges = edges.astype(xp.float64)
    centres = 0.5 * (edges[:-1] + edges[1:])
    shares = xp.cumsum(counts) / counts.sum()
    result = xp.empty(x.shape, dtype=xp.float32)
    for place in range(len(x)):
        result[place] = xp.interp(x[place], centres, shares)
    return result


def tile_shape(shape: Sequence[int], *, tiles: Sequence[int]) -> tuple[int, int, int]:
    """Return the voxels of a tile along (z, y, x) for so many tiles, each of at least one voxel."""
    z, y, x = (max(size // count, 1) for size, count in zip(shape, tiles, strict=True))
    return z, y, x


def clahe(x: Array, /, *, tile: tuple[int, int, int], limit: float) -> Array:
    """Equalize the histogram of each tile, its slope limited, and interpolate between the tiles.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    tile : (int, int, int)
        Voxels of a tile along (z, y, x); at the end of an axis it goes on by reflection.
    limit : float
        Share of a tile's voxels that a bin of its histogram may hold; what is beyond goes to all
        bins. 0 for no limit.

    Returns
    -------
    array of float32 (z, y, x)
        From 0 to 1. The maps of the tiles count as they are in the tiles' centres. NaN stays NaN
        and does not count.

    Raises
    ------
    Rejected
        ``EMPTY_ROI`` if no voxel is finite, ``E_CONSTANT`` if they are all equal.
    """
    xp = backend_of(x).xp
    values = varying(x, xp.ones(x.shape, dtype=bool))
    low, high = float(values.min()), float(values.max())
    del values
    if is_cupy(x):
        result = clahe_by_arrays(x, tile=tile, limit=limit, low=low, high=high)
    else:
        image = np.ascontiguousarray(x, np.float32)
        counts = np.zeros((*_tiles(image.shape, tile), BINS), np.int64)
        _count(image, tile, low, (LEVELS - 1) / (high - low), counts)
        maps = _maps(counts, tile, limit)
        result = np.empty_like(image)
        _apply(image, tile, low, (LEVELS - 1) / (high - low), maps, result)
    least, greatest = float(xp.nanmin(result)), float(xp.nanmax(result))
    if not greatest > least:
        raise Rejected("E_CONSTANT")
    result -= xp.float32(least)
    result *= xp.float32(1.0 / (greatest - least))
    return xp.clip(result, 0.0, 1.0, out=result)


def clahe_by_arrays(x: Array, /, *, tile: tuple[int, int, int], limit: float, low: float, high: float) -> Array:
    """Return what the compiled loops of :func:`clahe` do, before the result is stretched, by array operations.

    The body for CuPy, some planes at a time, and on NumPy the oracle of the compiled one.
    """
    xp = backend_of(x).xp
    bins = xp.empty(x.shape, dtype=xp.uint8)
    slabs = list(slab_ranges(x.shape, planes=planes_of(x.shape, _AT_ONCE)))
    for first, last in slabs:
        part = x[first:last]
        wide = xp.where(xp.isfinite(part), part, xp.float32(low)).astype(xp.float64)
        wide -= low
        wide *= (LEVELS - 1) / (high - low)
        bins[first:last] = xp.rint(wide, out=wide).astype(xp.int64) // _BIN_LEVELS
        del wide
    tiles = _tiles(x.shape, tile)
    maps = xp.asarray(_maps(to_numpy(_counts_by_arrays(x, bins, tile, tiles)), tile, limit))
    between = [_between(xp.arange(size), k, n) for size, k, n in zip(x.shape, tile, tiles, strict=True)]
    result = xp.empty(x.shape, dtype=xp.float32)
    for first, last in slabs:
        along = (tuple(one[first:last] for one in between[0]), *between[1:])
        result[first:last] = _mapped(bins[first:last].astype(xp.int64), maps, along)
    result[~xp.isfinite(x)] = xp.nan
    return result


def device_bytes(shape: tuple[int, int, int], /, *, tile: tuple[int, int, int]) -> int:
    """Return what :func:`clahe` takes on a device beside its result.

    Parameters
    ----------
    shape : (int, int, int)
        Of the image (z, y, x).
    tile : (int, int, int)
        Voxels of a tile along (z, y, x).
    """
    z, y, x = shape
    tables = 20 * BINS * int(np.prod(_tiles(shape, tile)))
    return z * y * x + tables + _MAPPED_BYTES * min(planes_of(shape, _AT_ONCE), z) * y * x


def _counts_by_arrays(x: Array, bins: Array, tile: tuple[int, int, int], tiles: tuple[int, int, int]) -> Array:
    """Return the histograms of the tiles: how often each bin comes in what is finite."""
    xp = backend_of(x).xp
    sources = [_reflected(xp.arange(n * k), size) for n, k, size in zip(tiles, tile, x.shape, strict=True)]
    places = [xp.arange(n * k) // k for n, k in zip(tiles, tile, strict=True)]
    wide = tuple(n * k for n, k in zip(tiles, tile, strict=True))
    counts = xp.zeros(int(np.prod(tiles)) * BINS, dtype=xp.int64)
    for first, last in slab_ranges(wide, planes=planes_of(wide, _AT_ONCE)):
        whole = xp.ix_(sources[0][first:last], *sources[1:])
        codes = (places[0][first:last, None, None] * tiles[1] + places[1][:, None]) * tiles[2] + places[2]
        codes *= BINS
        codes += bins[whole]
        codes = codes[xp.isfinite(x[whole])]
        if codes.size:
            counts += xp.bincount(codes, minlength=counts.size)
    return counts.reshape(*tiles, BINS)


def _mapped(bins: Array, maps: Array, along: tuple[tuple[Array, Array, Array], ...]) -> Array:
    """Return what voxels of some bins become, in float64: the maps of the eight tiles around them, weighed."""
    xp = backend_of(bins).xp
    result = xp.zeros(bins.shape, dtype=xp.float64)
    for corner in np.ndindex(2, 2, 2):
        at = [along[axis][end] for axis, end in enumerate(corner)]
        shares = [along[axis][2] if end else 1.0 - along[axis][2] for axis, end in enumerate(corner)]
        weight = shares[0][:, None, None] * shares[1][:, None] * shares[2]
        weight *= maps[at[0][:, None, None], at[1][:, None], at[2], bins]
        result += weight
    return result


def _tiles(shape: Sequence[int], tile: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = (-(-size // k) for size, k in zip(shape, tile, strict=True))
    return z, y, x


def _reflected(places: Array, size: int) -> Array:
    period = max(2 * (size - 1), 1)
    folded = places % period
    xp = backend_of(places).xp
    return xp.minimum(folded, period - folded) if size > 1 else folded * 0


def _between(places: Array, size: int, count: int) -> tuple[Array, Array, Array]:
    """Return of each place the tiles before and behind it, and how much the second one counts."""
    xp = backend_of(places).xp
    along = (places + 0.5) / size - 0.5
    before = xp.floor(along)
    first, second = (xp.clip(one, 0, count - 1).astype(xp.int64) for one in (before, before + 1))
    return first, second, along - before


def _maps(counts: Counts, tile: Sequence[int], limit: float) -> Floats:
    """Return of each tile what its bins become: grey levels, rounded down."""
    voxels = int(np.prod(tile))
    most = max(int(limit * voxels), 1) if limit > 0.0 else voxels
    flat = np.ascontiguousarray(counts.reshape(-1, BINS))
    found = np.maximum(flat.sum(axis=1), 1)
    empty = ~flat.any(axis=1)
    _limit(flat, most)
    maps = np.floor(np.minimum(np.cumsum(flat, axis=1) * ((LEVELS - 1) / found)[:, None], LEVELS - 1))
    maps[empty] = np.arange(BINS) * _BIN_LEVELS
    return np.asarray(maps.reshape(counts.shape), np.float32)


@njit(cache=True, nogil=True)
def _limit(histograms: Counts, most: int) -> None:
    for counts in histograms:
        spare = 0
        for place in range(counts.size):
            if counts[place] > most:
                spare += counts[place] - most
                counts[place] = most
        each = spare // counts.size
        for place in range(counts.size):
            if counts[place] < most - each:
                counts[place] += each
                spare -= each
            if most - each <= counts[place] < most:
                spare -= most - counts[place]
                counts[place] = most
        _spread(counts, most, spare)


@njit(cache=True, nogil=True)
def _spread(counts: Counts, most: int, spare: int) -> None:
    """Give what is left over to bins below the limit, one each, at equal distances."""
    before = -1
    while spare > 0 and spare != before:
        before = spare
        for first in range(counts.size):
            open_bins = 0
            for place in range(counts.size):
                open_bins += counts[place] < most
            for place in range(first, counts.size, max(1, open_bins // spare)):
                if counts[place] < most:
                    counts[place] += 1
                    spare -= 1
            if spare <= 0:
                return


@njit(cache=True, nogil=True)
def _bin(value: np.float32, low: float, scale: float) -> int:
    return int(np.rint((value - low) * scale)) // _BIN_LEVELS


@njit(cache=True, nogil=True)
def _fold(place: int, size: int) -> int:
    if size == 1:
        return 0
    folded = place % (2 * (size - 1))
    return min(folded, 2 * (size - 1) - folded)


@njit(cache=True, nogil=True)
def _count(x: Floats, tile: tuple[int, int, int], low: float, scale: float, counts: Counts) -> None:
    n_z, n_y, n_x = x.shape
    k_z, k_y, k_x = tile
    for z in range(counts.shape[0] * k_z):
        plane = x[_fold(z, n_z)]
        for y in range(counts.shape[1] * k_y):
            row = plane[_fold(y, n_y)]
            tiles = counts[z // k_z, y // k_y]
            for at in range(counts.shape[2] * k_x):
                value = row[_fold(at, n_x)]
                if np.isfinite(value):
                    tiles[at // k_x, _bin(value, low, scale)] += 1


@njit(cache=True, nogil=True)
def _neighbours(place: int, size: int, count: int) -> tuple[int, int, float]:
    along = (place + 0.5) / size - 0.5
    before = int(np.floor(along))
    return max(before, 0), min(before + 1, count - 1), along - before


@njit(cache=True, nogil=True)
def _apply(  # noqa: PLR0917  # Numba has no keyword-only parameters
    x: Floats, tile: tuple[int, int, int], low: float, scale: float, maps: Floats, result: Floats
) -> None:
    n_z, n_y, n_x = x.shape
    row = np.empty((maps.shape[2], maps.shape[3]), np.float64)
    for z in range(n_z):
        above, below, share_z = _neighbours(z, tile[0], maps.shape[0])
        for y in range(n_y):
            front, back, share_y = _neighbours(y, tile[1], maps.shape[1])
            # the maps of the row's tiles: of voxels in it only the place along x differs
            for t in range(row.shape[0]):
                for b in range(row.shape[1]):
                    row[t, b] = (1.0 - share_z) * (
                        (1.0 - share_y) * maps[above, front, t, b] + share_y * maps[above, back, t, b]
                    ) + share_z * ((1.0 - share_y) * maps[below, front, t, b] + share_y * maps[below, back, t, b])
            for at in range(n_x):
                value = x[z, y, at]
                if not np.isfinite(value):
                    result[z, y, at] = np.nan
                    continue
                left, right, share = _neighbours(at, tile[2], maps.shape[2])
                b = _bin(value, low, scale)
                result[z, y, at] = (1.0 - share) * row[left, b] + share * row[right, b]
