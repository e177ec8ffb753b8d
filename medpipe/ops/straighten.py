"""The straightening op: tilted and uneven stacks on a grid with right angles and even steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.contracts.protocols import Halo
from medpipe.errors import Rejected
from medpipe.kernels.grid import MASK_THRESHOLD
from medpipe.kernels.straighten import straightened
from medpipe.ops.frames import by_frame, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of

STRAIGHTENED = "straightened"
"""Verdict of an image that was brought onto a straight grid: its values are interpolated."""

_SIDEWAYS_PIXELS = 0.5
_WHOLE_STEP = 0.05
_MOST_MISSING_PART = 0.02
_SHIFT_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Where the planes of the result come from.

    Attributes
    ----------
    planes : tuple of float
        Place of each plane of the result among the source planes.
    shifts : array of float64, (source planes, 2)
        Pixels (y, x) by which each source plane moves.
    geometry : Geometry
        Of the result.
    interpolated : tuple of int
        Planes of the result that stand where slices are missing.
    """

    planes: tuple[float, ...]
    shifts: NDArray[np.float64]
    geometry: Geometry
    interpolated: tuple[int, ...]


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Straighten:
    """Interpolates a stack that is tilted or uneven on a straight grid of even steps; all else stays as it is.

    Slices are shifted in their planes until they lie on the normal of the first one, in an image
    large enough for all, and uneven ones are brought to the median step. What no slice covers
    gets the least value of the image. The result says so: its verdict is ``straightened``, and
    its features are flagged. Regions found on the original go with the image.
    """

    name: ClassVar[str] = "straighten"
    version: ClassVar[int] = 1

    missing: Literal["refuse", "keep", "interpolate"] = parameter(
        "refuse",
        doc="Of a stack with missing slices: refuse it, keep the gaps, or interpolate single slices, at most one in "
        "fifty and always one.",
    )
    most_uneven: float = parameter(
        0.1, doc="Part of the median step by which a step may differ from it; beyond, the stack is refused.", low=0.0
    )
    most_tilt_deg: float = parameter(
        35.0, doc="Tilt beyond which the stack is refused.", unit="degrees", low=0.0, high=89.0
    )

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # the grid changes
        """Return None: the result lies on another grid."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the largest result that is not refused, and of a few planes."""
        depth, rows, columns = geometry.spatial_shape
        if geometry.affine_lps is not None and depth > 1:
            down, across = np.abs(_drift(geometry)) * (depth - 1)
            rows, columns = rows + math.ceil(down) + 1, columns + math.ceil(across) + 1
        after = replace(geometry, shape=(*geometry.shape[:-3], math.ceil(depth * 1.2) + 2, rows, columns))
        return result_bytes(after, beside=0) + 12 * 8 * rows * columns

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is moved
        """Return the straightened volume, or the volume itself where it is straight and even.

        Raises
        ------
        Rejected
            ``E_TILT`` beyond ``most_tilt_deg``, ``W_UNEVEN`` beyond ``most_uneven``, ``E_GAP``
            for missing slices that are not to be, or cannot be, interpolated.
        """
        grid = self._grid(volume)
        if grid is None:
            return volume.with_data(by_frame(volume, lambda x: x))
        xp = backend_of(volume.data).xp
        known = volume.data[xp.isfinite(volume.data)]
        fill = float(known.min()) if known.size else 0.0
        data = by_frame(volume, lambda x: _moved(x, grid, fill))
        kept_gaps = grid.geometry.slice_positions_mm is not None
        return volume.with_data(
            data,
            geometry=grid.geometry,
            verdict=volume.verdict if kept_gaps else STRAIGHTENED,
            interpolated=grid.interpolated,
        )

    def carry(self, mask: Array, volume: Volume) -> Array:
        """Return a mask on the volume's grid as it lies on the result's: voxels of which half is in it."""
        grid = self._grid(volume)
        return mask if grid is None else _moved(mask, grid, 0.0) >= MASK_THRESHOLD

    def _grid(self, volume: Volume) -> _Grid | None:
        geometry = volume.geometry
        if geometry.affine_lps is None or geometry.spacing_mm is None or geometry.spatial_shape[0] < 2:
            return None
        positions = _positions(geometry)
        places, interpolated = self._places(volume, positions)
        drift = _drift(geometry)
        steps = (positions - positions[0]) / geometry.spacing_mm[0]
        tilted = bool((np.abs(drift) * steps[-1]).max() >= _SIDEWAYS_PIXELS)
        if places is None and not tilted:
            return None
        if tilted and _tilt_deg(geometry) > self.most_tilt_deg:
            raise Rejected("E_TILT")
        at = positions if places is None else places
        shifts = steps[:, None] * (drift if tilted else np.zeros(2))
        # the image grows to where its planes go, by whole pixels
        before = np.floor(shifts.min(axis=0) + _SHIFT_ROUNDING)
        grown = np.ceil(shifts.max(axis=0) - _SHIFT_ROUNDING) - before
        result = _geometry(geometry, at, before, grown, even=places is not None or volume.verdict == "tilted")
        planes = np.interp(at, positions, np.arange(len(positions)))
        return _Grid(
            planes=tuple(float(plane) for plane in planes),
            shifts=shifts - before,
            geometry=result,
            interpolated=interpolated,
        )

    def _places(
        self, volume: Volume, positions: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64] | None, tuple[int, ...]]:
        """Return positions of even planes where those of the stack are not, and which of them are missing."""
        gaps = np.diff(positions)
        median = float(np.median(gaps))
        if volume.verdict == "uneven":
            if np.abs(gaps - median).max() > self.most_uneven * median:
                raise Rejected("W_UNEVEN")
            count = round(float(positions[-1] - positions[0]) / median)
            return positions[0] + np.arange(count + 1) * (positions[-1] - positions[0]) / count, ()
        if volume.verdict != "missing_slices" or self.missing == "keep":
            return None, ()
        whole = np.round(gaps / median).astype(int)
        n_missing = int(whole.sum()) - len(whole)
        odd = whole.min() < 1 or np.abs(gaps / median - whole).max() > _WHOLE_STEP
        if (
            self.missing == "refuse"
            or odd
            or whole.max() > 2
            or n_missing > max(1, _MOST_MISSING_PART * len(positions))
        ):
            raise Rejected("E_GAP")
        at = [positions[0]]
        interpolated = []
        for low, high, n_steps in zip(positions[:-1], positions[1:], whole, strict=True):
            if n_steps == 2:
                interpolated.append(len(at))
                at.append((low + high) / 2)
            at.append(high)
        return np.array(at), tuple(interpolated)


