"""Memory of a device that a case will need, projected from shape and ops before anything runs.

The same projection as of the host's, without what only the host holds: files, bits of regions, what is
stored. Regions are taken to be small, since nobody knows yet how large they are: what measuring them takes is left
out. An op whose arrays on a device are others than on the host says so by ``device_memory``; what libraries of
the device take for themselves, as for Fourier transforms, nobody tells. So a projection decides where a case begins,
and what ``medpipe plan`` warns of; what becomes of the case is decided by the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

from medpipe.contracts.protocols import ImageOp
from medpipe.ops.device_bytes import device_bytes_of
from medpipe.plan.fusing import block_group
from medpipe.plan.memory import MOST_BYTES, context_planes, geometry_of, goes_in_slabs, slab_planes
from medpipe.recipe.recipe import Route
from medpipe.types import Geometry

Rows = Sequence[Mapping[str, Any] | None]


class DeviceNeed(NamedTuple):
    """Bytes of a device that a case is projected to need: with all volumes there, and the least it can do with."""

    whole: int
    least: int


NO_NEED = DeviceNeed(0, 0)
"""Of a case that runs on no device."""


def device_need(route: Route, volume: Mapping[str, Any], *, images: Rows = ()) -> DeviceNeed:
    """Return what a case is projected to need of a device; 0 where it has nothing to do there.

    Parameters
    ----------
    route : Route
    volume : mapping
        A ``volumes`` row.
    images : sequence of mapping or None
        The ``volumes`` rows of the route's companion images; None for one that is not there.
    """
    geometry = geometry_of(volume)
    if goes_in_slabs(route, volume["kind"], geometry):
        ops, (z, y, x) = _made_ops(route), geometry.shape
        context = 2 * context_planes(route.image, geometry)
        # a slab goes through all of the chain before the next one
        whole, least = (
            max(_chain(ops, replace(geometry, shape=(min(planes + context, z), y, x))), default=0)
            for planes in (slab_planes(geometry.shape), 1)
        )
        return DeviceNeed(min(whole, MOST_BYTES), min(least, MOST_BYTES))
    return DeviceNeed(
        whole=min(max(_whole(route, geometry, images), default=0), MOST_BYTES),
        least=min(max(_least(route, geometry, images), default=0), MOST_BYTES),
    )


def _made_ops(route: Route) -> Sequence[ImageOp]:
    """Return the image ops of a route that makes the image after them, else none."""
    shown = {entry.image for entry in route.features} | {view.image for view in route.views}
    return route.image if "final" in shown or "final" in route.keep else ()


def _whole(route: Route, geometry: Geometry, images: Rows) -> Iterator[int]:
    """Yield what each step has on the device, volumes that stay there included."""
    image = _bytes(geometry)
    beside = sum(_bytes(geometry_of(row)) + 4 * prod(geometry.spatial_shape) for row in images if row is not None)
    ops = _made_ops(route)
    held = beside + image + image * bool(ops)
    yield from (beside + need for need in _chain(ops, geometry))
    for companion, row in zip(route.companions, images, strict=False):
        if row is not None:
            yield from (image + beside + need for need in _chain(companion.image, geometry_of(row)))
            yield held
    yield from (held + device_bytes_of(op, geometry) for op in route.regions)
    for entry in route.features:
        steps = [
            device_bytes_of(step, geometry) for one in route.perturb if one.takes(entry.name) for step in one.steps
        ]
        yield held + max(steps, default=0)
    yield from (held + device_bytes_of(one.op, geometry) for one in route.views)


def _least(route: Route, geometry: Geometry, images: Rows) -> Iterator[int]:
    """Yield what each step has on the device if nothing else is there."""
    image = _bytes(geometry)
    yield from _in_blocks(_made_ops(route), geometry)
    for companion, row in zip(route.companions, images, strict=False):
        if row is not None:
            yield from _in_blocks(companion.image, geometry_of(row))
            yield _bytes(geometry_of(row)) + 4 * prod(geometry.spatial_shape)
    yield from (image + device_bytes_of(op, geometry) for op in route.regions)
    yield from (image for _ in route.features)
    yield from (image + device_bytes_of(one.op, geometry) for one in route.views)


def _chain(ops: Sequence[ImageOp], geometry: Geometry) -> Iterator[int]:
    """Yield what each op has on the device: the first image, what the op is given, what it takes, and what checks it."""
    image = _bytes(geometry)
    for place, op in enumerate(ops):
        # where its values are no numbers: a byte a voxel
        yield image * (2 if place else 1) + device_bytes_of(op, geometry) + image // 4


def _in_blocks(ops: Sequence[ImageOp], geometry: Geometry) -> Iterator[int]:
    """Yield what each group of ops has on the device: one plane with its context, or the whole for one without a halo."""
    while ops:
        group = block_group(ops, geometry)
        if group:
            z, y, x = geometry.shape
            part = replace(geometry, shape=(min(1 + 2 * context_planes(group, geometry), z), y, x))
            yield from _chain(group, part)
        else:
            yield from _chain(ops[:1], geometry)
        ops = ops[max(len(group), 1) :]


def _bytes(geometry: Geometry) -> int:
    return 4 * prod(geometry.shape)
