"""From the affine of a volume's file to where its slices lie, as DICOM volumes have it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from medpipe.archive.frames import Vector
from medpipe.errors import Rejected

_LEAST_PART: Final = 1e-6
_MOST_MM: Final = 1e9


class Place(NamedTuple):
    """Where an array lies: the affine of slices in ascending order, and whether they are stored in descending order."""

    affine_lps: tuple[float, ...]
    reverse: bool


def place_of(affine: Vector, n_slices: int) -> Place:
    """Return where an array lies whose affine takes (x, y, z) to LPS mm.

    Rows and columns stay as they are stored. Slices that are stored against the normal of their
    planes are taken in the other order, and the affine with them: affine x index is the same
    point for the same voxel.

    Raises
    ------
    Rejected
        ``E_NONFINITE``, ``E_SPACING`` for lengths beyond any image, or ``E_ORIENTATION`` if the
        axes do not span a volume.
    """
    if not np.isfinite(affine).all():
        raise Rejected("E_NONFINITE")
    if np.abs(affine).max() > _MOST_MM:
        raise Rejected("E_SPACING")
    steps = affine[:3, :3]
    lengths = np.linalg.norm(steps, axis=0)
    if lengths.min() <= 0 or abs(np.linalg.det(steps / lengths)) < _LEAST_PART:
        raise Rejected("E_ORIENTATION")
    placed = np.array(affine, dtype=np.float64)
    reverse = bool(np.linalg.det(steps) < 0)
    if reverse:
        placed[:3, 3] += (n_slices - 1) * placed[:3, 2]
        placed[:3, 2] *= -1
    # adding zero turns -0.0 into 0.0
    return Place(tuple(float(item) + 0.0 for item in placed.ravel()), reverse)


def to_lps(affine: Any, *, signs: tuple[int, int, int], scale: float) -> Vector:
    """Return an affine in LPS mm, given the sign of each axis and the unit's length in mm."""
    found = np.array(affine, dtype=np.float64)
    found[:3] *= np.array(signs, dtype=np.float64)[:, None] * scale
    return found
