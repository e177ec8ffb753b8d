"""Anisotropic diffusion: differences flow off where they are small and stay where they are edges.

All of it is whole-array arithmetic on some planes at a time, on the host and on a device alike.

References
----------
Perona and Malik, IEEE Trans. Pattern Anal. 12 (1990) 629, doi:10.1109/34.56205. Whitaker and Xue,
ICIP 2001, doi:10.1109/ICIP.2001.958908: curvature, in the scheme that ITK has.
"""

from __future__ import annotations

from typing import Literal

from medpipe.kernels.slabs import along, edged, moved, slab_ranges
from medpipe.types import Array
from medpipe.xp import backend_of

Conductance = Literal["exponential", "rational"]
Equation = Literal["curvature", "gradient"]

_LEAST_NORM = 1e-10


def perona_malik(
    x: Array,
    /,
    *,
    edge: float,
    iterations: int,
    step: float,
    conductance: Conductance,
    spacing_mm: tuple[float, float, float],
) -> Array:
    """Return an image after some explicit steps of ``u += step sum_n c(d_n) d_n / h_n``.

    d_n is the difference to each of six neighbours over its distance h_n, in units of the smallest
    spacing; c is ``exp(-(d/edge)^2)`` or ``1 / (1 + (d/edge)^2)``. Nothing flows through the border.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    edge : float
        Difference of neighbours from which they are an edge, in the unit of the image.
    iterations : int
        Steps; the result at a voxel depends on voxels up to as many away.
    step : float
        Length of a step, at most 1/6.
    conductance : {"exponential", "rational"}
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of float32 (z, y, x)
    """
    xp = backend_of(x).xp
    least = min(spacing_mm)
    lengths = [length / least for length in spacing_mm]
    before, after = x, xp.empty(x.shape, dtype=xp.float32)
    for _ in range(iterations):
        for first, last in slab_ranges(x.shape):
            slab = edged(before, first, last)
            own = moved(slab, (0, 0, 0))
            change = xp.zeros(own.shape, dtype=xp.float32)
            for axis, length in enumerate(lengths):
                for side in (-1, 1):
                    slope = moved(slab, along(axis, side)) - own
                    slope *= xp.float32(1.0 / length)
                    flow = _conducted(slope, edge, conductance)
                    flow *= xp.float32(step / length)
                    change += flow
            xp.add(own, change, out=after[first:last])
        before, after = after, xp.empty(x.shape, dtype=xp.float32) if before is x else before
    return before


def _conducted(slope: Array, edge: float, conductance: Conductance) -> Array:
    xp = backend_of(slope).xp
    size = slope * xp.float32(1.0 / edge)
    size *= size
    if conductance == "exponential":
        return slope * xp.exp(-size)
    size += xp.float32(1.0)
    return slope / size


def adaptive_diffusion(
    x: Array,
    /,
    *,
    conductance: float,
    iterations: int,
    step: float,
    equation: Equation,
    spacing_mm: tuple[float, float, float],
) -> Array:
    """Return an image after some steps of diffusion whose idea of an edge follows the image's slopes.

    What an edge is, is `conductance` times the root mean square of the gradient, told anew before
    each step: a figure of the whole volume.

    Parameters
    ----------
    x : array of float32 (z, y, x)
        A NaN spreads by a voxel a step and does not count in the mean.
    conductance : float
    iterations : int
    step : float
        Length of a step in time.
    equation : {"curvature", "gradient"}
        Whether level lines move by their curvature, or differences flow.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of float32 (z, y, x)
    """
    xp = backend_of(x).xp
    before, after = x, xp.empty(x.shape, dtype=xp.float32)
    for _ in range(iterations):
        bound = 2.0 * conductance**2 * _mean_square_gradient(before, spacing_mm)
        for first, last in slab_ranges(x.shape):
            slab = edged(before, first, last)
            change = _flow(slab, spacing_mm, bound, equation)
            change *= xp.float32(step)
            xp.add(moved(slab, (0, 0, 0)), change, out=after[first:last])
        before, after = after, xp.empty(x.shape, dtype=xp.float32) if before is x else before
    return before


def _mean_square_gradient(x: Array, spacing_mm: tuple[float, float, float]) -> float:
    xp = backend_of(x).xp
    total, count = 0.0, 0
    for first, last in slab_ranges(x.shape):
        slab = edged(x, first, last)
        squares = sum(
            ((moved(slab, along(axis, 1)) - moved(slab, along(axis, -1))) * xp.float32(0.5 / length)) ** 2
            for axis, length in enumerate(spacing_mm)
        )
        total += float(xp.nansum(squares, dtype=xp.float64))
        count += int(xp.count_nonzero(~xp.isnan(squares)))
    return total / max(count, 1)


def _flow(slab: Array, spacing_mm: tuple[float, float, float], bound: float, equation: Equation) -> Array:
    """Return the rate of change of the voxels within a slab's border."""
    xp = backend_of(slab).xp
    own = moved(slab, (0, 0, 0))
    speed = xp.zeros(own.shape, dtype=xp.float32)
    slopes = []
    for axis, length in enumerate(spacing_mm):
        ahead = (moved(slab, along(axis, 1)) - own) * xp.float32(1.0 / length)
        behind = (own - moved(slab, along(axis, -1))) * xp.float32(1.0 / length)
        slopes.append((ahead, behind))
        for side, slope in ((1, ahead), (-1, behind)):
            square = slope * slope
            for other in range(3):
                if other != axis:
                    across = _across(slab, other, (0, 0, 0)) + _across(slab, other, along(axis, side))
                    square += (across * xp.float32(0.25 / spacing_mm[other])) ** 2
            flow = slope * xp.exp(square * xp.float32(-1.0 / bound)) if bound > 0 else xp.zeros_like(slope)
            if equation == "curvature":
                flow /= xp.sqrt(square + xp.float32(_LEAST_NORM))
            speed += xp.float32(side) * flow
    return speed * _upwind(slopes, speed) if equation == "curvature" else speed


def _across(slab: Array, axis: int, shift: tuple[int, int, int]) -> Array:
    """Return the difference over two voxels along an axis, at a shift across it."""
    z, y, x = shift
    one = along(axis, 1)
    ahead, behind = (z + one[0], y + one[1], x + one[2]), (z - one[0], y - one[1], x - one[2])
    return moved(slab, ahead) - moved(slab, behind)


def _upwind(slopes: list[tuple[Array, Array]], speed: Array) -> Array:
    """Return the size of the gradient on the side that the level lines come from."""
    xp = backend_of(speed).xp
    total = xp.zeros(speed.shape, dtype=xp.float32)
    rises = speed > 0
    for ahead, behind in slopes:
        total += xp.where(rises, xp.minimum(behind, 0) ** 2, xp.maximum(behind, 0) ** 2)
        total += xp.where(rises, xp.maximum(ahead, 0) ** 2, xp.minimum(ahead, 0) ** 2)
    return xp.sqrt(total)
