"""Deep features: what an encoder network makes of a region, as one row of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from medpipe.contracts.networks import MAX_NUMBERS, NetworkFacts, NetworkKind, OpensNetwork
from medpipe.errors import Rejected
from medpipe.kernels.tiles import Floats, windows
from medpipe.ops import roi
from medpipe.ops.networks.asking import opened, ready, refuse_other, scale_of
from medpipe.ops.parameters import bound, by_digest, parameter
from medpipe.ops.register import register
from medpipe.ops.unstandardized import Unstandardized
from medpipe.types import Column, Geometry, Region, Volume
from medpipe.xp import to_numpy

Value = TypeVar("Value", np.bool_, np.float32)


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Deep(Unstandardized):
    """Mean of what a registered encoder (ONNX) gives for the slices or blocks of a region.

    Tiles of the network's size lie on a lattice over the region's box, or, where the box is smaller than a tile, around
    its middle. Each that holds a voxel of the region is asked for, with what lies around the region. The network
    runs on the host, on one thread.
    """

    name: ClassVar[str] = "deep"
    version: ClassVar[int] = 1
    network_kind: ClassVar[NetworkKind] = "encoder"

    model: str = parameter(
        doc="Encoder of the lake: its name, name@latest or name@DIGEST; medpipe register brings one.", keyed=by_digest
    )
    numbers: int = parameter(0, doc="How many numbers it gives; a lock states it.", low=0, high=MAX_NUMBERS)
    memory_mb: int = parameter(
        0, doc="What loading and asking the network takes; a lock states it.", unit="MiB", low=0, high=1 << 20
    )
    masked: bool = parameter(default=False, doc="Show the network nothing of what lies around the region.")
    network: OpensNetwork | None = bound()  # noqa: RUF009  # declares a field

    @property
    def network_bytes(self) -> int:
        """What a sandbox holds that has asked the network."""
        return self.memory_mb << 20

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns: ``deep_000``, ``deep_001``, ..."""
        digits = max(3, len(str(self.numbers - 1)))
        return tuple(f"deep_{place:0{digits}d}" for place in range(self.numbers))

    @property
    def columns(self) -> tuple[Column, ...]:
        """One for each number; none until a lock states how many there are."""
        return tuple(Column(name=name, family="deep") for name in self.names)

    def memory(self, geometry: Geometry) -> int:
        """Return the peak bytes of a region as large as the volume: its mask, twice while it is unpacked; some planes."""
        z, y, x = geometry.spatial_shape
        return 2 * z * y * x + 24 * y * x + 2**19

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN for an empty region.

        Raises
        ------
        Rejected
            ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of another shape,
            ``E_NETWORK_INPUT`` for an image the network is not for, ``E_SPACING`` if it asks for a spacing and none is
            known, ``E_CONSTANT`` if it is scaled by the image's own values and they are one, ``E_NONFINITE`` if nothing
            in the region is finite, ``E_NETWORK`` if the network fails or gives what its card does not say.
        ConfigError
            If the model is a name that no lock has resolved.
        """
        network = opened(self.network, kind=self.network_kind, numbers=self.numbers)
        roi.check_grid(volume, region)
        refuse_other(volume, network.facts)
        if region.bits.box is None:
            return dict.fromkeys(self.names, math.nan)
        scale = scale_of(volume.data, network.facts)
        total, count = np.zeros(self.numbers), 0
        for tile in _tiles(volume, region, network.facts, masked=self.masked):
            total += network(ready(tile, network.facts, scale))[0]
            count += 1
        if not count:
            raise Rejected("E_NONFINITE")
        return {name: float(value) for name, value in zip(self.names, total / count, strict=True)}


def _tiles(volume: Volume, region: Region, facts: NetworkFacts, *, masked: bool) -> Iterator[Floats]:
    """Yield the tiles that hold a finite voxel of a region, with what lies around it; NaN beyond the image."""
    box = region.bits.box
    assert box is not None
    mask = region.bits.within(box)
    patch = (facts.patch[0], facts.patch[1], facts.patch[2])
    z, y, x = (max(side.stop - side.start, size) for side, size in zip(box, patch, strict=True))
    # as far as a tile may reach: where it goes beyond, so it does beyond the image
    reach = (z - mask.shape[0], y - mask.shape[1], x - mask.shape[2])
    outer = roi.widened(box, reach, volume.geometry.spatial_shape)
    image = np.asarray(to_numpy(volume.data[outer]), dtype=np.float32)
    box = roi.shifted(box, outer)
    # a box smaller than a tile lies in its middle
    shifts = [(size - (side.stop - side.start)) // 2 for side, size in zip(box, (z, y, x), strict=True)]
    for window in windows((z, y, x), patch=patch, overlap=facts.overlap):
        begins = [side.start - shift for side, shift in zip(window, shifts, strict=True)]
        inside = _part(mask, begins, patch, outside=False)
        places = [side.start + begin for side, begin in zip(box, begins, strict=True)]
        tile = _part(image, places, patch, outside=None if facts.pad == "edge" else math.nan)
        if not np.isfinite(tile[inside]).any():
            continue
        yield np.where(inside, tile, np.float32(math.nan)) if masked else tile


def _part(
    array: NDArray[Value], begins: list[int], sizes: tuple[int, int, int], *, outside: float | None
) -> NDArray[Value]:
    """Return a part of an array that may reach beyond it: with a value there, or with what its border has."""
    reach = [np.arange(begin, begin + size) for begin, size in zip(begins, sizes, strict=True)]
    held = [np.clip(places, 0, size - 1) for places, size in zip(reach, array.shape, strict=True)]
    part = array[np.ix_(*held)]
    if outside is not None:
        beyond = [places != kept for places, kept in zip(reach, held, strict=True)]
        part[beyond[0][:, None, None] | beyond[1][:, None] | beyond[2]] = outside
    return part
