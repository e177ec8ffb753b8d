"""Sobel's gradient of a slice."""

from __future__ import annotations

from medpipe.types import Array
from medpipe.xp import backend_of

SOBEL_WEIGHT = 8.0
"""What Sobel's masks make of a slope of 1 per pixel."""


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
