"""Scales taken of the image itself: z-score, percentiles, WhiteStripe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.intensity import percentile_scale, zscore
from medpipe.kernels.stripe import Peak, white_stripe
from medpipe.kernels.sums import BLOCK_BYTES, DEVICE_BLOCK_BYTES
from medpipe.ops.frames import frame_bytes, result_bytes
from medpipe.ops.normalize.foreground import over_foreground, quantitative, refuse_map
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of

Weighting = Literal["t1", "t2", "flair", "pd"]

_PEAKS: dict[Weighting, Peak] = {"t1": "last", "t2": "largest", "flair": "largest", "pd": "first"}


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class ZScore:
    """Subtracts the mean and divides by the standard deviation of the foreground.

    The foreground is the mask if one is given; else what stands out from the background for
    MR, and the whole image for all others. Frames of a leading axis are scaled one by one.
    """

    name: ClassVar[str] = "zscore"
    version: ClassVar[int] = 1
    uses_quantity: ClassVar[bool] = True

    quantitative: bool = quantitative()

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # statistics are global
        """Return None: the statistics need the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the foreground's search, or of its values and a block of them, beside the result."""
        return result_bytes(geometry, beside=6) + BLOCK_BYTES

    def device_memory(self, geometry: Geometry) -> int:
        """Return what :meth:`memory` does, but for blocks of values that are larger."""
        return result_bytes(geometry, beside=6) + min(frame_bytes(geometry, per_voxel=8), DEVICE_BLOCK_BYTES)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the scaled volume, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the foreground is constant, ``EMPTY_ROI`` if it is empty,
            ``E_QUANTITATIVE`` for a map of a quantity.
        """
        refuse_map(volume, allowed=self.quantitative)
        return volume.with_data(over_foreground(volume, mask, zscore), unit="normalized")


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """Maps two percentiles of the foreground to 0 and 1; the foreground is that of ``zscore``."""

    name: ClassVar[str] = "percentile"
    version: ClassVar[int] = 1
    uses_quantity: ClassVar[bool] = True

    low: float = parameter(1.0, doc="Percentile that becomes 0.", unit="%", low=0.0, high=100.0)
    high: float = parameter(99.0, doc="Percentile that becomes 1.", unit="%", low=0.0, high=100.0)
    clip: bool = parameter(default=True, doc="Limit the result to [0, 1].")
    quantitative: bool = quantitative()

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ConfigError(f"low: {self.low} is not below high ({self.high})")

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # statistics are global
        """Return None: the percentiles need the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the foreground's search, or of its values, beside the result."""
        return result_bytes(geometry, beside=6)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the scaled volume, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if both percentiles are equal, ``EMPTY_ROI`` if the foreground is
            empty, ``E_QUANTITATIVE`` for a map of a quantity.
        """
        refuse_map(volume, allowed=self.quantitative)
        return volume.with_data(over_foreground(volume, mask, self._scale), unit="normalized")

    def _scale(self, x: Array, mask: Array) -> Array:
        scaled = percentile_scale(x, mask, low=self.low, high=self.high)
        return backend_of(x).xp.clip(scaled, 0.0, 1.0, out=scaled) if self.clip else scaled


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class WhiteStripe:
    """Scales a brain MR by its normal white matter: a stripe of the histogram around a peak becomes mean 0 and sd 1.

    Meant for images of the brain alone, or with its mask; without a mask the foreground of ``zscore`` counts.
    """

    name: ClassVar[str] = "whitestripe"
    version: ClassVar[int] = 1
    uses_quantity: ClassVar[bool] = True

    weighting: Weighting = parameter(  # noqa: RUF009  # declares a field
        "t1",
        doc="Which peak is white matter: t1 the last one, t2 and flair the largest, pd the first.",
    )
    half_width: float = parameter(
        0.05, doc="Share of the voxels on each side of the peak that make the stripe.", above=0.0, high=0.5
    )
    quantitative: bool = quantitative()

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # statistics are global
        """Return None: the histogram is that of the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the foreground's search, of its values and copies of them, and of the kernel's table."""
        return result_bytes(geometry, beside=12) + 2**23

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the scaled volume, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the foreground or the stripe is constant, ``EMPTY_ROI`` if the
            foreground is empty, ``E_QUANTITATIVE`` for a map of a quantity.
        """
        refuse_map(volume, allowed=self.quantitative)
        return volume.with_data(over_foreground(volume, mask, self._scale), unit="normalized")

    def _scale(self, x: Array, mask: Array) -> Array:
        return white_stripe(x, mask, which=_PEAKS[self.weighting], half_width=self.half_width)
