"""Memory a case will need, projected from shape and ops before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from medpipe.recipe.recipe import Route
from medpipe.types import Geometry

BASE_BYTES = 350 << 20
"""A sandbox with its libraries loaded, before it has read anything."""

MOST_BYTES = 1 << 62
"""What is more fits no host either; the plan holds 64-bit integers."""


def geometry_of(volume: Mapping[str, Any]) -> Geometry:
    """Return the geometry a ``volumes`` row describes."""
    return Geometry(
        shape=tuple(volume["shape"]),
        axes=volume["axes"],
        spacing_mm=_triple(volume["spacing_mm"]),
        affine_lps=tuple(volume["affine_lps"]) if volume["affine_lps"] is not None else None,
    )


def projected_bytes(route: Route, volume: Mapping[str, Any]) -> int:
    """Return the projected peak of a case in bytes, at most ``MOST_BYTES``.

    The decoded volume in float32 with its float64 reading buffer, the final image where there
    are image ops, a mask per region source, and the largest single need among the ops.
    """
    geometry = geometry_of(volume)
    voxels = prod(geometry.shape)
    held = 4 * voxels * (2 if route.image else 1) + voxels * len(route.regions)
    needs = [op.memory(geometry) for op in route.image]
    needs += [op.memory(geometry) for op in route.regions]
    needs += [entry.op.memory(geometry) for entry in route.features]
    reading = 8 * voxels
    return min(BASE_BYTES + held + max([reading, *needs]), MOST_BYTES)


def _triple(values: Any) -> tuple[float, float, float] | None:
    if values is None:
        return None
    z, y, x = values
    return float(z), float(y), float(x)
