"""Normalising ops: window, clip, z-score, percentiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.foreground import foreground
from medpipe.kernels.intensity import WINDOWS_HU, clip, percentile_scale, window, zscore
from medpipe.ops.frames import by_frame, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of

Preset = Literal["lung", "mediastinum", "soft_tissue", "bone", "brain", "liver", "abdomen"]


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Maps a window of intensities to [0, 1]: a preset (HU), or a centre and a width."""

    name: ClassVar[str] = "window"
    version: ClassVar[int] = 1

    preset: Preset | None = parameter(  # noqa: RUF009  # declares a field
        None, doc="A usual CT window by name; instead of center and width."
    )
    center: float | None = parameter(None, doc="Centre of the window; with width.", unit="unit of the image")
    width: float | None = parameter(None, doc="Width of the window; with center.", unit="unit of the image", above=0.0)

    def __post_init__(self) -> None:
        given = [value is not None for value in (self.preset, self.center, self.width)]
        if given not in ([True, False, False], [False, True, True]):
            raise ConfigError("give either preset, or both center and width")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # voxel by voxel
        """Return no context."""
        return 0, 0, 0

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result."""
        return result_bytes(geometry, beside=0)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # voxel by voxel
        """Return the windowed volume, unit ``normalized``."""
        center, width = WINDOWS_HU[self.preset] if self.preset else (self.center, self.width)
        assert center is not None and width is not None  # noqa: PT018  # checked together
        data = by_frame(volume, lambda x: window(x, center=center, width=width))
        return volume.with_data(data, unit="normalized")


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Limits intensities to a range."""

    name: ClassVar[str] = "clip"
    version: ClassVar[int] = 1

    low: float = parameter(doc="Least value of the result.", unit="unit of the image")
    high: float = parameter(doc="Greatest value of the result.", unit="unit of the image")

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ConfigError(f"low: {self.low} is not below high ({self.high})")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # voxel by voxel
        """Return no context."""
        return 0, 0, 0

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result."""
        return result_bytes(geometry, beside=0)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # voxel by voxel
        """Return the clipped volume; its unit stays."""
        return volume.with_data(by_frame(volume, lambda x: clip(x, low=self.low, high=self.high)))


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class ZScore:
    """Subtracts the mean and divides by the standard deviation of the foreground.

    The foreground is the mask if one is given; else what stands out from the background for
    MR, and the whole image for all others. Frames of a leading axis are scaled one by one.
    """

    name: ClassVar[str] = "zscore"
    version: ClassVar[int] = 1

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # statistics are global
        """Return None: the statistics need the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the foreground's search and of its values in float32 and twice in float64."""
        return result_bytes(geometry, beside=16)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the scaled volume, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the foreground is constant, ``EMPTY_ROI`` if it is empty.
        """
        return _over_foreground(volume, mask, zscore)


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """Maps two percentiles of the foreground to 0 and 1; the foreground is that of ``zscore``."""

    name: ClassVar[str] = "percentile"
    version: ClassVar[int] = 1

    low: float = parameter(1.0, doc="Percentile that becomes 0.", unit="%", low=0.0, high=100.0)
    high: float = parameter(99.0, doc="Percentile that becomes 1.", unit="%", low=0.0, high=100.0)
    clip: bool = parameter(default=True, doc="Limit the result to [0, 1].")

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ConfigError(f"low: {self.low} is not below high ({self.high})")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # statistics are global
        """Return None: the percentiles need the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the foreground's search and of its values, which are sorted in a copy."""
        return result_bytes(geometry, beside=6)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the scaled volume, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if both percentiles are equal, ``EMPTY_ROI`` if the foreground is
            empty.
        """
        return _over_foreground(volume, mask, self._scale)

    def _scale(self, x: Array, mask: Array) -> Array:
        scaled = percentile_scale(x, mask, low=self.low, high=self.high)
        return clip(scaled, low=0.0, high=1.0) if self.clip else scaled


def _over_foreground(volume: Volume, mask: Array | None, scale: Callable[[Array, Array], Array]) -> Volume:
    def scaled(x: Array) -> Array:
        if mask is not None:
            return scale(x, mask)
        if volume.modality == "MR":
            return scale(x, foreground(x))
        return scale(x, backend_of(x).xp.ones(x.shape, dtype=bool))

    return volume.with_data(by_frame(volume, scaled), unit="normalized")
