"""Histograms of oriented gradients in a slice."""

from __future__ import annotations

import math

from medpipe.types import Array
from medpipe.xp import backend_of

_LITTLE = 1e-5
_MOST = 0.2


def oriented_gradients(plane: Array, inside: Array, /, *, orientations: int, cell: int, block: int) -> Array:
    """Return the normalised histograms of all blocks of a slice that touch a region.

    Parameters
    ----------
    plane : array (y, x)
    inside : array of bool (y, x)
        The region; pixels beside it count in the cells that both lie in.
    orientations : int
        Bins of the gradient's direction, over half a turn.
    cell : int
        Pixels along a side of a cell.
    block : int
        Cells along a side of a block; blocks move on by one cell.

    Returns
    -------
    array of float64 (blocks, cells of a block, orientations)
        No blocks where the slice is smaller than one, or where a pixel of the block is NaN.

    Notes
    -----
    Dalal and Triggs, doi:10.1109/CVPR.2005.177, with L2-Hys: over the root of the sum of squares,
    cut at 0.2, and once more. Cells and blocks are those of ``skimage.feature.hog``.
    """
    xp = backend_of(plane).xp
    rows, columns = (size // cell for size in plane.shape)
    if rows < block or columns < block:
        return xp.zeros((0, block * block, orientations), dtype=xp.float64)
    wide = plane.astype(xp.float64)
    down, right = xp.zeros_like(wide), xp.zeros_like(wide)
    down[1:-1] = wide[2:] - wide[:-2]
    right[:, 1:-1] = wide[:, 2:] - wide[:, :-2]
    size = xp.hypot(down, right)
    angle = xp.rad2deg(xp.arctan2(down, right)) % 180.0
    width = 180.0 / orientations
    cells = xp.stack(
        [
            _by_cell(xp.where((angle >= width * place) & (angle < width * (place + 1)), size, 0.0), cell)
            for place in range(orientations)
        ],
        axis=-1,
    )
    # NaN falls in no bin; a cell with one is unknown as a whole
    cells[xp.isnan(_by_cell(size, cell))] = math.nan
    touched = _by_cell(inside.astype(xp.float64), cell) > 0.0
    blocks = _blocks(cells / cell**2, block).reshape(-1, block * block, orientations)
    taken = _blocks(touched[..., None], block).reshape(len(blocks), -1).any(axis=1) & ~xp.isnan(blocks).any(axis=(1, 2))
    return _normalised(blocks[taken])


def _by_cell(values: Array, cell: int) -> Array:
    rows, columns = (size // cell for size in values.shape)
    return values[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell).sum(axis=(1, 3))


def _blocks(cells: Array, block: int) -> Array:
    """Return the cells of each block: (rows of blocks, columns of blocks, row in it, column in it, values)."""
    xp = backend_of(cells).xp
    rows, columns = (size - block + 1 for size in cells.shape[:2])
    lines = [xp.stack([cells[y : y + rows, x : x + columns] for x in range(block)], axis=2) for y in range(block)]
    return xp.stack(lines, axis=2)


def _normalised(blocks: Array) -> Array:
    xp = backend_of(blocks).xp
    once = xp.minimum(blocks / _lengths(blocks), _MOST)
    return once / _lengths(once)


def _lengths(blocks: Array) -> Array:
    xp = backend_of(blocks).xp
    return xp.sqrt(xp.square(blocks).sum(axis=(1, 2), keepdims=True) + _LITTLE**2)
