"""Two regions of nearly even grey with a smooth border between them: Chan-Vese, by morphology."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from medpipe.types import Array
from medpipe.xp import backend_of

Steps = tuple[tuple[int, ...], ...]


def chan_vese(x: Array, start: Array, /, *, iterations: int, smoothing: int, inside: float, outside: float) -> Array:
    """Move the border of a region until both sides are as even as they can be.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        Finite.
    start : array of bool, same shape
        Where the region begins.
    iterations : int
        Steps of the border, by at most a voxel each; fewer where it comes to rest.
    smoothing : int
        How often the border is smoothed in each step.
    inside, outside : float
        Weight of what is uneven within the region, and outside it.

    Returns
    -------
    array of bool (z, y, x)

    Notes
    -----
    T. Chan, L. Vese, IEEE Trans. Image Process. 10 (2001) 266-277, doi:10.1109/83.902291; the
    curve moves by morphological operators (P. Márquez-Neila, L. Baumela, L. Álvarez, IEEE TPAMI
    36 (2014) 2-17, doi:10.1109/TPAMI.2013.106).
    """
    xp = backend_of(x).xp
    region = start.copy()
    smoothers = itertools.cycle((_opened_first, _closed_first))
    unchanged = 0
    for _ in range(iterations):
        before = region.copy()
        _move(x, region, inside=inside, outside=outside)
        for _ in range(smoothing):
            region = next(smoothers)(region)
        # two smoothers take turns: at rest is what neither of them changes
        unchanged = unchanged + 1 if bool(xp.array_equal(region, before)) else 0
        if unchanged == 2:
            break
    return region


def _move(x: Array, region: Array, *, inside: float, outside: float) -> None:
    """Give each voxel beside the border to the side whose mean it is nearer to."""
    xp = backend_of(x).xp
    within, beyond = _mean(x, region), _mean(x, ~region)
    border = _border(region)
    for place in range(x.shape[0]):
        plane = x[place].astype(xp.float64)
        force = inside * (plane - within) ** 2 - outside * (plane - beyond) ** 2
        region[place] = (region[place] | (border[place] & (force < 0.0))) & ~(border[place] & (force > 0.0))


def _mean(x: Array, mask: Array) -> float:
    count, total = int(mask.sum()), 0.0
    for plane, part in zip(x, mask, strict=True):
        total += float(plane[part].sum(dtype=np.float64))
    return total / count if count else 0.0


def _border(region: Array) -> Array:
    """Return the voxels at which central differences are not 0 along every axis."""
    result = backend_of(region).xp.zeros(region.shape, dtype=bool)
    for axis, size in enumerate(region.shape):
        if size < 2:
            continue
        moved, found = (backend_of(region).xp.moveaxis(array, axis, 0) for array in (region, result))
        found[1:-1] |= moved[2:] != moved[:-2]
        found[0] |= moved[0] != moved[1]
        found[-1] |= moved[-1] != moved[-2]
    return result


def _opened_first(region: Array) -> Array:
    return _largest_of_least(_least_of_largest(region))


def _closed_first(region: Array) -> Array:
    return _least_of_largest(_largest_of_least(region))


def _largest_of_least(region: Array) -> Array:
    """Return where some plane through the voxel lies in the region as a whole."""
    return _combined(region, within=np.logical_and, over=np.logical_or)


def _least_of_largest(region: Array) -> Array:
    """Return where every plane through the voxel meets the region."""
    return _combined(region, within=np.logical_or, over=np.logical_and)


def _combined(region: Array, *, within: Callable[..., Array], over: Callable[..., Array]) -> Array:
    xp = backend_of(region).xp
    padded = xp.pad(region, [(1 if size > 1 else 0,) * 2 for size in region.shape])
    total: Array | None = None
    for steps in _planes(region.shape):
        found = _view(padded, steps[0], region.shape).copy()
        for step in steps[1:]:
            within(found, _view(padded, step, region.shape), out=found)
        total = found if total is None else over(total, found, out=total)
    return region if total is None else total


def _planes(shape: tuple[int, ...]) -> Iterator[Steps]:
    """Yield the voxels of each plane through a voxel that leads to its neighbours; of a slice, of each line."""
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    normals = [normal for normal in itertools.product((-1, 0, 1), repeat=len(shape)) if _is_normal(normal, axes)]
    near = [(-1, 0, 1) if axis in axes else (0,) for axis in range(len(shape))]
    for normal in normals:
        yield tuple(
            step for step in itertools.product(*near) if sum(n * s for n, s in zip(normal, step, strict=True)) == 0
        )


def _is_normal(normal: tuple[int, ...], axes: list[int]) -> bool:
    """Tell whether a direction is one of an axis or between two, each counted once."""
    told = [(axis, part) for axis, part in enumerate(normal) if part]
    return 1 <= len(told) <= 2 and told[0][1] == 1 and all(axis in axes for axis, _ in told)


def _view(padded: Array, step: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    return padded[
        tuple(slice(1 + n, 1 + n + size) if size > 1 else slice(None) for n, size in zip(step, shape, strict=True))
    ]
