"""Values of interest onto [0, 1]: the DICOM functions LINEAR, SIGMOID and tables, and polarity.

LINEAR_EXACT is :func:`medpipe.kernels.intensity.window`.

References
----------
DICOM PS3.3 C.11.2.1.2 (window), C.11.2.1.3 (functions), C.11.2.1.1 (table).
"""

from __future__ import annotations

from medpipe.types import Array
from medpipe.xp import backend_of

_STEEPEST = 80.0
"""Exponents beyond this change nothing that float32 shows beside 1."""


def linear(x: Array, /, *, center: float, width: float) -> Array:
    """Map a window of whole numbers to [0, 1], and what lies outside to its ends.

    Parameters
    ----------
    x : array of float32
    center : float
    width : float
        At least 1; of 1 it is a step.

    Returns
    -------
    array of float32, same shape
        0 for ``x <= c - 0.5 - (w - 1) / 2``, 1 for ``x > c - 0.5 + (w - 1) / 2``, between them
        ``(x - (c - 0.5)) / (w - 1) + 0.5``; NaN stays NaN.
    """
    xp = backend_of(x).xp
    result = x - xp.float32(center - 0.5)
    if width > 1.0:
        result *= xp.float32(1.0 / (width - 1.0))
        result += xp.float32(0.5)
    else:
        xp.sign(result, out=result)
    return xp.clip(result, 0.0, 1.0, out=result)


def sigmoid(x: Array, /, *, center: float, width: float) -> Array:
    """Map intensities to (0, 1) by the logistic function, whose slope in the middle is that of the window.

    Parameters
    ----------
    x : array of float32
    center : float
    width : float
        Above 0.

    Returns
    -------
    array of float32, same shape
        ``1 / (1 + exp(-4 (x - c) / w))``; NaN stays NaN.
    """
    xp = backend_of(x).xp
    result = x - xp.float32(center)
    result *= xp.float32(-4.0 / width)
    xp.clip(result, -_STEEPEST, _STEEPEST, out=result)
    xp.exp(result, out=result)
    result += xp.float32(1.0)
    return xp.reciprocal(result, out=result)


def looked_up(x: Array, table: Array, /, *, first: float) -> Array:
    """Replace values by the entries of a table.

    Parameters
    ----------
    x : array of float32
        Rounded to whole numbers.
    table : array of float32, one axis
        Entries for ``first``, ``first + 1``, ...
    first : float

    Returns
    -------
    array of float32, same shape
        What lies below or above the table becomes its first or last entry; NaN stays NaN.
    """
    xp = backend_of(x).xp
    places = xp.rint(x)
    places -= xp.float32(first)
    unknown = xp.isnan(places)
    places[unknown] = 0
    xp.clip(places, 0, table.size - 1, out=places)
    result = table[places.astype(xp.int32)]
    result[unknown] = xp.nan
    return result


def inverted(x: Array, /, *, low: float, high: float) -> Array:
    """Turn a range of values round: ``low + high - x``.

    Parameters
    ----------
    x : array of float32
    low, high : float
        Ends of the range.

    Returns
    -------
    array of float32, same shape
    """
    xp = backend_of(x).xp
    return xp.float32(low + high) - x
