"""Grey levels from intensities: fixed bin size and fixed bin number."""

from __future__ import annotations

from medpipe.errors import Rejected
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


def anchored_bins(values: Array, /, *, width: float, low: float | None = None) -> Array:
    """Return grey levels of bins of one width whose edges begin at a multiple of it.

    The first edge is ``min - min mod width``, and edges are ``first + n width`` as they are added
    up in float64: where a width is no sum of powers of two, intensities on an edge fall as they do there.

    Parameters
    ----------
    values : NumPy array of float64, not empty
        Intensities of a region.
    width : float
        Width of a bin, in the unit of the image.
    low : float, optional
        Minimum of the region, where the values are a part of its intensities.

    Returns
    -------
    array of int64, same shape
        Levels from 1.

    Raises
    ------
    Rejected
        ``E_LEVELS`` if a width is nothing beside the intensities.

    Notes
    -----
    The bins of pyradiomics (``binWidth``). Levels mean other intensities than those of :func:`fixed_bin_size`.
    """
    xp = backend_of(values).xp
    low = float(values.min()) if low is None else low
    first = low - low % width
    step = (first + width) - first
    if step == 0.0:
        raise Rejected("E_LEVELS")
    levels = xp.floor((values - first) / step)
    # a quotient may round to the other side of an edge
    levels -= first + levels * step > values
    levels += first + (levels + 1.0) * step <= values
    return levels.astype(xp.int64) + 1


def histogram_bins(values: Array, /, *, bins: int, ends: tuple[float, float] | None = None) -> Array:
    """Return grey levels of a number of bins between edges that are spaced as those of a NumPy histogram.

    Parameters
    ----------
    values : NumPy array of float64, not empty
        Intensities of a region.
    bins : int
        Number of bins. Equal values fall into the one in the middle.
    ends : (float, float), optional
        Minimum and maximum of the region, where the values are a part of its intensities.

    Returns
    -------
    array of int64, same shape
        Levels from 1 to ``bins``.

    Notes
    -----
    The bins of pyradiomics (``binCount``). Beside an edge they may differ from those of :func:`fixed_bin_number`.
    """
    xp = backend_of(values).xp
    low, high = (float(values.min()), float(values.max())) if ends is None else ends
    if low == high:
        low, high = low - 0.5, high + 0.5
        if low == high:  # too far from 0 for a half to be told
            return xp.full(values.shape, bins // 2 + 1, dtype=xp.int64)
    edges = xp.linspace(low, high, bins + 1)
    edges[-1] += 1.0
    levels = xp.clip(((values - low) / (high - low) * bins).astype(xp.int64), 0, bins - 1)
    # a quotient may round to the other side of an edge
    levels += values >= edges[levels + 1]
    levels -= values < edges[levels]
    return xp.minimum(levels + 1, bins)
