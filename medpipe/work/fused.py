"""A chain of image ops on voxels in memory: read once and written once for each group of ops.

A group is an op that can make some planes at a time, and the ops after it that work voxel by
voxel. They go over the volume together, some planes at a time, so that what passes from op to op
stays in the cache, and there is no more memory than the result; a group that works voxel by
voxel on what an op before it made writes in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from medpipe.contracts.protocols import ByPlanes, ImageOp
from medpipe.plan.fusing import fused_planes, goes_by_planes, is_pointwise, leading_group
from medpipe.types import Array, Geometry, Volume

Seen = Callable[[ImageOp, Volume], None]


def apply_chain(ops: Sequence[ImageOp], volume: Volume, *, seen: Seen | None = None) -> Volume:
    """Return what a chain of ops makes of a volume, to the last bit as one op after the other does.

    Parameters
    ----------
    ops : sequence of ImageOp
    volume : Volume
        In memory or on the device; never written to. On the device, and of other arrays than
        float32, each op works on the whole.
    seen : callable, optional
        Called with the first op of each group and the volume it is given, without voxels. An op
        that moves voxels to another grid is always the first.

    Returns
    -------
    Volume

    Raises
    ------
    Rejected
        What an op says of the volume.
    """
    given = volume.data
    while ops:
        parts = _can_be_parted(volume)
        group = leading_group(ops, volume.geometry) if parts else tuple(ops[:1])
        if seen is not None:
            seen(group[0], volume.with_data(None))
        if parts and goes_by_planes(group[0], volume.geometry):
            volume = _together(group, volume, is_own=_is_own(volume.data, given))
        else:
            volume = group[0](volume)
        ops = ops[len(group) :]
    return volume


def slab_of(volume: Volume, data: Array, low: int, high: int) -> Volume:
    """Return planes `low` to `high` - 1 of a volume (z, y, x), with voxels of their own."""
    suv = None if volume.suv is None else volume.suv.part(low, high)
    return volume.with_data(data, geometry=_part(volume.geometry, low, high), suv=suv)


def _together(group: tuple[ImageOp, ...], volume: Volume, *, is_own: bool) -> Volume:
    """Return what a group makes of a volume, in the place of its voxels where these are the chain's own."""
    head, depth = group[0], len(volume.data)
    step = fused_planes(volume.geometry)
    pointwise = is_pointwise(head, volume.geometry)
    result = volume.data if is_own and pointwise else np.empty(volume.data.shape, np.float32)
    done = volume
    for first in range(0, depth, step):
        last = min(first + step, depth)
        if pointwise:
            done = head(slab_of(volume, volume.data[first:last], first, last))
        else:
            assert isinstance(head, ByPlanes)
            done = slab_of(volume, head.planes(volume, first, last), first, last)
        for op in group[1:]:
            done = op(done)
        result[first:last] = done.data
    return done.with_data(result, geometry=volume.geometry, suv=None if done.suv is None else volume.suv)


def _can_be_parted(volume: Volume) -> bool:
    """Tell whether ops may take a volume apart: planes on the host, and the factors of each."""
    data = volume.data
    if not isinstance(data, np.ndarray) or data.ndim != 3 or data.dtype != np.float32:
        return False
    factors = () if volume.suv is None else volume.suv.by_kind.values()
    fitting = all(isinstance(one, str) or len(one) in {1, len(data)} for one in factors)
    return fitting and data.size > 0 and bool(data.flags.c_contiguous)


def _is_own(data: Array, given: Array) -> bool:
    """Tell whether voxels are the chain's own, to be written over; some ops return what they are given."""
    return bool(data.flags.writeable) and not (isinstance(given, np.ndarray) and np.may_share_memory(data, given))


def _part(geometry: Geometry, low: int, high: int) -> Geometry:
    positions = geometry.slice_positions_mm
    return replace(
        geometry,
        shape=(high - low, *geometry.shape[1:]),
        slice_positions_mm=None if positions is None else positions[low:high],
    )