def _moved(x: Array, grid: _Grid, fill: float) -> Array:
    rows, columns = grid.geometry.shape[-2:]
    return straightened(x, planes=grid.planes, shifts=grid.shifts, plane_shape=(rows, columns), fill=fill)


def _positions(geometry: Geometry) -> NDArray[np.float64]:
    if geometry.slice_positions_mm is not None:
        return np.array(geometry.slice_positions_mm)
    assert geometry.spacing_mm is not None
    return np.arange(geometry.spatial_shape[0], dtype=np.float64) * geometry.spacing_mm[0]


def _axes(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the columns of the affine for y and x, and the unit normal."""
    matrix = geometry.matrix
    assert matrix is not None
    across, down = matrix[:3, 0], matrix[:3, 1]
    normal: NDArray[np.float64] = np.cross(across, down)
    normal /= np.linalg.norm(normal)
    return down, across, normal


def _drift(geometry: Geometry) -> NDArray[np.float64]:
    """Return by how many pixels (y, x) slices go sideways with each step."""
    matrix = geometry.matrix
    assert matrix is not None
    down, across, _ = _axes(geometry)
    step = matrix[:3, 2]
    return np.array([step @ down / (down @ down), step @ across / (across @ across)])


def _tilt_deg(geometry: Geometry) -> float:
    matrix = geometry.matrix
    assert matrix is not None
    step, normal = matrix[:3, 2], _axes(geometry)[2]
    along = float(step @ normal)
    return math.degrees(math.atan2(float(np.linalg.norm(step - along * normal)), along))


def _geometry(
    geometry: Geometry, at: NDArray[np.float64], before: NDArray[np.float64], grown: NDArray[np.float64], *, even: bool
) -> Geometry:
    matrix = geometry.matrix
    assert matrix is not None
    down, across, normal = _axes(geometry)
    step = float(at[-1] - at[0]) / (len(at) - 1)
    matrix[:3, 3] += before[0] * down + before[1] * across
    matrix[:3, 2] = step * normal
    rows, columns = (size + int(more) for size, more in zip(geometry.spatial_shape[1:], grown, strict=True))
    assert geometry.spacing_mm is not None
    return replace(
        geometry,
        shape=(*geometry.shape[:-3], len(at), rows, columns),
        spacing_mm=(step, *geometry.spacing_mm[1:]),
        affine_lps=tuple(float(item) for item in matrix.ravel()),
        slice_positions_mm=None if even else tuple(float(place) for place in at),
    )
