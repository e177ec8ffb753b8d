"""Pictures of images: projections along the axes of the patient, and thumbnails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.contracts.images import ViewFile
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.projection import How, block_means, grey_levels, project
from medpipe.kernels.resample import centred_grid, resample
from medpipe.ops.frames import mean_bytes, mean_frame
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.ops.views.planes import Plane, as_stored, seen
from medpipe.ops.views.png import png_bytes
from medpipe.types import Geometry, Region, Volume
from medpipe.xp import to_numpy

_MOST_PIXELS = 4096
"""Edge of the largest picture; finer pixels are made coarser."""

_TAILS = 0.5
"""Percent of the pixels at either end that are beyond the grey levels where no window is given."""

_WINDOW_DOC = "end of the window, in the unit of the image; without both, half a percent of the pixels lie beyond each."


@register("views")
@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Shows the highest, lowest or mean value along an axis of the patient, with square pixels, as PNG.

    The head is up, the patient's left at the right, the front at the top or at the left. Oblique
    images are seen along their own axis that is nearest. A leading axis of time or channels is averaged.
    """

    name: ClassVar[str] = "projection"
    version: ClassVar[int] = 1
    uses_regions: ClassVar[bool] = False

    plane: Plane = parameter("coronal", doc="Plane of the picture.")  # noqa: RUF009  # declares a field
    how: How = parameter(  # noqa: RUF009  # declares a field
        "max", doc="Highest values (MIP), lowest values (MinIP) or means (AIP) along the line of sight."
    )
    low: float | None = parameter(None, doc=f"Lower {_WINDOW_DOC}")
    high: float | None = parameter(None, doc=f"Upper {_WINDOW_DOC}")
    inverted: bool = parameter(default=False, doc="Show high values dark, as usual for PET.")

    def __post_init__(self) -> None:
        _check_window(self.low, self.high)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of planes in float64, and of the mean over a leading axis."""
        return mean_bytes(geometry) + _picture_bytes(geometry, most=_MOST_PIXELS)

    def __call__(self, volume: Volume, regions: Sequence[Region] = ()) -> tuple[ViewFile, ...]:  # noqa: ARG002  # shows the image
        """Return one picture.

        Raises
        ------
        Rejected
            ``W_UNPLACED`` or ``E_SPACING`` if nobody can tell what is where, ``E_NONFINITE`` if no
            value is known.
        """
        sight = seen(volume.geometry, self.plane)
        flat = to_numpy(project(mean_frame(volume), axis=sight.across, how=self.how))
        picture, pixel_mm = _square(sight.picture(flat), sight.spacing_mm, most=_MOST_PIXELS)
        return (_file(picture, pixel_mm, self.low, self.high, inverted=self.inverted),)


@register("views")
@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """Shows the middle plane of an image as a small PNG.

    Of an image that says where it lies a plane of the patient, else the middle one as stored. A
    leading axis of time or channels is averaged.
    """

    name: ClassVar[str] = "thumbnail"
    version: ClassVar[int] = 1
    uses_regions: ClassVar[bool] = False

    size: int = parameter(128, doc="Longer edge of the picture.", unit="pixels", low=16, high=1024)
    plane: Literal["stored", "axial", "coronal", "sagittal"] = parameter(
        "stored", doc="Plane of the picture: as the image is stored, or of the patient."
    )
    low: float | None = parameter(None, doc=f"Lower {_WINDOW_DOC}")
    high: float | None = parameter(None, doc=f"Upper {_WINDOW_DOC}")

    def __post_init__(self) -> None:
        _check_window(self.low, self.high)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of a plane in float64, and of the mean over a leading axis."""
        return mean_bytes(geometry) + _picture_bytes(geometry, most=self.size)

    def __call__(self, volume: Volume, regions: Sequence[Region] = ()) -> tuple[ViewFile, ...]:  # noqa: ARG002  # shows the image
        """Return one picture.

        Raises
        ------
        Rejected
            ``W_UNPLACED`` or ``E_SPACING`` if a plane of the patient was asked for and cannot be
            told, ``E_NONFINITE`` if no value is known.
        """
        geometry = volume.geometry
        sight = as_stored(geometry) if self.plane == "stored" else seen(geometry, self.plane)
        middle = geometry.spatial_shape[sight.across] // 2
        flat = to_numpy(mean_frame(volume).take(middle, axis=sight.across))
        picture, pixel_mm = _square(sight.picture(flat), sight.spacing_mm, most=self.size, is_exact=True)
        return (_file(picture, None if geometry.spacing_mm is None else pixel_mm, self.low, self.high),)


def _check_window(low: float | None, high: float | None) -> None:
    if (low is None) != (high is None):
        raise ConfigError("low, high: give both ends of the window, or neither")
    if low is not None and high is not None and low >= high:
        raise ConfigError("low: must be below high")


def _picture_bytes(geometry: Geometry, *, most: int) -> int:
    """Return what a picture of any plane takes, as planes of the image and with square pixels."""
    spacing = geometry.spacing_mm or (1.0, 1.0, 1.0)
    edges = [size * step / min(spacing) for size, step in zip(geometry.spatial_shape, spacing, strict=True)]
    planes = math.prod(geometry.spatial_shape) // min(geometry.spatial_shape)
    pixels = [min(edge, most) for edge in sorted(edges)[1:]]
    return 64 * planes + 48 * math.ceil(math.prod(pixels)) + (1 << 16)


def _square(
    picture: NDArray[np.float32], spacing_mm: tuple[float, float], *, most: int, is_exact: bool = False
) -> tuple[NDArray[np.float32], float]:
    """Return a picture with square pixels, at most so many along an edge, and the edge of a pixel in mm.

    Pixels are those of the finer edge, or as many as `most` along the longer one if that is exact.
    """
    extents = [size * step for size, step in zip(picture.shape, spacing_mm, strict=True)]
    pixel_mm = max(extents) / most
    if not is_exact:
        pixel_mm = max(min(spacing_mm), pixel_mm)
    # many pixels for one are averaged; what is left to do is less than twice as coarse
    rows, columns = (max(1, int(pixel_mm / step + 1e-6)) for step in spacing_mm)
    means = block_means(picture, rows=rows, columns=columns) if rows * columns > 1 else picture
    steps = (extents[0] / means.shape[0], extents[1] / means.shape[1])
    if all(abs(step - pixel_mm) < 1e-6 * pixel_mm for step in steps):
        return means, pixel_mm
    grid = centred_grid((1, *means.shape), spacing_mm=(1.0, *steps), target_mm=(0.0, pixel_mm, pixel_mm))
    return resample(means[None], grid, order=1, integral=False)[0], pixel_mm


def _file(
    picture: NDArray[np.float32],
    pixel_mm: float | None,
    low: float | None,
    high: float | None,
    *,
    inverted: bool = False,
) -> ViewFile:
    known = picture[np.isfinite(picture)]
    if known.size == 0:
        raise Rejected("E_NONFINITE")
    if low is None or high is None:
        low, high = (float(value) for value in np.percentile(known, (_TAILS, 100.0 - _TAILS)))
    grey = grey_levels(picture, low=low, high=high)
    if inverted:
        grey = np.uint8(255) - grey
    facts = {"width": grey.shape[1], "height": grey.shape[0], "pixel_mm": pixel_mm, "low": low, "high": high}
    return ViewFile(name="picture.png", data=png_bytes(grey, pixel_mm=pixel_mm), facts=facts)
