"""Which image ops of a chain go over a volume together, so that each voxel is read and written once for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from medpipe.contracts.protocols import ByPlanes, ImageOp
from medpipe.kernels.slabs import planes_of
from medpipe.types import Geometry

FUSED_VOXELS = 1 << 18
"""Voxels that a group of ops works on at a time: what passes from op to op stays in the cache."""


def leading_group(ops: Sequence[ImageOp], geometry: Geometry) -> tuple[ImageOp, ...]:
    """Return the ops at the head of a chain that go over a volume of a geometry together.

    Parameters
    ----------
    ops : sequence of ImageOp
        At least one.
    geometry : Geometry
        Of the volume that the first of them is given.

    Returns
    -------
    tuple of ImageOp
        Where the first goes by planes, it and all after it that work voxel by voxel; else the first alone.
    """
    return _with_pointwise(ops, geometry) if goes_by_planes(ops[0], geometry) else (ops[0],)


def block_group(ops: Sequence[ImageOp], geometry: Geometry) -> tuple[ImageOp, ...]:
    """Return the ops at the head of a chain that go over a volume (z, y, x) together in blocks with a border.

    Parameters
    ----------
    ops, geometry
        As for :func:`leading_group`.

    Returns
    -------
    tuple of ImageOp
        The first, if it has a halo, and all after it that work voxel by voxel; else none.
    """
    return () if geometry.axes != "zyx" or ops[0].halo(geometry) is None else _with_pointwise(ops, geometry)


def _with_pointwise(ops: Sequence[ImageOp], geometry: Geometry) -> tuple[ImageOp, ...]:
    """Return the first op and all after it that work voxel by voxel."""
    count = 1
    while count < len(ops) and is_pointwise(ops[count], geometry):
        count += 1
    return tuple(ops[:count])


def goes_by_planes(op: ImageOp, geometry: Geometry) -> bool:
    """Tell whether an op may make some planes at a time, given the whole volume (z, y, x)."""
    if geometry.axes != "zyx":
        return False
    return is_pointwise(op, geometry) or (isinstance(op, ByPlanes) and op.halo(geometry) is not None)


def is_pointwise(op: ImageOp, geometry: Geometry) -> bool:
    """Tell whether an op looks at no voxel but the one it makes."""
    return op.halo(geometry) == (0, 0, 0)


def fused_planes(geometry: Geometry) -> int:
    """Return how many planes (y, x) a group of ops works on at a time."""
    return planes_of(geometry.spatial_shape, FUSED_VOXELS)
