"""Rows of regions and features, as JSON values without identities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from medpipe.bits import Bits
from medpipe.contracts.protocols import Extractor
from medpipe.errors import IntegrityError
from medpipe.keys import blocks_digest, finite_or_none
from medpipe.ops.straighten import STRAIGHTENED
from medpipe.types import Geometry, Region, Volume
from medpipe.xp import to_numpy

SMALL_VOXELS = 64
"""A region of fewer voxels is flagged: texture values mean little there."""

SMALL_SLICES = 3
"""So is a region in fewer slices of a volume that has as many."""


BEYOND = "W_BEYOND"
"""The code of a region of which a companion image shows nothing, or a part alone."""


def region_row(region: Region, geometry: Geometry, *, digest: str | None = None) -> dict[str, Any]:
    """Return the ``regions`` fields of a region; `digest` is that of its mask, where it is known."""
    voxels = region.bits.n_voxels
    row = {
        "name": region.name,
        "label": region.label,
        "source": region.source,
        "n_voxels": voxels,
        "volume_mm3": finite_or_none(voxels * geometry.voxel_mm3),
        "touches_border": region.bits.touches_border(),
        "mask_digest": digest or mask_digest(region.bits),
    }
    # only where there is something to tell: the rows of all others stay as they always were
    told = {"code": region.code or None, "threshold": region.threshold}
    return row | {name: value for name, value in told.items() if value is not None}


def mask_digest(bits: Bits) -> str:
    """Return the :func:`medpipe.keys.array_digest` of a whole mask, which is never made whole."""
    # planes before the mask are the same for all masks of a volume
    before = 0 if bits.box is None else bits.start[0]
    return blocks_digest(bits.shape, np.dtype(np.bool_), bits.planes(before), zeros=before)


def feature_row(extractor: Extractor, image: Volume, region: Region) -> dict[str, Any]:
    """Return the values of an extraction for one region.

    Raises
    ------
    IntegrityError
        If the extractor gives other columns than it declared, or an infinite value.
    """
    voxels = region.bits.n_voxels
    values = extractor(image, region)
    names = tuple(column.name for column in extractor.columns)
    if set(values) != set(names):
        raise IntegrityError(f"extractor {extractor.name!r} gave other columns than it declares")
    for name in names:
        if values[name] in (float("inf"), float("-inf")):
            raise IntegrityError(f"extractor {extractor.name!r} gave an infinite {name}")
    status, code = "ok", None
    if voxels == 0 or (values and not any(map(math.isfinite, values.values()))):
        status, code = "empty", _why_nothing(extractor, image, region)
    elif image.synthetic:
        # the others can be told from other columns
        status, code = "flagged", "W_SYNTHETIC"
    elif region.flag == BEYOND:
        # few voxels may be the part that is seen
        status, code = "flagged", BEYOND
    elif voxels < SMALL_VOXELS or _is_thin(region, image.geometry):
        status, code = "flagged", "SMALL_ROI"
    elif image.verdict == STRAIGHTENED or image.interpolated:
        status, code = "flagged", "W_STRAIGHTENED"
    elif region.flag:
        status, code = "flagged", region.flag
    return {**_place(region), "status": status, "code": code, "values": {n: finite_or_none(values[n]) for n in names}}


def _why_nothing(extractor: Extractor, image: Volume, region: Region) -> str:
    """Return the code of a row in which no value is defined."""
    box, inside = region.bits.box, region.bits.inside
    if box is None or inside is None:
        return "EMPTY_ROI"
    found = to_numpy(image.data[(..., *box)])[..., inside]
    low, *high = getattr(extractor, "range", None) or (-math.inf,)
    is_left = (np.isfinite(found) & (found >= low) & (found <= (high or [math.inf])[0])).any()
    # a mask too thin for another grid has no voxel on it
    if not is_left or getattr(extractor, "resample_mm", None) is not None:
        return "EMPTY_ROI"
    return "SMALL_ROI" if region.bits.n_voxels < SMALL_VOXELS else "W_UNDEFINED"


def _is_thin(region: Region, geometry: Geometry) -> bool:
    """Tell whether a region lies in one or two slices of a volume that has more."""
    box = region.bits.box
    return box is not None and box[0].stop - box[0].start < SMALL_SLICES <= geometry.spatial_shape[0]


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
