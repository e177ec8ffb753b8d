"""Contrast: stretched over a range, or sharpened."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.gaussian import device_bytes, gaussian_radius
from medpipe.kernels.intensity import varying, window
from medpipe.kernels.unsharp import unsharp
from medpipe.ops.frames import by_frame, known_spacing, result_bytes
from medpipe.ops.normalize.foreground import quantitative, refuse_map
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Maps a range of intensities to [0, 1]: the one given, or that of the whole image; perhaps through a power.

    Frames of a leading axis are stretched one by one.
    """

    name: ClassVar[str] = "stretch"
    version: ClassVar[int] = 1
    uses_quantity: ClassVar[bool] = True

    low: float | None = parameter(
        None, doc="What becomes 0; the least value of the image if absent.", unit="unit of the image"
    )
    high: float | None = parameter(
        None, doc="What becomes 1; the greatest value of the image if absent.", unit="unit of the image"
    )
    gamma: float = parameter(1.0, doc="Power the result is raised to: below 1 dark parts gain.", above=0.0, high=10.0)
    quantitative: bool = quantitative()

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ConfigError(f"low: {self.low} is not below high ({self.high})")

    @property
    def _is_given(self) -> bool:
        return self.low is not None and self.high is not None

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # voxel by voxel
        """Return no context where the range is given, else None: it is that of the whole volume."""
        return (0, 0, 0) if self._is_given else None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result, and of the values whose range is looked for."""
        return result_bytes(geometry, beside=0 if self._is_given else 6)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image counts
        """Return the stretched volume, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the range is empty, ``EMPTY_ROI`` if no voxel is finite,
            ``E_QUANTITATIVE`` for a map of a quantity without a range that is given.
        """
        refuse_map(volume, allowed=self.quantitative or self._is_given)
        return volume.with_data(by_frame(volume, self._stretched), unit="normalized")

    def _stretched(self, x: Array) -> Array:
        xp = backend_of(x).xp
        low, high = self.low, self.high
        if low is None or high is None:
            values = varying(x, xp.ones(x.shape, dtype=bool))
            low = float(values.min()) if low is None else low
            high = float(values.max()) if high is None else high
            del values
        if not high > low:
            raise Rejected("E_CONSTANT")
        result = window(x, center=0.5 * (low + high), width=high - low)
        return result if self.gamma == 1.0 else xp.power(result, xp.float32(self.gamma), out=result)


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Unsharp:
    """Sharpens by unsharp masking: what a Gaussian window smooths away is added; refuses a volume without spacing."""

    name: ClassVar[str] = "unsharp"
    version: ClassVar[int] = 1

    sigma_mm: float = parameter(doc="Standard deviation of the window.", unit="mm", above=0.0, high=100.0)
    amount: float = parameter(1.0, doc="How much of what is smoothed away is added.", above=0.0, high=100.0)

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return the half-width of the window, or None where the spacing is not known."""
        if geometry.spacing_mm is None:
            return None
        return gaussian_radius(sigma_mm=self.sigma_mm, spacing_mm=geometry.spacing_mm)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result; beside it there is one plane."""
        return result_bytes(geometry, beside=0) + 16 * prod(geometry.shape[-2:])

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result and of some planes that are smoothed."""
        return result_bytes(geometry, beside=0) + device_bytes(geometry.spatial_shape)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is sharpened
        """Return the sharpened volume; its unit stays.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known.
        """
        spacing_mm = known_spacing(volume.geometry)
        data = by_frame(volume, lambda x: unsharp(x, sigma_mm=self.sigma_mm, amount=self.amount, spacing_mm=spacing_mm))
        return volume.with_data(data)
