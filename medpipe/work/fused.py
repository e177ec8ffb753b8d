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
from medpipe.kernels.slabs import slab_ranges
from medpipe.ops.sound import applied, named, refuse_unfinite
from medpipe.plan.fusing import fused_planes, goes_by_planes, is_pointwise, leading_group
from medpipe.types import Array, Geometry, Volume

Seen = Callable[[ImageOp, Volume], None]


def apply_chain(
    ops: Sequence[ImageOp], volume: Volume, *, seen: Seen | None = None, kept: tuple[int, int] | None = None
) -> Volume:
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
    kept : (int, int), optional
        Of a part of a larger volume, the first plane that is used and the one after the last: the others are
        context, whose values are not those of the whole. All if not given.

    Returns
    -------
    Volume

    Raises
    ------
    Rejected
        What an op says of the volume, or ``E_OP_NONFINITE`` where one makes of numbers what is none; names the op.
    """
    given = volume.data
    first, last = kept or (0, None)
    while ops:
        parts = can_be_parted(volume)
        group = leading_group(ops, volume.geometry) if parts else tuple(ops[:1])
        if seen is not None:
            seen(group[0], volume.with_data(None))
        if parts and goes_by_planes(group[0], volume.geometry):
            volume = _together(group, volume, is_own=_is_own(volume.data, given), kept=slice(first, last))
        else:
            volume = applied(group[0], volume, kept=slice(first, last))
        ops = ops[len(group) :]
    return volume


def slab_of(volume: Volume, data: Array, low: int, high: int) -> Volume:
    """Return planes `low` to `high` - 1 of a volume (z, y, x), with voxels of their own."""
    suv = None if volume.suv is None else volume.suv.part(low, high)
    return volume.with_data(data, geometry=_part(volume.geometry, low, high), suv=suv)


def _together(group: tuple[ImageOp, ...], volume: Volume, *, is_own: bool, kept: slice) -> Volume:
    """Return what a group makes of a volume, in the place of its voxels where these are the chain's own."""
    low, high, _ = kept.indices(len(volume.data))
    head = group[0]
    pointwise = is_pointwise(head, volume.geometry)
    result = volume.data if is_own and pointwise else np.empty(volume.data.shape, np.float32)
    done = volume
    for first, last in slab_ranges(volume.data.shape, planes=fused_planes(volume.geometry)):
        used = slice(max(low - first, 0), max(high - first, 0))
        part = slab_of(volume, volume.data[first:last], first, last)
        with named(head):
            done = head(part) if pointwise else part.with_data(_planes(head, volume, first, last))
        refuse_unfinite(head, volume, done.data[used], first=first + used.start)
        for op in group[1:]:
            with named(op):
                part, done = done, op(done)
            refuse_unfinite(op, part, done.data[used], first=used.start)
        result[first:last] = done.data
    return done.with_data(result, geometry=volume.geometry, suv=None if done.suv is None else volume.suv)


def _planes(head: ImageOp, volume: Volume, first: int, last: int) -> Array:
    assert isinstance(head, ByPlanes)
    return head.planes(volume, first, last)


def can_be_parted(volume: Volume) -> bool:
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
