"""The slab way: volumes beyond memory, a few planes at a time, to the same bytes.

The voxels lie in a spool. What works on them works on slabs along z: the content digest runs
over them in order, image ops get each slab with the planes of context their halo asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medpipe.contracts.protocols import ImageOp
from medpipe.kernels.slabs import slab_ranges
from medpipe.keys import array_digest, blocks_digest
from medpipe.lake.scratch import Spool
from medpipe.plan.memory import context_planes, slab_planes
from medpipe.types import Volume
from medpipe.work.fused import apply_chain, slab_of
from medpipe.xp import to_device, to_numpy


def voxels_digest(data: Any) -> str:
    """Return the digest of a volume's voxels, in memory or in a spool."""
    if isinstance(data, Spool):
        return blocks_digest(data.shape, data.dtype, data.slabs(slab_planes(data.shape)))
    return array_digest(to_numpy(data))


def apply_in_slabs(ops: Sequence[ImageOp], volume: Volume, result: Spool, *, device: str) -> Volume:
    """Write what a chain of ops makes of a spooled volume into another spool.

    Parameters
    ----------
    ops : sequence of ImageOp
        Each with a halo: the result is that of the whole volume, bit for bit.
    volume : Volume
        Its data is a :class:`medpipe.lake.scratch.Spool`.
    result : Spool
        Of the same shape.
    device : str
        ``cpu`` or ``cuda``; slabs are worked on there.

    Returns
    -------
    Volume
        With `result` as its data.

    Raises
    ------
    Rejected
        What :func:`medpipe.work.fused.apply_chain` says of a slab.
    """
    depth = volume.data.shape[0]
    step, context = slab_planes(volume.data.shape), context_planes(ops, volume.geometry)
    done = volume
    for first, last in slab_ranges(volume.data.shape, planes=step):
        low, high = max(first - context, 0), min(last + context, depth)
        slab = slab_of(volume, to_device(volume.data[low:high], device=device), low, high)
        done = apply_chain(ops, slab, kept=(first - low, last - low))
        result[first:last] = to_numpy(done.data[first - low : last - low])
    return done.with_data(result, geometry=volume.geometry, suv=None if done.suv is None else volume.suv)
