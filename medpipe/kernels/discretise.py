"""Grey levels from intensities: fixed bin size and fixed bin number."""

from __future__ import annotations

from medpipe.types import Array
from medpipe.xp import backend_of


def fixed_bin_size(values: Array, /, *, width: float, low: float) -> Array:
    """Return grey levels of bins of one width: ``floor((x - low) / width) + 1``.

    Parameters
    ----------
    values : array
        Intensities, none below ``low``.
    width : float
        Width of a bin, in the unit of the image.
    low : float
        Lower edge of the first bin: the lower bound of re-segmentation, so that a level means
        the same intensity in every region. Anchored elsewhere the features are not the
        standard's.

    Returns
    -------
    array of int64, same shape
        Levels from 1.

    Notes
    -----
    IBSI code Q3RU.
    """
    xp = backend_of(values).xp
    x = values.astype(xp.float64)
    x -= low
    x /= width
    return _levels(x)


def fixed_bin_number(values: Array, /, *, bins: int, ends: tuple[float, float] | None = None) -> Array:
    """Return grey levels of a number of bins that span the range of the values.

    ``min(floor(bins * (x - min) / (max - min)) + 1, bins)``; 1 everywhere if all values are
    equal.

    Parameters
    ----------
    values : array, not empty
        Intensities of a region.
    bins : int
        Number of bins.
    ends : (float, float), optional
        Minimum and maximum of the region, where the values are a part of its intensities.

    Returns
    -------
    array of int64, same shape
        Levels from 1 to ``bins``.

    Notes
    -----
    IBSI code K15C.
    """
    xp = backend_of(values).xp
    x = values.astype(xp.float64)
    low, high = (x.min(), x.max()) if ends is None else ends
    if low == high:
        return xp.ones(x.shape, dtype=xp.int64)
    x -= low
    x *= bins
    x /= high - low
    levels = _levels(x)
    return xp.minimum(levels, bins, out=levels)


def _levels(x: Array) -> Array:
    """Return the level of each place in units of a bin; the places are overwritten."""
    xp = backend_of(x).xp
    levels = xp.floor(x, out=x).astype(xp.int64)
    levels += 1
    return levels
