"""Memory a case will need, projected from shape and ops before anything runs.

What is projected is the resident peak of the sandbox: what its libraries hold, and the largest
of what the steps of a case hold at once. A region may be as large as the volume, so features
are projected for that. Volumes above a fixed size go in slabs where every step of their route
can, and are projected so; what fits neither way is for the engine to refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from medpipe.contracts.protocols import ImageOp
from medpipe.kernels.slabs import planes_of
from medpipe.lake.volumes import SHARD_BYTES
from medpipe.plan.fusing import fused_planes, goes_by_planes, is_pointwise, leading_group
from medpipe.recipe.companion import FINAL, CompanionImage
from medpipe.recipe.recipe import Extraction, Route
from medpipe.types import Geometry

SESSION_BYTES = 230 << 20
"""A used sandbox with the libraries that read, filter and store."""

MEASURE_BYTES = 25 << 20
"""What measuring features adds: meshes, hulls, transforms and compiled loops."""

MODEL_BYTES = 105 << 20
"""What scoring adds: scikit-learn and a model."""

_ALL_BYTES = SESSION_BYTES + MEASURE_BYTES + MODEL_BYTES

MOST_BYTES = 1 << 62
"""What is more fits no host either; the plan holds 64-bit integers."""

SLABS_ABOVE_VOXELS = 1 << 26
"""Volumes of more voxels go in slabs where they can; never the site's to decide, so that keys hold."""

_SLAB_VOXELS = 1 << 23
_CHECKED_VOXELS = 1 << 20
_COMPANION_REGIONS = 16
_STACKS = frozenset({"volume", "single", "planar"})
_PLANES = frozenset({*_STACKS, "enhanced", "multiframe", "segmentation"})


def geometry_of(volume: Mapping[str, Any]) -> Geometry:
    """Return the geometry a ``volumes`` row describes."""
    return Geometry(
        shape=tuple(volume["shape"]),
        axes=volume["axes"],
        spacing_mm=_triple(volume["spacing_mm"]),
        affine_lps=tuple(volume["affine_lps"]) if volume["affine_lps"] is not None else None,
    )


def projected_bytes(
    route: Route,
    volume: Mapping[str, Any],
    *,
    beside: Iterable[Route] | None = None,
    images: Sequence[Mapping[str, Any] | None] = (),
) -> int:
    """Return the projected peak of a case in bytes, at most ``MOST_BYTES``.

    Parameters
    ----------
    route : Route
    volume : mapping
        A ``volumes`` row; ``companion_bytes``, where there, is what reading its companions takes.
    beside : iterable of Route, optional
        Other routes of the recipe: a sandbox keeps the libraries their cases have loaded. All
        libraries if not given.
    images : sequence of mapping or None
        The ``volumes`` rows of the route's companion images; None for one that is not there.
    """
    geometry = geometry_of(volume)
    base = max(_ALL_BYTES, held_bytes([route])) if beside is None else held_bytes((route, *beside))
    if goes_in_slabs(route, volume["kind"], geometry):
        return min(base + _in_slabs(route, volume["kind"], geometry), MOST_BYTES)
    steps = _steps(route, volume["kind"], geometry, companion_bytes=volume.get("companion_bytes", 0))
    with_images = [*steps, *_looking_beside(route, geometry, images), *_measuring_beside(route, geometry, images)]
    return min(base + max(with_images) + _held_images(route, geometry, images), MOST_BYTES)


def held_bytes(routes: Iterable[Route]) -> int:
    """Return what a sandbox holds that has run cases of these routes."""
    routes = tuple(routes)
    measures = any(route.features for route in routes)
    scores = any(route.models for route in routes)
    # those there are load the same library
    library: int = max((getattr(op, "library_bytes", 0) for route in routes for op in _ops_of(route)), default=0)
    networks: dict[str, int] = {op.model: op.network_bytes for route in routes for op in _asking(route)}
    return SESSION_BYTES + MEASURE_BYTES * measures + MODEL_BYTES * scores + library + sum(networks.values())


def _asking(route: Route) -> Iterator[Any]:
    """Yield the ops of a route that ask a network."""
    ops = (*_ops_of(route), *(entry.op for entry in route.features))
    yield from (op for op in ops if hasattr(op, "network_bytes"))


def _ops_of(route: Route) -> Iterator[Any]:
    """Yield the ops of a route that may load something to look at an image."""
    if _needs_final(route):
        yield from route.image
    for source in route.regions:
        yield from getattr(source, "after", ())
    for one in route.companions:
        yield from one.image
        yield one.align
    yield from (entry.op for entry in route.features)


