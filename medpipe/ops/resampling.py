"""The resampling op: another voxel size on a grid with the same centre."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.resample import SPLINE_PAD, Axes, centred_grid, resample, resample_mask
from medpipe.ops.frames import by_frame, known_spacing, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Affine, Array, Geometry, Volume


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Resample:
    """Interpolates on a grid of another voxel size that shares the image's centre (IBSI 1).

    A single slice keeps its slice axis. Uneven slices are brought to even steps (orders 0 and
    1). Axes stay the image's own: a stack sheared by gantry tilt stays sheared. Regions found on
    the original go with the image: voxels of which half is in them by linear interpolation.
    """

    name: ClassVar[str] = "resample"
    version: ClassVar[int] = 1
    carry_version: ClassVar[int] = 1

    spacing_mm: tuple[float, float, float] = parameter(
        doc="Voxel size along z, y and x; 0 keeps an axis as it is.", unit="mm", low=0.0, high=1000.0
    )
    order: Literal[0, 1, 3] = parameter(1, doc="0 nearest, 1 linear, 3 cubic B-spline.")
    round: bool = parameter(default=False, doc="Round to whole numbers, as calibrated integer images (HU) ask for.")

    def __post_init__(self) -> None:
        if not any(self.spacing_mm):
            raise ConfigError("spacing_mm: at least one axis must be above 0")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # the grid changes
        """Return None: the result lies on another grid."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of result and planes, and of spline coefficients for order 3."""
        if geometry.spacing_mm is None:
            return 0
        after = self.result_geometry(geometry)
        z, y, x = geometry.spatial_shape
        planes = (y + 2 * SPLINE_PAD) * (max(x, after.shape[-1]) + 2 * SPLINE_PAD) * 64
        splines = 3 * 8 * (z + 2 * SPLINE_PAD) * y * x if self.order == 3 else 0
        return result_bytes(after, beside=0) + planes + splines

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is resampled
        """Return the volume on the new grid.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known, ``W_UNEVEN`` for order 3 on uneven slices.
        """
        axes = self._axes(volume.geometry)
        positions = self._uneven(volume.geometry)
        if positions is not None and self.order == 3:
            raise Rejected("W_UNEVEN")
        data = by_frame(
            volume, lambda x: resample(x, axes, order=self.order, integral=self.round, slice_positions=positions)
        )
        verdict = "regular" if positions is not None and volume.verdict == "uneven" else volume.verdict
        # factors of planes are none of the new planes
        return volume.with_data(data, geometry=self.result_geometry(volume.geometry), verdict=verdict, suv=None)

    def carry(self, mask: Array, volume: Volume) -> Array:
        """Return a mask on the volume's grid as it lies on the result's: voxels of which half is in it.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known.
        """
        return resample_mask(mask, self._axes(volume.geometry), slice_positions=self._uneven(volume.geometry))

    def result_geometry(self, geometry: Geometry) -> Geometry:
        """Return where the voxels of the result are.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known.
        """
        spacing_mm = known_spacing(geometry)
        axes = self._axes(geometry)
        shape = (*geometry.shape[:-3], *(axis.count for axis in axes))
        after = tuple(step * axis.step for step, axis in zip(spacing_mm, axes, strict=True))
        kept = geometry.slice_positions_mm if self._uneven(geometry) is None else None
        return replace(
            geometry,
            shape=shape,
            spacing_mm=(after[0], after[1], after[2]),
            affine_lps=_moved(geometry, axes),
            slice_positions_mm=kept if axes[0].step == 1.0 else None,
        )

    def _axes(self, geometry: Geometry) -> Axes:
        target_z, target_y, target_x = self.spacing_mm
        if geometry.spatial_shape[0] == 1:
            target_z = 0.0
        return centred_grid(
            geometry.spatial_shape, spacing_mm=known_spacing(geometry), target_mm=(target_z, target_y, target_x)
        )

    def _uneven(self, geometry: Geometry) -> tuple[float, ...] | None:
        one = geometry.spatial_shape[0] == 1 or self.spacing_mm[0] == 0.0
        return None if one else geometry.slice_positions_mm


def _moved(geometry: Geometry, axes: Axes) -> Affine | None:
    """Return the affine of the new grid: columns scaled, origin at the first new voxel."""
    matrix = geometry.matrix
    if matrix is None:
        return None
    # The affine counts (x, y, z), the array (z, y, x).
    start = np.array([axis.start for axis in reversed(axes)])
    step = np.array([axis.step for axis in reversed(axes)])
    matrix[:3, 3] += matrix[:3, :3] @ start
    matrix[:3, :3] *= step
    return tuple(float(value) for value in matrix.reshape(-1))
