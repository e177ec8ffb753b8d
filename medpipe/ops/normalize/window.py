"""Windows of intensities: presets, the DICOM functions, and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.intensity import WINDOWS_HU, clip, window
from medpipe.kernels.voi import linear, sigmoid
from medpipe.ops.frames import by_frame, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume

Preset = Literal[
    "lung",
    "mediastinum",
    "soft_tissue",
    "bone",
    "brain",
    "liver",
    "abdomen",
    "stroke",
    "subdural",
    "temporal_bone",
    "spine",
    "angiography",
]
Function = Literal["linear_exact", "linear", "sigmoid"]

WINDOW_KERNELS = {"linear_exact": window, "linear": linear, "sigmoid": sigmoid}


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
    function: Function = parameter(  # noqa: RUF009  # declares a field
        "linear_exact",
        doc=(
            "DICOM function of the window: linear_exact from center - width/2 to center + width/2; linear the one for "
            "whole numbers, half a unit lower and one narrower; sigmoid the logistic one."
        ),
    )

    def __post_init__(self) -> None:
        given = [value is not None for value in (self.preset, self.center, self.width)]
        if given not in ([True, False, False], [False, True, True]):
            raise ConfigError("give either preset, or both center and width")
        if self.function == "linear" and self.width is not None and self.width < 1.0:
            raise ConfigError(f"width: {self.width} is below 1, the least of the function linear")

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
        kernel = WINDOW_KERNELS[self.function]
        data = by_frame(volume, lambda x: kernel(x, center=center, width=width))
        return volume.with_data(data, unit="normalized")


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Limits intensities to a range."""

    name: ClassVar[str] = "clip"
    version: ClassVar[int] = 1
    device_tolerance: ClassVar[float] = 0.0

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
