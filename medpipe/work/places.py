"""Where the voxels of a case are between its steps: on the device whole, or on the host and lent to it.

Two ways to the same bytes. A volume that the device has room for goes there once and stays. One that it has
no room for stays on the host: each step gets a copy, which is gone after it, and ops with a halo get some
planes at a time, half as many whenever those are too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np

from medpipe.contracts.protocols import ImageOp
from medpipe.ops.sound import applied
from medpipe.plan.fusing import block_group
from medpipe.plan.memory import slab_planes
from medpipe.types import Volume
from medpipe.work.blocks import apply_in_slabs
from medpipe.work.fused import Seen, apply_chain, can_be_parted
from medpipe.xp import DeviceMemoryError, to_device, to_numpy, with_device_memory

Way = Literal["whole", "blocks"]


class Place(Protocol):
    """Where voxels are held, and how a chain of ops goes over them.

    Attributes
    ----------
    device : str
        ``cpu`` or ``cuda``.
    way : {"whole", "blocks"}
    """

    device: str
    way: Way

    def held(self, volume: Volume) -> Volume:
        """Return a volume where voxels are between steps."""

    def lent(self, volume: Volume) -> Volume:
        """Return a volume that is held where a step looks at it."""

    def worked(self, ops: Sequence[ImageOp], volume: Volume, *, seen: Seen | None = None) -> Volume:
        """Return what a chain of ops makes of a volume that is held, held as well; see :func:`apply_chain`."""

    def spooled(self, ops: Sequence[ImageOp], volume: Volume, result: Any) -> Volume:
        """Write what a chain of ops makes of a spooled volume into another spool; see :func:`apply_in_slabs`."""


class Whole:
    """Volumes are where ops work on them.

    Parameters
    ----------
    device : str
    """

    way: Way = "whole"

    def __init__(self, device: str) -> None:
        self.device = device

    def held(self, volume: Volume) -> Volume:
        """Return the volume on the device."""
        return volume.with_data(to_device(volume.data, device=self.device))

    def lent(self, volume: Volume) -> Volume:
        """Return the volume: it is there."""
        return volume

    def worked(self, ops: Sequence[ImageOp], volume: Volume, *, seen: Seen | None = None) -> Volume:
        """Return what a chain of ops makes of a volume."""
        return apply_chain(ops, volume, seen=seen)

    def spooled(self, ops: Sequence[ImageOp], volume: Volume, result: Any) -> Volume:
        """Write what a chain of ops makes of a spooled volume into another spool."""
        return apply_in_slabs(ops, volume, result, device=self.device)


class InBlocks:
    """Volumes are on the host; the device has what a step needs, as long as it lasts.

    Parameters
    ----------
    device : str
    """

    way: Way = "blocks"

    def __init__(self, device: str) -> None:
        self.device = device
        self._copy: tuple[Any, Any] = (None, None)

    def held(self, volume: Volume) -> Volume:
        """Return the volume on the host."""
        return volume.with_data(to_numpy(volume.data))

    def lent(self, volume: Volume) -> Volume:
        """Return the volume on the device; one at a time stays there for the steps that follow."""
        if self._copy[0] is not volume.data:
            self._copy = (None, None)
            self._copy = (volume.data, to_device(volume.data, device=self.device))
        return volume.with_data(self._copy[1])

    def worked(self, ops: Sequence[ImageOp], volume: Volume, *, seen: Seen | None = None) -> Volume:
        """Return what a chain of ops makes of a volume, group by group.

        A group is an op with a halo and those after it that work voxel by voxel; it goes over the volume
        some planes at a time. An op without a halo is given the whole.

        Raises
        ------
        DeviceMemoryError
            If one plane and its context are too many, or an op without a halo has no room.
        """
        self._copy = (None, None)
        while ops:
            group = block_group(ops, volume.geometry) if can_be_parted(volume) else ()
            if seen is not None:
                seen(ops[0], volume.with_data(None))
            if group:
                result = np.empty(volume.data.shape, np.float32)
                volume = self._by_planes(group, volume, result, planes=-(-len(result) // 2))
            else:
                volume = self.held(with_device_memory(partial(self._applied, ops[0], volume)))
            ops = ops[max(len(group), 1) :]
        return volume

    def spooled(self, ops: Sequence[ImageOp], volume: Volume, result: Any) -> Volume:
        """Write what a chain of ops makes of a spooled volume into another spool.

        Raises
        ------
        DeviceMemoryError
            If one plane and its context are too many.
        """
        return self._by_planes(ops, volume, result, planes=-(-slab_planes(volume.data.shape) // 2))

    def _applied(self, op: ImageOp, volume: Volume) -> Volume:
        return applied(op, volume.with_data(to_device(volume.data, device=self.device)))

    def _by_planes(self, ops: Sequence[ImageOp], volume: Volume, result: Any, *, planes: int) -> Volume:
        while True:
            step = partial(apply_in_slabs, ops, volume, result, device=self.device, planes=planes)
            try:
                return with_device_memory(step)
            except DeviceMemoryError:
                if planes == 1:
                    raise
            planes = -(-planes // 2)
