"""Rows of regions and features, as JSON values without identities."""

from __future__ import annotations

from typing import Any

from medpipe.contracts.protocols import Extractor
from medpipe.errors import IntegrityError
from medpipe.keys import array_digest, finite_or_none
from medpipe.ops.straighten import STRAIGHTENED
from medpipe.types import Geometry, Region, Volume
from medpipe.xp import to_numpy

SMALL_VOXELS = 64
"""A region of fewer voxels is flagged: texture values mean little there."""


def region_row(region: Region, geometry: Geometry) -> dict[str, Any]:
    """Return the ``regions`` fields of a region."""
    mask = to_numpy(region.mask)
    voxels = int(mask.sum())
    return {
        "name": region.name,
        "label": region.label,
        "source": region.source,
        "n_voxels": voxels,
        "volume_mm3": finite_or_none(voxels * geometry.voxel_mm3),
        "touches_border": _touches_border(mask),
        "mask_digest": array_digest(mask),
    }


def feature_row(extractor: Extractor, image: Volume, region: Region) -> dict[str, Any]:
    """Return the values of an extraction for one region.

    Raises
    ------
    IntegrityError
        If the extractor gives other columns than it declared, or an infinite value.
    """
    voxels = int(region.mask.sum())
    values = extractor(image, region)
    names = tuple(column.name for column in extractor.columns)
    if set(values) != set(names):
        raise IntegrityError(f"extractor {extractor.name!r} gave other columns than it declares")
    for name in names:
        if values[name] in (float("inf"), float("-inf")):
            raise IntegrityError(f"extractor {extractor.name!r} gave an infinite {name}")
    status, code = "ok", None
    if voxels == 0:
        status, code = "empty", "EMPTY_ROI"
    elif voxels < SMALL_VOXELS:
        status, code = "flagged", "SMALL_ROI"
    elif image.verdict == STRAIGHTENED or image.interpolated:
        status, code = "flagged", "W_STRAIGHTENED"
    return {**_place(region), "status": status, "code": code, "values": {n: finite_or_none(values[n]) for n in names}}


def unmeasured_row(extractor: Extractor, region: Region, code: str) -> dict[str, Any]:
    """Return the row of a region whose extraction was refused with a code."""
    return {
        **_place(region),
        "status": "empty",
        "code": code,
        "values": {column.name: None for column in extractor.columns},
    }


def _place(region: Region) -> dict[str, Any]:
    return {"region": region.name, "label": region.label, "source": region.source}


def _touches_border(mask: Any) -> bool:
    """Tell whether a mask reaches an edge along an axis of more than one voxel."""
    for axis in range(mask.ndim):
        if mask.shape[axis] > 1 and (mask.take(0, axis).any() or mask.take(-1, axis).any()):
            return True
    return False
