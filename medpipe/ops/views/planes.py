"""Which way the axes of an image run in the patient, and pictures turned the way they are read."""

from __future__ import annotations

import itertools
from typing import Literal, NamedTuple

import numpy as np

from medpipe.errors import Rejected
from medpipe.types import Array, Geometry

Plane = Literal["axial", "coronal", "sagittal"]

_ACROSS = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Axis of the patient (L, P, S) that a picture is seen along."""

_SHOWN = {"axial": ((1, 1), (0, 1)), "coronal": ((2, -1), (0, 1)), "sagittal": ((2, -1), (1, 1))}
"""Axis of the patient that rows, then columns, run along, and which way: the head is up, the patient's left at
the right, the front at the top or at the left."""


class Seen(NamedTuple):
    """How a picture is taken out of an array (z, y, x).

    Attributes
    ----------
    across : int
        Array axis that is looked along.
    turned : bool
        Whether rows and columns change places after that axis is gone.
    flips : (bool, bool)
        Whether rows, columns are then reversed.
    spacing_mm : (float, float)
        Of rows and columns.
    """

    across: int
    turned: bool
    flips: tuple[bool, bool]
    spacing_mm: tuple[float, float]

    def picture(self, flat: Array) -> Array:
        """Return what is left of the array without the axis across, as it is read."""
        shown = flat.T if self.turned else flat
        return shown[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]


def seen(geometry: Geometry, plane: Plane) -> Seen:
    """Return how a picture of a plane is taken; image axes count for the patient's that they are nearest to.

    Raises
    ------
    Rejected
        ``W_UNPLACED`` for an image without a place, ``E_SPACING`` where voxel sizes are not known.
    """
    matrix = geometry.matrix
    if matrix is None:
        raise Rejected("W_UNPLACED")
    if geometry.spacing_mm is None:
        raise Rejected("E_SPACING")
    columns = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    # of each axis of the patient the image axis (x, y, z) that is nearest; a tie goes to the first
    nearest = max(itertools.permutations(range(3)), key=lambda order: sum(abs(columns[i, order[i]]) for i in range(3)))
    across = 2 - nearest[_ACROSS[plane]]
    (row, row_way), (column, column_way) = _SHOWN[plane]
    places = [2 - nearest[row], 2 - nearest[column]]
    flips = [way * columns[axis, nearest[axis]] < 0 for axis, way in ((row, row_way), (column, column_way))]
    return Seen(
        across=across,
        turned=places[0] > places[1],
        flips=(bool(flips[0]), bool(flips[1])),
        spacing_mm=(geometry.spacing_mm[places[0]], geometry.spacing_mm[places[1]]),
    )


def as_stored(geometry: Geometry) -> Seen:
    """Return how the planes of an array are shown as they are stored; pixels of unknown size are square."""
    spacing = geometry.spacing_mm or (1.0, 1.0, 1.0)
    return Seen(across=0, turned=False, flips=(False, False), spacing_mm=(spacing[1], spacing[2]))
