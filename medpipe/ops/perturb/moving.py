"""The patient lay a little differently: image and regions are turned or shifted on their grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from medpipe.bits import Bits
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.affine import affine_sample
from medpipe.ops.frames import frame_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.perturb.drawing import check_ends, stream
from medpipe.ops.register import register
from medpipe.types import Geometry, Region, Volume
from medpipe.xp import backend_of

_HALF = 0.5 - 1e-6
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]


@register("perturb")
@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """Turns image and regions about the middle of each slice, by an angle drawn evenly from a range.

    Linear interpolation, as IBSI has it for images and masks; what was outside the image is missing.
    """

    name: ClassVar[str] = "rotate"
    version: ClassVar[int] = 1

    degrees: tuple[float, float] = parameter(
        (-5.0, 5.0), doc="least and greatest angle, from x towards y", unit="degree", low=-180.0, high=180.0
    )

    def __post_init__(self) -> None:
        """Refuse a range upside down."""
        check_ends("rotate", "degrees", self.degrees)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the image and of a mask, each before and after."""
        return frame_bytes(geometry, per_voxel=14)

    def __call__(self, volume: Volume, regions: tuple[Region, ...], *, seed: str) -> tuple[Volume, tuple[Region, ...]]:
        """Return both turned."""
        angle = math.radians(stream(seed).uniform(*self.degrees))
        _, y, x = volume.geometry.spatial_shape
        _, step_y, step_x = volume.geometry.spacing_mm or (1.0, 1.0, 1.0)
        cosine, sine = math.cos(angle), math.sin(angle)
        # where a voxel of the result was before: turned back, in mm
        turn = np.array([[cosine, -sine * step_x / step_y], [sine * step_y / step_x, cosine]])
        middle = np.array([(y - 1) / 2, (x - 1) / 2])
        matrix = np.zeros((3, 4))
        matrix[0, 0] = 1.0
        matrix[1:, 1:3] = turn
        matrix[1:, 3] = middle - turn @ middle
        return _moved(volume, regions, matrix)


@register("perturb")
@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Shifts image and regions, along each axis by a part of a voxel drawn evenly up to a most.

    Linear interpolation; what was outside the image is missing. Along z a single slice, and slices
    at uneven steps, stay where they are.
    """

    name: ClassVar[str] = "shift"
    version: ClassVar[int] = 1

    voxels: tuple[float, float, float] = parameter(
        (0.5, 0.5, 0.5), doc="most along z, y, x, either way", unit="voxel", low=0.0, high=64.0
    )

    def __post_init__(self) -> None:
        """Refuse a shift of nothing."""
        if not any(self.voxels):
            raise ConfigError("shift.voxels: at least one axis must be above 0")

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the image and of a mask, each before and after."""
        return frame_bytes(geometry, per_voxel=14)

    def __call__(self, volume: Volume, regions: tuple[Region, ...], *, seed: str) -> tuple[Volume, tuple[Region, ...]]:
        """Return both shifted."""
        drawn = stream(seed).uniform(-1.0, 1.0, 3) * self.voxels
        geometry = volume.geometry
        if geometry.spatial_shape[0] == 1 or geometry.slice_positions_mm is not None:
            drawn[0] = 0.0
        return _moved(volume, regions, np.column_stack([np.eye(3), -drawn]))


def _moved(volume: Volume, regions: tuple[Region, ...], matrix: Matrix) -> tuple[Volume, tuple[Region, ...]]:
    """Return image and regions where a matrix says they were; raises ``Rejected`` (``E_AXES``) with a fourth axis."""
    if len(volume.data.shape) != 3:
        raise Rejected("E_AXES")
    backend = backend_of(volume.data)
    x = backend.xp.asarray(volume.data, dtype=backend.xp.float32)
    z, y, columns = x.shape
    moved = affine_sample(x, matrix=matrix, shape=(z, y, columns))
    return volume.with_data(moved), tuple(_moved_region(region, matrix) for region in regions)


def _moved_region(region: Region, matrix: Matrix) -> Region:
    if region.bits.box is None:
        return region
    inside = affine_sample(region.mask.astype(np.float32), matrix=matrix, shape=region.bits.shape)
    return replace(region, bits=Bits.of(inside >= _HALF))
