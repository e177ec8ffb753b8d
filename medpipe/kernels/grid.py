"""The centre-aligned grid of resampling.

Both grids share their centre, so the error of a voxel count that does not divide evenly is
spread over both ends (IBSI reference manual, chapter "Image interpolation"). Computing only
the part of the grid that a region touches gives the same numbers as computing all of it; what
interpolates on a grid is :mod:`medpipe.kernels.resample`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MASK_THRESHOLD = 0.5 - 1e-6
"""A resampled voxel belongs to a mask from here; exactly one half must not depend on rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridAxis:
    """Sample points along one axis: ``start + step * t`` for t in 0 to count - 1.

    Attributes
    ----------
    count : int
        Number of points.
    start, step : float
        Position of the first point and distance of points, in voxels of the source array.
    """

    count: int
    start: float
    step: float

    def part(self, first: int, last: int, *, size: int) -> GridAxis:
        """Return the points at which source voxels ``first`` to ``last`` weigh in linearly.

        Parameters
        ----------
        first, last : int
            First and last source voxel of a region.
        size : int
            Number of source voxels; beyond the ends of the source its end voxels go on.
        """
        low = 0 if first == 0 else math.ceil((first - 1 - self.start) / self.step)
        high = self.count if last == size - 1 else math.floor((last + 1 - self.start) / self.step) + 1
        low, high = max(low, 0), min(high, self.count)
        return GridAxis(count=max(high - low, 0), start=self.start + low * self.step, step=self.step)

    def shifted(self, origin: int) -> GridAxis:
        """Return the same points as seen from a source array that begins at voxel ``origin``."""
        return GridAxis(count=self.count, start=self.start - origin, step=self.step)


def centred_axis(size: int, /, *, spacing_mm: float, target_mm: float) -> GridAxis:
    """Return the grid of a target spacing that shares its centre with the source's.

    Parameters
    ----------
    size : int
        Number of source voxels along the axis.
    spacing_mm, target_mm : float
        Spacing of the source and of the result, mm.

    Notes
    -----
    ``n_b = ceil(n_a s_a / s_b)`` and ``x_0 = (n_a - 1 - (s_b / s_a)(n_b - 1)) / 2``.
    """
    step = target_mm / spacing_mm
    # A product such as 3 * 0.1 / 0.3 must not gain a voxel by rounding.
    count = max(math.ceil(size / step - 1e-9), 1)
    return GridAxis(count=count, start=0.5 * (size - 1 - step * (count - 1)), step=step)
