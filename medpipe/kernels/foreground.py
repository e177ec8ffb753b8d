"""What is not background: the foreground of a volume that has no mask."""

from __future__ import annotations

from medpipe.errors import Rejected
from medpipe.kernels.classes import otsu_threshold
from medpipe.kernels.components import fill_slice_holes, largest_component
from medpipe.kernels.intensity import varying
from medpipe.types import Array
from medpipe.xp import backend_of


def clipped_otsu(x: Array, /, *, low: float, high: float) -> tuple[Array, float]:
    """Return an array clipped to two of its percentiles, and Otsu's threshold of that.

    Parameters
    ----------
    x : array of float32
        Voxels that are not finite do not count; NaN stays NaN.
    low, high : float
        Percentiles, in percent.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if the clipped values are all equal, ``EMPTY_ROI`` if none is finite.
    """
    xp = backend_of(x).xp
    values, floor, ceiling = clipped(varying(x, xp.ones(x.shape, dtype=bool)), low=low, high=high)
    threshold = otsu_threshold(values)
    del values
    return xp.clip(x, floor, ceiling), threshold


def clipped(values: Array, /, *, low: float, high: float) -> tuple[Array, float, float]:
    """Clip values to two of their percentiles, in place, and return them with both.

    Parameters
    ----------
    values : array of float32, one axis
        Finite; put in another order and written to.
    low, high : float
        Percentiles, in percent.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if both percentiles are equal.
    """
    xp = backend_of(values).xp
    floor, ceiling = (float(value) for value in xp.percentile(values, [low, high], overwrite_input=True))
    if not ceiling > floor:
        raise Rejected("E_CONSTANT")
    return xp.clip(values, floor, ceiling, out=values), floor, ceiling


def foreground(x: Array, /) -> Array:
    """Return the foreground of an image with a dark background, such as a magnitude MR.

    Parameters
    ----------
    x : array of float32 (z, y, x)

    Returns
    -------
    array of bool (z, y, x)
        Otsu's threshold on the volume clipped to its percentiles 1 and 99 and smoothed (sigma
        of one voxel), the largest component of that, holes filled slice by slice.

    Raises
    ------
    Rejected
        ``E_CONSTANT`` if the volume does not vary, ``EMPTY_ROI`` if nothing is finite.
    """
    backend = backend_of(x)
    xp = backend.xp
    known, _ = clipped_otsu(x, low=1.0, high=99.0)
    known[xp.isnan(known)] = float(xp.nanmin(known))
    smooth = backend.ndi.gaussian_filter(known, 1.0, mode="nearest", truncate=4.0)
    del known
    bright = smooth > otsu_threshold(smooth)
    del smooth
    return fill_slice_holes(largest_component(bright))
