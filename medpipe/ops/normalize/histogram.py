"""Histogram equalization, of the whole image and of tiles with limited contrast."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from medpipe.contracts.protocols import Halo
from medpipe.kernels.histogram import BINS, clahe, device_bytes, equalized, tile_shape
from medpipe.ops.frames import by_frame, frame_bytes, result_bytes
from medpipe.ops.normalize.foreground import over_foreground, quantitative, refuse_map
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Equalize:
    """Replaces each value by the share of the foreground that is at most as bright; the foreground is that of ``zscore``."""

    name: ClassVar[str] = "equalize"
    version: ClassVar[int] = 1
    uses_quantity: ClassVar[bool] = True

    quantitative: bool = quantitative()

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # the histogram is global
        """Return None: the histogram is that of the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the foreground's search, of its values, and of a plane in float64."""
        return result_bytes(geometry, beside=8) + 24 * prod(geometry.shape[-2:]) + 2**21

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the equalized volume, from 0 to 1, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the foreground is constant, ``EMPTY_ROI`` if it is empty,
            ``E_QUANTITATIVE`` for a map of a quantity.
        """
        refuse_map(volume, allowed=self.quantitative)
        return volume.with_data(over_foreground(volume, mask, equalized), unit="normalized")


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Clahe:
    """Equalizes the histograms of tiles, their contrast limited, and interpolates between the tiles (CLAHE).

    Works in three dimensions; an axis of fewer voxels than tiles has tiles of one voxel.
    """

    name: ClassVar[str] = "clahe"
    version: ClassVar[int] = 1
    uses_quantity: ClassVar[bool] = True

    tiles: tuple[int, int, int] = parameter((8, 8, 8), doc="Tiles along z, y and x.", low=1, high=64)
    limit: float = parameter(
        0.01,
        doc="Share of a tile's voxels that one of its 256 bins may hold; 0 for no limit.",
        low=0.0,
        high=1.0,
    )
    quantitative: bool = quantitative()

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # tiles go by the whole
        """Return None: the tiles are parts of the whole volume, and so is the range."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of the finite values, and of the histograms and maps of the tiles."""
        # what is left over at the end of an axis makes more tiles of it, but never twice as many
        tiles = prod(min(size, 2 * count) for size, count in zip(geometry.spatial_shape, self.tiles, strict=True))
        return result_bytes(geometry, beside=0) + max(frame_bytes(geometry, per_voxel=6), 36 * BINS * tiles) + 2**20

    def device_memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of bins, of the histograms and maps of the tiles, and of some planes."""
        tile = tile_shape(geometry.spatial_shape, tiles=self.tiles)
        return result_bytes(geometry, beside=0) + device_bytes(geometry.spatial_shape, tile=tile)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # tiles of the whole image
        """Return the equalized volume, from 0 to 1, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the image does not vary, or nothing within its tiles, as where they are single
            voxels; ``EMPTY_ROI`` if no voxel is finite, ``E_QUANTITATIVE`` for a map of a quantity.
        """
        refuse_map(volume, allowed=self.quantitative)
        tile = tile_shape(volume.geometry.spatial_shape, tiles=self.tiles)
        data = by_frame(volume, lambda x: clahe(x, tile=tile, limit=self.limit))
        return volume.with_data(data, unit="normalized")
