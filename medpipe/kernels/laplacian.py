"""The Laplacian of a Gaussian as a sum of separable convolutions.

References
----------
IBSI 2 reference manual, "Laplacian-of-Gaussian filters" (code L6PA), arXiv:2006.05470.
"""

from __future__ import annotations

import math

import numpy as np

from medpipe.kernels.separable import ALONE, Taps, Term


def laplacian_terms(
    *, sigma_mm: float, truncate: float, spacing_mm: tuple[float, float, float], by_slice: bool
) -> list[Term]:
    """Return terms whose sum is the Laplacian of a Gaussian, with the sum of its weights brought to 0.

    Parameters
    ----------
    sigma_mm : float
        Standard deviation of the Gaussian, mm.
    truncate : float
        Standard deviations after which the kernel ends.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.
    by_slice : bool
        Within slices only: two dimensions.

    Returns
    -------
    list of Term
        Three in the slice, four in space.

    Notes
    -----
    ``(r^2 / s^4 - D / s^2) G(r)`` is the sum over the D axes of ``(r_d^2 / s^4 - 1 / s^2) G``, each a product of
    kernels along the axes; the mean over the kernel's box is a product too. Lengths are counted in voxels; where steps
    differ between axes, in the smallest, so that the operator stays the same in all directions.
    """
    axes = (1, 2) if by_slice else (0, 1, 2)
    unit_mm = min(spacing_mm[axis] for axis in axes)
    smooth: dict[int, Taps] = {}
    curved: dict[int, Taps] = {}
    boxes: dict[int, Taps] = {}
    for axis in axes:
        step_mm, half = spacing_mm[axis], laplacian_reach(sigma_mm, spacing_mm[axis], truncate)
        at = np.arange(-half, half + 1) * (step_mm / sigma_mm)
        gaussian = np.exp(-0.5 * at**2) * (step_mm / (math.sqrt(2.0 * math.pi) * sigma_mm))
        smooth[axis] = tuple(gaussian.tolist())
        curved[axis] = tuple(((at**2 - 1.0) * (unit_mm / sigma_mm) ** 2 * gaussian).tolist())
        boxes[axis] = (1.0,) * (2 * half + 1)
    terms = [_term({axis: (curved if axis == one else smooth)[axis] for axis in axes}) for one in axes]
    mean = sum(math.prod(math.fsum(taps) for taps in term) for term in terms) / math.prod(map(len, boxes.values()))
    boxes[axes[0]] = tuple(-mean * tap for tap in boxes[axes[0]])
    return [*terms, _term(boxes)]


def laplacian_reach(sigma_mm: float, step_mm: float, truncate: float) -> int:
    """Return the half-width of the kernel along an axis, in voxels."""
    return math.floor(truncate * sigma_mm / step_mm + 0.5)


def _term(kernels: dict[int, Taps]) -> Term:
    return kernels.get(0, ALONE), kernels[1], kernels[2]
