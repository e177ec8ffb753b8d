"""How far the result of an op on a device may lie from that on the host: what the op says, or else a ten-thousandth."""

from __future__ import annotations

from typing import Any, Final

DEVICE_TOLERANCE: Final = 1e-4
"""Where an op says nothing else."""


def device_tolerance(op: Any, /) -> float:
    """Return by how much a voxel on a device may differ from the same one on the host.

    Parameters
    ----------
    op : ImageOp, RegionSource or RegionStep
        May say ``device_tolerance``; one that only picks or compares values says 0.

    Returns
    -------
    float
        Of an image the share of its range on the host, of a region the share of voxels that differ.
    """
    return float(getattr(op, "device_tolerance", DEVICE_TOLERANCE))
