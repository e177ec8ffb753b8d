"""Features of response maps: what a filter makes of the image around a region, and how its columns are named."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from medpipe.contracts.protocols import ImageOp
from medpipe.errors import ConfigError
from medpipe.ops import roi
from medpipe.ops.filters.response import ResponseFilter
from medpipe.ops.sound import applied
from medpipe.types import Array, Column, Geometry, Volume
from medpipe.xp import backend_of

MapFamily = Literal[
    "statistics",
    "intensity_histogram",
    "intensity_volume_histogram",
    "glcm",
    "glrlm",
    "glszm",
    "gldzm",
    "ngtdm",
    "ngldm",
]
"""Families that say something of a map: its region has the shape it has, and peaks are of calibrated intensities."""

IVH_BINS = 1000
"""Levels of the intensity-volume histogram of a map, whose values have no unit (IBSI 1, configuration E)."""


def check_filters(filters: tuple[ImageOp, ...], /) -> None:
    """Refuse image ops that are no filters, and a filter given twice.

    Raises
    ------
    ConfigError
        Names the one.
    """
    tags = set()
    for place, one in enumerate(filters):
        if not isinstance(one, ResponseFilter):
            raise ConfigError(f"ibsi.filters.{place}: {one.name!r} makes no response map")
        if one.tag in tags:
            raise ConfigError(f"ibsi.filters.{place}: {one.tag} is there twice")
        tags.add(one.tag)


def columns_of_maps(filters: tuple[ImageOp, ...], columns: tuple[Column, ...], /) -> tuple[Column, ...]:
    """Return the columns of each filter: ``log_3D_s1_5_stat_mean``."""
    return tuple(
        replace(
            column,
            name=_named(one, column.name),
            unit=column.unit.replace("image", "map"),
            filter=one.tag,
            filter_ibsi=one.ibsi,
        )
        for one in filters
        if isinstance(one, ResponseFilter)
        for column in columns
    )


def named_values(one: ImageOp, values: Mapping[str, float], /) -> dict[str, float]:
    """Return what was measured on a filter's map by the names of its columns."""
    return {_named(one, name): value for name, value in values.items()}


def context_of(
    filters: tuple[ImageOp, ...], geometry: Geometry, resample_mm: roi.Spacing | None, /
) -> tuple[int, int, int] | None:
    """Return the voxels around a region, after interpolation, that its maps depend on; None for the whole image.

    Raises
    ------
    Rejected
        ``NO_SPACING`` if resampling is asked for and the spacing is not known.
    """
    if not filters:
        return 0, 0, 0
    after = roi.geometry_after(geometry, resample_mm)
    wanted = [one.context(after) for one in filters if isinstance(one, ResponseFilter)]
    known = [context for context in wanted if context is not None]
    if len(known) < len(wanted):
        return None
    z, y, x = (max(context[axis] for context in known) for axis in range(3))
    return z, y, x


class WholeMaps:
    """Maps of one image by filters that need all of it, made for its first region and kept for the others.

    They are those of the extractor and the image that were asked for last, and go when that image goes.
    """

    def __init__(self) -> None:
        self._maker: object = None
        self._image: weakref.ref[Any] | None = None
        self._maps: dict[ImageOp, Array] = {}

    def of(self, maker: object, image: Array) -> dict[ImageOp, Array]:
        """Return the maps by filter that an extractor has made of an image: to read, and to add to."""
        if self._image is None or self._image() is not image or self._maker != maker:
            # the maps go with the image they were made of, not with what is kept in their place
            maps: dict[ImageOp, Array] = {}
            self._maker, self._maps = maker, maps
            self._image = weakref.ref(image, lambda _: maps.clear())
        return self._maps


WHOLE_MAPS = WholeMaps()

MOST_MAPS = 8
"""Maps of a whole image that are kept for its other regions."""


def kept_bytes(filters: tuple[ImageOp, ...], whole: Geometry, /) -> int:
    """Return the bytes of maps that are kept of an image of a shape."""
    asked = sum(one.context(whole) is None for one in filters if isinstance(one, ResponseFilter))
    return 4 * math.prod(whole.spatial_shape) * min(asked, MOST_MAPS)


def on_map(measured: roi.Roi, one: ImageOp, kept: dict[ImageOp, Array], /) -> roi.Roi | None:
    """Return a region on the map that a filter makes of the image around it, or None where the map has no values.

    Parameters
    ----------
    measured : Roi
    one : ResponseFilter
    kept : dict of filter to array (z, y, x)
        Maps of the whole image; one that is made is added as long as they are few.

    Raises
    ------
    Rejected
        ``E_SPACING`` for a filter of a length in mm without spacing, ``E_OP_NONFINITE`` where the map leaves float32.
    """
    assert isinstance(one, ResponseFilter)
    shape = measured.around.shape
    context = one.context(Geometry(shape=shape, spacing_mm=measured.spacing_mm))
    if context is None:
        made = kept.get(one)
        if made is None:
            made = _made(one, measured.around, measured.spacing_mm)
            if len(kept) < MOST_MAPS:
                kept[one] = made
        response = made[measured.box]
    else:
        # the part of the image that this filter needs; its ends are those of the image where it has any
        part = roi.widened(measured.box, context, shape)
        response = _made(one, measured.around[part], measured.spacing_mm)[roi.shifted(measured.box, part)]
    intensity = measured.intensity & backend_of(response).xp.isfinite(response)
    if not bool(intensity.any()):
        return None
    z, y, x = (slice(0, n) for n in response.shape)
    return replace(measured, image=response, around=response, box=(z, y, x), intensity=intensity)


def _made(one: ImageOp, image: Array, spacing_mm: roi.Spacing | None) -> Array:
    data = image.astype(np.float32, copy=False)
    return applied(one, Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=spacing_mm))).data


def _named(one: ImageOp, name: str) -> str:
    assert isinstance(one, ResponseFilter)
    return f"{one.tag}_{name}"
