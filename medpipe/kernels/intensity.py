"""Intensities onto a common scale: window, clip, z-score, percentiles."""

from __future__ import annotations

from collections.abc import Sequence

from medpipe.errors import Rejected
from medpipe.kernels.sums import mean_and_deviation
from medpipe.types import Array
from medpipe.xp import backend_of

WINDOWS_HU = {
    "lung": (-600.0, 1500.0),
    "mediastinum": (40.0, 400.0),
    "soft_tissue": (40.0, 400.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "liver": (60.0, 160.0),
    "abdomen": (50.0, 400.0),
    "stroke": (40.0, 40.0),
    "subdural": (75.0, 215.0),
    "temporal_bone": (600.0, 2800.0),
    "spine": (50.0, 250.0),
    "angiography": (300.0, 600.0),
}
"""Usual CT windows: centre and width, HU."""


def window(x: Array, /, *, center: float, width: float) -> Array:
    """Map a window of intensities to [0, 1], and what lies outside to its ends.

    Parameters
    ----------
    x : array of float32
    center, width : float
        Window, in the unit of the image; ``width`` above 0.

    Returns
    -------
    array of float32, same shape
        ``min(max((x - center) / width + 1/2, 0), 1)``; NaN stays NaN.

    Notes
    -----
    DICOM PS3.3 C.11.2.1.3.2 (LINEAR_EXACT) with an output range of 0 to 1.
    """
    xp = backend_of(x).xp
    result = x - xp.float32(center - 0.5 * width)
    result *= xp.float32(1.0 / width)
    return xp.clip(result, 0.0, 1.0, out=result)


def clip(x: Array, /, *, low: float, high: float) -> Array:
    """Limit intensities to a range.

    Parameters
    ----------
    x : array of float32
    low, high : float
        Range, in the unit of the image.

    Returns
    -------
    array of float32, same shape
        NaN stays NaN.
    """
    return backend_of(x).xp.clip(x, low, high)


def scale_planes(x: Array, /, *, factors: Sequence[float]) -> Array:
    """Multiply each plane by its factor.

    Parameters
    ----------
    x : array of float32, shape (..., y, x)
    factors : sequence of float
        One for all planes, or one for each, in C order of the leading axes.

    Returns
    -------
    array of float32, same shape
        Products are float64 and rounded once.
    """
    xp = backend_of(x).xp
    result = xp.empty(x.shape, dtype=xp.float32)
    planes, scaled = x.reshape(-1, *x.shape[-2:]), result.reshape(-1, *x.shape[-2:])
    for place in range(len(planes)):
        factor = factors[place if len(factors) > 1 else 0]
        scaled[place] = planes[place].astype(xp.float64) * factor
    return result


def zscore(x: Array, mask: Array, /) -> Array:
    """Return ``(x - mean) / sd`` with mean and standard deviation over a mask.

    Parameters
    ----------
    x : array of float32
    mask : array of bool, same shape
        Where the statistics are taken; voxels that are not finite do not count.

    Returns
    -------
    array of float32, same shape
        ``sd`` is the population's (ddof 0). Sums are float64.

    Raises
    ------
    Rejected
        ``EMPTY_ROI`` if nothing finite lies in the mask, ``E_CONSTANT`` if all of it is equal.
    """
    mean, deviation = mean_and_deviation(varying(x, mask))
    return _scaled(x, origin=mean, unit=deviation)


def percentile_scale(x: Array, mask: Array, /, *, low: float, high: float) -> Array:
    """Return ``(x - p_low) / (p_high - p_low)`` with percentiles over a mask.

    Parameters
    ----------
    x : array of float32
    mask : array of bool, same shape
        Where the percentiles are taken; voxels that are not finite do not count.
    low, high : float
        Percentiles that become 0 and 1, in percent.

    Returns
    -------
    array of float32, same shape
        Not clipped.

    Raises
    ------
    Rejected
        ``EMPTY_ROI`` if nothing finite lies in the mask, ``E_CONSTANT`` if both percentiles
        are equal.
    """
    xp = backend_of(x).xp
    values = varying(x, mask)
    floor, ceiling = (float(value) for value in xp.percentile(values, [low, high], overwrite_input=True))
    del values
    if not ceiling > floor:
        raise Rejected("E_CONSTANT")
    return _scaled(x, origin=floor, unit=ceiling - floor)


def varying(x: Array, mask: Array, /) -> Array:
    """Return the finite values in a mask, as a vector of their own.

    Raises
    ------
    Rejected
        ``EMPTY_ROI`` if there are none, ``E_CONSTANT`` if all are equal.
    """
    xp = backend_of(x).xp
    counted = xp.isfinite(x)
    counted &= mask
    values = x[counted]
    del counted
    if values.size == 0:
        raise Rejected("EMPTY_ROI")
    # The spread of equal values is not always 0 in floating point; their range is.
    if float(values.min()) == float(values.max()):
        raise Rejected("E_CONSTANT")
    return values


def _scaled(x: Array, *, origin: float, unit: float) -> Array:
    xp = backend_of(x).xp
    result = x - xp.float32(origin)
    result /= xp.float32(unit)
    return result