def goes_in_slabs(route: Route, kind: str, geometry: Geometry, *, above_voxels: int = SLABS_ABOVE_VOXELS) -> bool:
    """Tell whether a volume goes in slabs: it is large, made of planes, and each step can.

    Regions, features, companion images, views and image ops without a halo need the whole volume.
    """
    if prod(geometry.shape) <= above_voxels or geometry.axes != "zyx" or kind not in _PLANES:
        return False
    needs_whole = bool(route.regions or route.features or route.companions or route.views)
    return not needs_whole and all(op.halo(geometry) is not None for op in route.image)


def slab_planes(shape: tuple[int, ...]) -> int:
    """Return how many planes (y, x) are worked on at a time, context apart."""
    return planes_of(shape, _SLAB_VOXELS)


def context_planes(ops: Sequence[ImageOp], geometry: Geometry) -> int:
    """Return how many planes a chain of ops with halos needs beyond each end of a slab."""
    halos = [op.halo(geometry) for op in ops]
    return sum(halo[0] for halo in halos if halo is not None)


def _steps(route: Route, kind: str, geometry: Geometry, *, companion_bytes: int) -> list[int]:
    """Return what each step of a case holds in all, the whole volume in memory."""
    image = 4 * prod(geometry.shape)
    kept = image if FINAL in route.keep and route.image else 0
    return [
        image + _reading(kind, geometry),
        image + kept + _storing(geometry),
        *(_filtering(route.image, geometry) if _needs_final(route) else ()),
        *(image + kept + need for need in _finding(route, geometry, companion_bytes)),
        *_measuring(route, geometry),
        *(2 * image + _held_regions(route, geometry) + one.op.memory(geometry) for one in route.views),
    ]


def _in_slabs(route: Route, kind: str, geometry: Geometry) -> int:
    slab = _some_planes(slab_planes(geometry.shape), route.image, geometry)
    # a block of a spool is a copy, twice its shard where that is int16
    steps = [_reading(kind, geometry), 4 * prod(slab.shape), _storing(geometry) + 2 * SHARD_BYTES]
    if _needs_final(route):
        steps += _filtering(route.image, slab)
    return max(steps)


def _needs_final(route: Route) -> bool:
    shown = {entry.image for entry in route.features} | {view.image for view in route.views}
    return bool(route.image) and (FINAL in route.keep or FINAL in shown)


def _finding(route: Route, geometry: Geometry, companion_bytes: int) -> Iterator[int]:
    """Yield what each region source holds beside the images: its own need and the regions that are there."""
    held = _held_regions(route, geometry)
    if any(op.uses_companions for op in route.regions):
        # of one region at a time the slices that were filled, and the box they go into
        yield held + companion_bytes + 2 * prod(geometry.spatial_shape)
    for op in route.regions:
        yield held + op.memory(geometry)


def _held_regions(route: Route, geometry: Geometry) -> int:
    """Return what regions take as bits: one of each source, of objects as many whole ones as sixteen."""
    bits = prod(geometry.spatial_shape) // 8 + 1
    return sum(_COMPANION_REGIONS if op.uses_companions else 1 for op in route.regions) * bits


def _measuring(route: Route, geometry: Geometry) -> Iterator[int]:
    """Yield what each extraction holds: images, all regions, and its own need."""
    image = 4 * prod(geometry.shape)
    held = image + _held_regions(route, geometry)
    has_final = FINAL in route.keep and bool(route.image)
    for entry in route.features:
        # the filtered image is made when the first one asks for it
        has_final |= entry.image == FINAL and bool(route.image)
        if entry.beside is None:
            yield from _measuring_one(route, entry, geometry, held + has_final * image)


def _measuring_one(route: Route, entry: Extraction, measured: Geometry, held: int) -> Iterator[int]:
    """Yield what an extraction holds on the grid that it measures: what is held, and its own need."""
    yield held + entry.op.memory(measured)
    for perturbation in route.perturb:
        if perturbation.takes(entry.name):
            # the image and regions as they might have been, beside those that are
            moved = held + 4 * prod(measured.shape) + _held_regions(route, measured)
            yield max(moved + step.memory(measured) for step in perturbation.steps)
            yield moved + entry.op.memory(measured)


