"""Edges in a slice: Sobel's gradient and Canny's thin lines."""

from __future__ import annotations

from medpipe.types import Array
from medpipe.xp import backend_of, to_numpy

SOBEL_WEIGHT = 8.0
"""What Sobel's masks make of a slope of 1 per pixel."""

SPREAD_REACH = 4.0
"""Standard deviations to which Canny's Gaussian reaches."""

_WEAK = 0.4


def gradient_size(plane: Array, /) -> Array:
    """Return the size of Sobel's gradient, per pixel.

    Parameters
    ----------
    plane : array (y, x)
        At its borders the image is mirrored, the edge pixel twice; NaN makes its neighbours NaN.

    Returns
    -------
    array of float64 (y, x)
    """
    backend = backend_of(plane)
    wide = plane.astype(backend.xp.float64)
    down, across = (backend.ndi.sobel(wide, axis=axis, mode="reflect") for axis in (0, 1))
    return backend.xp.hypot(down, across) / SOBEL_WEIGHT


def smoothed_gradient_size(plane: Array, /, *, sigma: float) -> Array:
    """Return the same of a slice smoothed by a Gaussian: what Canny's thresholds are of."""
    backend = backend_of(plane)
    wide = plane.astype(backend.xp.float64)
    return gradient_size(backend.ndi.gaussian_filter(wide, sigma, mode="nearest", truncate=SPREAD_REACH))


def thin_edges(plane: Array, /, *, sigma: float, threshold: float) -> Array:
    """Return Canny's edges of a slice, on the host.

    Parameters
    ----------
    plane : array (y, x)
        Without NaN.
    sigma : float
        Of the Gaussian before, in pixels.
    threshold : float
        Gradient per pixel from which an edge begins; it goes on where there is at least 0.4 of it.

    Returns
    -------
    NumPy array of bool (y, x)

    Notes
    -----
    J. Canny, doi:10.1109/TPAMI.1986.4767851, as scikit-image does it: lines of one pixel, none along
    the border of the array.
    """
    from skimage.feature import canny

    strong = threshold * SOBEL_WEIGHT
    wide = to_numpy(plane).astype("float64")
    found: Array = canny(  # type: ignore[no-untyped-call]  # scikit-image has no types here
        wide, sigma=sigma, low_threshold=_WEAK * strong, high_threshold=strong, mode="nearest"
    )
    return found
