"""Rigid registration of two images, and the checks by which it is accepted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medpipe.contracts.images import Alignment
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.placement import as_affine, corners_mm, shift_mm, turn_deg
from medpipe.ops.align.frame import Unnamed, are_of_one_frame, as_they_lie, matrix_of, overlap_of
from medpipe.ops.align.search import LARGEST_SAMPLE, Found, search
from medpipe.ops.itk import LIBRARY_BYTES
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Geometry, Volume

_NOISE = 0.01
"""Share of mutual information by which a sample of it may seem lower than it is."""

_SQUARE = 1e-3
"""Largest cosine between axes that are taken to be at right angles."""


@register("align")
@dataclass(frozen=True, slots=True, kw_only=True)
class Rigid:
    """Registers a companion image to the case's image by turning and shifting it; refuses what is in doubt.

    Images of one frame of reference are taken as they lie unless ``within_frame`` is set. The
    search runs on averaged voxels of about 4, 2 and 1 times ``work_mm``, from the images as they
    lie, from common centres and from common centres of mass; it is the same each time.
    """

    name: ClassVar[str] = "rigid"
    version: ClassVar[int] = 1
    library_bytes: ClassVar[int] = LIBRARY_BYTES

    within_frame: bool = parameter(
        default=False, doc="Register images of one frame of reference too, as of a patient who moved."
    )
    work_mm: float = parameter(
        2.0, doc="Voxel size at which the search ends; finer voxels are averaged.", unit="mm", above=0.0, high=20.0
    )
    max_rotation_deg: float = parameter(
        30.0, doc="Angle beyond which a result is refused.", unit="degrees", low=0.0, high=180.0
    )
    max_translation_mm: float = parameter(
        150.0, doc="Way of the image's centre beyond which a result is refused.", unit="mm", low=0.0
    )
    min_overlap: float = parameter(
        0.25, doc="Least share of the smaller image that lies within the other.", low=0.0, high=1.0
    )
    min_information: float = parameter(
        0.05, doc="Least mutual information of what lies over each other.", unit="nats", low=0.0
    )
    max_inverse_mm: float = parameter(
        3.0,
        doc="Farthest that a corner of the image may come to lie from itself, there by this registration and back by "
        "that of the images the other way round.",
        unit="mm",
        above=0.0,
    )

    def __post_init__(self) -> None:
        if self.max_rotation_deg == 0.0 and self.max_translation_mm == 0.0:
            raise ConfigError("max_rotation_deg: with max_translation_mm = 0 as well nothing could be accepted")

    def memory(self, geometry: Geometry, other: Geometry) -> int:
        """Return the bytes of both images as they are searched, whole and averaged, and of the sample."""
        sizes = [4 * math.prod(one.spatial_shape) for one in (geometry, other)]
        return 2 * sum(sizes) + 100 * LARGEST_SAMPLE

    def __call__(self, image: Volume, other: Volume) -> Alignment:
        """Return what was found, with a code where it is not accepted.

        Raises
        ------
        Rejected
            ``E_AXES``, ``W_UNPLACED``, ``W_UNEVEN`` or ``W_TILTED`` for images that are no even stacks at right
            angles, ``E_CONSTANT`` for one without contrast.
        """
        unnamed: Unnamed = "refuse"
        if not self.within_frame and are_of_one_frame(image, other, unnamed=unnamed):
            return as_they_lie(image, other)
        for one in (image, other):
            _check(one)
        found = search(image, other, work_mm=self.work_mm)
        if found is None:
            return Alignment(matrix=None, method="rigid", code="E_REG_FAILED")
        alignment = _described(image, other, found)
        code = self._doubt(alignment)
        if code:
            return replace(alignment, code=code)
        back = search(other, image, work_mm=self.work_mm)
        if back is None:
            return replace(alignment, code="E_REG_INVERSE")
        alignment = replace(alignment, inverse_mm=_astray_mm(image, found.matrix, back.matrix))
        return replace(alignment, code=self._doubt(alignment))

    def _doubt(self, one: Alignment) -> str:
        """Return the code of the first check that fails, or an empty string."""
        before, after = one.metric_before or 0.0, one.metric_after or 0.0
        checks = (
            ("E_OVERLAP", (one.overlap or 0.0) < self.min_overlap),
            ("E_REG_GAIN", after < self.min_information or after < before * (1.0 - _NOISE)),
            ("E_REG_LIMITS", (one.rotation_deg or 0.0) > self.max_rotation_deg),
            ("E_REG_LIMITS", (one.translation_mm or 0.0) > self.max_translation_mm),
            ("E_REG_INVERSE", one.inverse_mm is not None and one.inverse_mm > self.max_inverse_mm),
        )
        return next((code for code, fails in checks if fails), "")


def _described(image: Volume, other: Volume, found: Found) -> Alignment:
    centre = corners_mm(matrix_of(image), image.geometry.spatial_shape).mean(axis=0)
    return Alignment(
        matrix=as_affine(found.matrix),
        method="rigid",
        overlap=overlap_of(image, other, found.matrix),
        rotation_deg=turn_deg(found.matrix),
        translation_mm=shift_mm(found.matrix, centre),
        metric_before=found.before,
        metric_after=found.after,
    )


def _astray_mm(image: Volume, there: NDArray[np.float64], back: NDArray[np.float64]) -> float:
    round_trip = back @ there
    return max(shift_mm(round_trip, corner) for corner in corners_mm(matrix_of(image), image.geometry.spatial_shape))


def _check(volume: Volume) -> None:
    columns = matrix_of(volume)[:3, :3]
    axes = columns / np.linalg.norm(columns, axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SQUARE:
        raise Rejected("W_TILTED")
    values = volume.data
    known = np.isfinite(values)
    if not known.any() or float(values.min(where=known, initial=np.inf)) == float(
        values.max(where=known, initial=-np.inf)
    ):
        raise Rejected("E_CONSTANT")