def _measuring_beside(route: Route, geometry: Geometry, images: Sequence[Mapping[str, Any] | None]) -> Iterator[int]:
    """Yield what each extraction of a companion image holds beside what is held of all of them."""
    rows = dict(zip((one.name for one in route.companions), images, strict=False))
    held = 4 * prod(geometry.shape) * (2 if _needs_final(route) else 1) + _held_regions(route, geometry)
    for entry in route.features:
        row = rows.get(entry.image)
        if row is None:
            continue
        assert entry.beside is not None
        own = _worked(entry.beside, row)[-1]
        measured, carried = geometry, 0
        if entry.grid == "companion":
            # a region, a number for each voxel, on both grids; then all of them on its own
            yield held + 6 * prod(geometry.spatial_shape) + 5 * prod(own.spatial_shape) + _held_regions(route, own)
            measured, carried = own, _held_regions(route, own)
        yield from _measuring_one(route, entry, measured, held + carried)


def _held_images(route: Route, geometry: Geometry, images: Sequence[Mapping[str, Any] | None]) -> int:
    """Return what companion images take from when they are read: each as it is, and on the grid of the volume."""
    held = 0
    for companion, row in zip(route.companions, images, strict=False):
        if row is not None:
            most = max(prod(one.shape) for one in _worked(companion, row))
            held += 4 * most + 4 * prod(geometry.spatial_shape)
    return held


def _worked(companion: CompanionImage, row: Mapping[str, Any]) -> list[Geometry]:
    """Return where the voxels of a companion image are as it is read, and after each of its ops."""
    found = [geometry_of(row)]
    for op in companion.image:
        here, moved = found[-1], getattr(op, "result_geometry", None)
        # an op that would move it refuses an image without a spacing
        found.append(here if moved is None or here.spacing_mm is None else moved(here))
    return found


def _looking_beside(route: Route, geometry: Geometry, images: Sequence[Mapping[str, Any] | None]) -> Iterator[int]:
    """Yield what reading, filtering and aligning each companion image holds beside what is held of all of them."""
    image = 4 * prod(geometry.shape)
    for companion, row in zip(route.companions, images, strict=False):
        if row is None:
            continue
        before, *after = _worked(companion, row)
        yield image + _reading(row["kind"], before)
        for op, other in zip(companion.image, (before, *after), strict=False):
            yield image + 4 * prod(other.shape) + op.memory(other)
        yield image + companion.align.memory(geometry, after[-1] if after else before)
        if companion.fuse:
            yield 3 * image + _storing(geometry) * 2


def _filtering(ops: Sequence[ImageOp], geometry: Geometry) -> Iterator[int]:
    """Yield what each op, or group of them, holds: the original, what it is given, and what it takes beside."""
    image = 4 * prod(geometry.shape)
    held = image
    while ops:
        group = leading_group(ops, geometry)
        if goes_by_planes(group[0], geometry):
            # one that works voxel by voxel writes in the place of what an op before it made
            in_place = held > image and is_pointwise(group[0], geometry)
            yield held + (0 if in_place else image) + _by_planes(group, geometry)
        else:
            yield held + group[0].memory(geometry)
        held, ops = 2 * image, ops[len(group) :]


def _by_planes(group: tuple[ImageOp, ...], geometry: Geometry) -> int:
    """Return what ops take that are given some planes at a time: these, and what each makes of them."""
    part = _some_planes(fused_planes(geometry), group, geometry)
    return max(4 * prod(part.shape) + op.memory(part) for op in group)


def _some_planes(count: int, ops: Sequence[ImageOp], geometry: Geometry) -> Geometry:
    """Return the geometry of some planes with the context of a chain on both sides, as far as there are any."""
    z, y, x = geometry.shape
    return replace(geometry, shape=(min(count + 2 * context_planes(ops, geometry), z), y, x))


def _reading(kind: str, geometry: Geometry) -> int:
    """Return what decoding holds beside the result: a file and its frames, and one plane in float64."""
    y, x = geometry.spatial_shape[1:]
    # a file of a stack holds a plane; of anything else it may hold everything
    frames = y * x if kind in _STACKS else prod(geometry.shape)
    return 8 * frames + 14 * y * x


def _storing(geometry: Geometry) -> int:
    """Return what storing holds beside the values: some planes that are checked, a shard and what it becomes."""
    voxels = prod(geometry.shape)
    return 24 * min(voxels, _CHECKED_VOXELS) + 5 * min(4 * voxels, SHARD_BYTES) // 2


def _triple(values: Any) -> tuple[float, float, float] | None:
    if values is None:
        return None
    z, y, x = values
    return float(z), float(y), float(x)
