"""Bands of wavelet transforms: separable ones, and Simoncelli's with its Riesz transform."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.bands import band, band_reach, spread_taps, wavelet_names, wavelet_taps
from medpipe.kernels.separable import device_bytes
from medpipe.kernels.spectral import Transfer, filtered
from medpipe.ops.filters.response import (
    BOUNDARY_DOC,
    BY_SLICE_DOC,
    INVARIANT_DOC,
    as_map,
    check_orders,
    of_planes,
    tag_of,
)
from medpipe.ops.filters.windows import plane_bytes
from medpipe.ops.frames import by_frame, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class SeparableWavelet:
    """Gives a band of a separable wavelet transform in which no voxel is left out (IBSI 2, 25BO)."""

    name: ClassVar[str] = "separable_wavelet"
    version: ClassVar[int] = 1
    ibsi: ClassVar[str] = "25BO"

    wavelet: str = parameter(doc="Discrete wavelet: haar, db2, coif1, sym4, bior1.3, ...")
    passes: str = parameter(doc="L (smooth) or H (detail) along x and y (within slices) or x, y and z: LH, LLH, ...")
    level: int = parameter(1, doc="Level of the transform, 1 the finest.", low=1, high=6)
    rotation_invariant: bool = parameter(default=True, doc=INVARIANT_DOC)
    pooling: Literal["max", "mean"] = parameter("mean", doc="How responses to rotations are pooled.")
    boundary: Literal["constant", "nearest", "wrap", "reflect"] = parameter("reflect", doc=BOUNDARY_DOC)

    def __post_init__(self) -> None:
        """Refuse wavelets and bands that do not exist."""
        if self.wavelet not in _known_wavelets():
            raise ConfigError(f"wavelet: {self.wavelet!r} is none of {_FAMILIES}")
        if len(self.passes) not in (2, 3) or not set(self.passes) <= {"L", "H"}:
            raise ConfigError(f"passes: {self.passes!r} is not L or H along two or three axes")

    @property
    def by_slice(self) -> bool:
        """Whether the transform is along x and y alone."""
        return len(self.passes) == 2

    @property
    def tag(self) -> str:
        """What the names of its columns begin with."""
        pooled = ("inv", self.pooling) if self.rotation_invariant else ()
        parts = (self.wavelet, self.passes, self.level, *pooled)
        return tag_of("wavelet", *parts, by_slice=self.by_slice, boundary=self.boundary)

    def context(self, geometry: Geometry) -> Halo | None:
        """Return half the kernels of all levels."""
        return self.halo(geometry)

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return half the kernels of all levels; whole axes, or None, where the image starts anew at its ends."""
        reach = band_reach(wavelet_taps(self.wavelet), level=self.level)
        along = (0 if self.by_slice else reach, reach, reach)
        return of_planes(along, geometry, by_slice=self.by_slice, boundary=self.boundary)

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and some planes, and of what is smooth above the first level."""
        reach = band_reach(wavelet_taps(self.wavelet), level=self.level)
        beside = 0 if self.level == 1 else 8
        return result_bytes(geometry, beside=beside) + plane_bytes(geometry, reach=reach)

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of what is smooth above the first level, and of some planes in float64."""
        kernel = spread_taps(wavelet_taps(self.wavelet)["L"], level=self.level)
        reach = len(kernel) // 2
        along = (0 if self.by_slice else reach, reach, reach)
        beside = 0 if self.level == 1 else 8
        terms = 2 if self.rotation_invariant else 1
        return result_bytes(geometry, beside=beside) + device_bytes(geometry.spatial_shape, reach=along, terms=terms)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is filtered
        """Return the band; what a kernel with a missing voxel gives is missing."""
        taps = wavelet_taps(self.wavelet)
        return as_map(
            volume,
            by_frame(
                volume,
                lambda x: band(
                    x,
                    self.passes,
                    taps=taps,
                    level=self.level,
                    rotation_invariant=self.rotation_invariant,
                    pooling=self.pooling,
                    boundary=self.boundary,
                ),
            ),
        )


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Simoncelli:
    """Gives a band of Simoncelli's wavelet, the same in all directions (IBSI 2, PRT7), or its Riesz transform (AYRS).

    The image starts anew at its ends. Missing voxels stay missing and count as the mean of the others.
    """

    name: ClassVar[str] = "simoncelli"
    version: ClassVar[int] = 1

    level: int = parameter(
        1, doc="Level, 1 for the highest frequencies; each is half those of the one before.", low=1, high=8
    )
    by_slice: bool = parameter(default=False, doc=BY_SLICE_DOC)
    riesz: tuple[int, int, int] | None = parameter(
        None, doc="Orders of a Riesz transform along x, y and z; none if absent.", low=0, high=8
    )

    def __post_init__(self) -> None:
        """Refuse orders of a Riesz transform that are none."""
        check_orders(self.riesz, by_slice=self.by_slice)

    @property
    def ibsi(self) -> str:
        """IBSI code, with that of the Riesz transform."""
        return "PRT7" if self.riesz is None else "PRT7/AYRS"

    @property
    def tag(self) -> str:
        """What the names of its columns begin with."""
        riesz = () if self.riesz is None else ("riesz", *self.riesz)
        return tag_of("simoncelli", self.level, *riesz, by_slice=self.by_slice, boundary=None)

    def context(self, geometry: Geometry) -> Halo | None:
        """Return whole slices, or None: frequencies are of the whole."""
        return self.halo(geometry)

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return whole slices, or None for frequencies in space."""
        _, y, x = geometry.spatial_shape
        return (0, y, x) if self.by_slice else None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the spectrum, and of what passes in one of its planes."""
        z, y, x = geometry.spatial_shape
        return result_bytes(geometry, beside=1 if self.by_slice else 9) + 120 * y * (x + 2) + 64 * (z + y + x)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is filtered
        """Return the response map."""
        transfer = Transfer(level=self.level, orders=self.riesz)
        return as_map(volume, by_frame(volume, lambda x: filtered(x, transfer=transfer, by_slice=self.by_slice)))


_FAMILIES = "haar, db1 to db38, sym2 to sym20, coif1 to coif17, bior1.1 to bior6.8, rbio1.1 to rbio6.8, dmey"


@cache
def _known_wavelets() -> frozenset[str]:
    return frozenset(wavelet_names())
