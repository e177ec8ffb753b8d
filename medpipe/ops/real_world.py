"""The op that puts real-world values in the place of modality values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from medpipe.contracts.protocols import Halo
from medpipe.errors import Rejected
from medpipe.ops.padding import padding_mask
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.values import RealWorldMap, RealWorldTable, RealWorldValues
from medpipe.xp import backend_of

_ROUNDING = 1e-6
_BETWEEN = 0.05


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class RealWorld:
    """Gives real-world values instead of modality values: each frame by its own map, never both.

    The map, linear or a table, is applied to the stored numbers; the unit of the result is that of
    the map. The scaling of a dose grid is a map to Gy. Must be the first op. An image without maps,
    with a map that contradicts itself, with several maps that the unit does not tell apart, or with
    values that a map is not for, is refused.
    """

    name: ClassVar[str] = "real_world"
    version: ClassVar[int] = 1
    uses_padding: ClassVar[bool] = True
    uses_real_world: ClassVar[bool] = True
    must_be_first: ClassVar[bool] = True

    unit: str | None = parameter(
        None, doc="Unit of the map to take, such as HU, SUV, Gy or mm2/s; needed where an image has several maps."
    )

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # maps may differ from slice to slice
        """Return None: the op needs to know which slices it is given."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of result, masks, and one frame as numbers of 64 bits."""
        return 7 * math.prod(geometry.shape) + 40 * math.prod(geometry.spatial_shape[1:])

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # voxel by voxel
        """Return the volume in real-world values.

        Raises
        ------
        Rejected
            ``E_REAL_WORLD`` where there is no one map for every value that was measured.
        """
        if not volume.real_world:
            raise Rejected("E_REAL_WORLD")
        maps = [self._chosen(one) for one in volume.real_world]
        if len({one.unit for one in maps}) > 1:
            raise Rejected("E_REAL_WORLD")
        xp = backend_of(volume.data).xp
        data = xp.asarray(volume.data, dtype=xp.float32)
        padded = padding_mask(volume)
        result = xp.empty(data.shape, dtype=xp.float32)
        planes, shown = (array.reshape(-1, *data.shape[-2:]) for array in (data, result))
        hidden = None if padded is None else padded.reshape(planes.shape)
        # a member is a plane, or a sheet of planes that share a map
        each = len(planes) // len(maps)
        for place, plane in enumerate(planes):
            one = maps[place // each]
            shown[place] = _mapped(plane, one, None if hidden is None else hidden[place], xp)
        return volume.with_data(result, unit=maps[0].unit, padding=None, real_world=None)

    def _chosen(self, maps: tuple[RealWorldValues, ...]) -> RealWorldValues:
        fitting = [one for one in maps if self.unit in {None, one.unit}]
        if len(fitting) != 1 or (isinstance(fitting[0], RealWorldMap) and fitting[0].slope is None):
            raise Rejected("E_REAL_WORLD")
        return fitting[0]


def _mapped(plane: Array, one: RealWorldValues, hidden: Array | None, xp: Any) -> Array:
    """Return a plane in real-world values; padding may be beyond the map."""
    if isinstance(one, RealWorldTable):
        return _looked_up(plane, one, hidden, xp)
    assert one.low is not None
    assert one.high is not None
    beside = _ROUNDING * max(abs(one.low), abs(one.high), 1.0)
    _refuse((plane < np.float32(one.low - beside)) | (plane > np.float32(one.high + beside)), hidden)
    return plane.astype(xp.float64) * one.slope + one.intercept


def _looked_up(plane: Array, one: RealWorldTable, hidden: Array | None, xp: Any) -> Array:
    exact = (plane.astype(xp.float64) - one.first) / one.step
    places = xp.rint(exact)
    # float32 holds less than a stored number of 16 bits and its rescale
    _refuse((xp.abs(exact - places) > _BETWEEN) | (places < 0) | (places >= len(one.values)), hidden)
    table = xp.asarray(one.values, dtype=xp.float64)
    return table[xp.clip(places, 0, len(one.values) - 1).astype(xp.int64)]


def _refuse(outside: Array, hidden: Array | None) -> None:
    if hidden is not None:
        outside = outside & ~hidden
    if bool(outside.any()):
        raise Rejected("E_REAL_WORLD")
