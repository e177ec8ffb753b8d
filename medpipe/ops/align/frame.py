"""Images of one frame of reference lie to each other as their affines say: nothing is searched for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.contracts.images import Alignment
from medpipe.errors import Rejected
from medpipe.kernels.placement import as_affine, overlap, voxel_to_voxel
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Geometry, Volume

Unnamed = Literal["refuse", "take"]

LEAST_OVERLAP = 0.01
"""Share of the smaller image within the other below which two images show nothing in common."""


@register("align")
@dataclass(frozen=True, slots=True, kw_only=True)
class SameFrame:
    """Takes two images as they lie in their one frame of reference."""

    name: ClassVar[str] = "same_frame"
    version: ClassVar[int] = 1
    uses_voxels: ClassVar[bool] = False

    unnamed: Unnamed = parameter(  # noqa: RUF009  # declares a field
        "refuse",
        doc="Images of which neither names a frame of reference, as those that are not DICOM: refuse them, or take "
        "them for images of one.",
    )

    def memory(self, geometry: Geometry, other: Geometry) -> int:  # noqa: ARG002  # a few matrices
        """Return the bytes of the points at which the overlap is looked at."""
        return 1 << 20

    def __call__(self, image: Volume, other: Volume) -> Alignment:
        """Return the unit matrix.

        Raises
        ------
        Rejected
            ``E_FRAME`` if the frames differ or are not known, or what :func:`matrix_of` says.
        """
        if not are_of_one_frame(image, other, unnamed=self.unnamed):
            raise Rejected("E_FRAME")
        return as_they_lie(image, other)


def are_of_one_frame(image: Volume, other: Volume, *, unnamed: Unnamed) -> bool:
    """Tell whether two images have one frame of reference, or what a recipe takes for one."""
    keys = image.geometry.frame_of_reference_key, other.geometry.frame_of_reference_key
    return keys[0] == keys[1] and (keys[0] is not None or unnamed == "take")


def as_they_lie(image: Volume, other: Volume) -> Alignment:
    """Return the alignment of images of one frame of reference.

    Raises
    ------
    Rejected
        What :func:`matrix_of` says of either.
    """
    unit = np.eye(4)
    share = overlap_of(image, other, unit)
    return Alignment(
        matrix=as_affine(unit),
        method="frame",
        code="E_OVERLAP" if share < LEAST_OVERLAP else "",
        overlap=share,
        rotation_deg=0.0,
        translation_mm=0.0,
    )


def overlap_of(image: Volume, other: Volume, matrix: NDArray[np.float64]) -> float:
    """Return the share of the smaller of two images that lies within the other under a map in LPS mm."""
    affine, second = matrix_of(image), matrix_of(other)
    return overlap(
        image.geometry.spatial_shape,
        other.geometry.spatial_shape,
        there=voxel_to_voxel(affine, second, between=matrix),
        back=voxel_to_voxel(second, affine, between=np.asarray(np.linalg.inv(matrix), dtype=np.float64)),
    )


def matrix_of(volume: Volume) -> NDArray[np.float64]:
    """Return where the voxels of an image are.

    Raises
    ------
    Rejected
        ``E_AXES`` for an image with a time or channel axis, ``W_UNPLACED`` for one without a place
        in the patient, ``W_UNEVEN`` where the steps between slices are uneven.
    """
    geometry = volume.geometry
    if geometry.axes != "zyx":
        raise Rejected("E_AXES")
    matrix = geometry.matrix
    if matrix is None or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise Rejected("W_UNPLACED")
    if geometry.slice_positions_mm is not None:
        raise Rejected("W_UNEVEN")
    return matrix
