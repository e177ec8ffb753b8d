"""Shapes of masks: connected components, holes, opening and closing in mm."""

from __future__ import annotations

import numpy as np

from medpipe.kernels.labels import structure
from medpipe.kernels.slabs import planes_of, slab_ranges
from medpipe.types import Array
from medpipe.xp import backend_of

Spacing = tuple[float, float, float]

TOUCHING = structure(26)
"""Neighbours that share a face, an edge or a corner (26)."""

_LEAST_SLAB_VOXELS = 1 << 18
_MOST_SLABS = 16

IN_SLICE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3], dtype=bool)
"""Neighbours that share an edge within a slice (4)."""


def largest_component(mask: Array, /) -> Array:
    """Return the largest set of touching voxels (26 neighbours); of equal ones the first.

    Parameters
    ----------
    mask : array of bool (z, y, x)

    Returns
    -------
    array of bool (z, y, x)
        All False if the mask is empty.
    """
    backend = backend_of(mask)
    xp = backend.xp
    labels, count = backend.ndi.label(mask, structure=TOUCHING)
    if int(count) == 0:
        return xp.zeros(mask.shape, dtype=bool)
    return labels == int(xp.argmax(_sizes(labels, int(count))))


def enclosed_components(mask: Array, /, *, least_voxels: float, at_most: int) -> Array:
    """Return the largest sets of face-connected voxels that reach no border in y or x.

    Parameters
    ----------
    mask : array of bool (z, y, x)
    least_voxels : float
        Smallest set that counts.
    at_most : int
        Number of sets to keep.

    Returns
    -------
    array of bool (z, y, x)
    """
    backend = backend_of(mask)
    xp = backend.xp
    labels, count = backend.ndi.label(mask)
    if int(count) == 0:
        return xp.zeros(mask.shape, dtype=bool)
    sizes = _sizes(labels, int(count))
    for edge in _edges(labels):
        sizes[edge] = 0
    # Sorted by the negative size, so that the first of equal sets comes first.
    order = xp.argsort(-sizes, kind="stable")[:at_most]
    wanted = xp.zeros(int(count) + 1, dtype=bool)
    wanted[order] = sizes[order] >= max(least_voxels, 1)
    return looked_up(wanted, labels)


def fill_slice_holes(mask: Array, /) -> Array:
    """Fill the holes of each slice: background that no edge-connected path leads out of.

    Parameters
    ----------
    mask : array of bool (z, y, x)

    Returns
    -------
    array of bool (z, y, x)
    """
    backend = backend_of(mask)
    result = backend.xp.empty(mask.shape, dtype=bool)
    for first, last in slab_ranges(mask.shape, planes=_slab_planes(mask.shape)):
        labels, count = backend.ndi.label(~mask[first:last], structure=IN_SLICE)
        inside = backend.xp.ones(int(count) + 1, dtype=bool)
        for edge in _edges(labels):
            inside[edge] = False
        inside[0] = True
        result[first:last] = looked_up(inside, labels)
    return result


def fill_holes(mask: Array, /) -> Array:
    """Fill the holes of a volume: background that no face-connected path leads out of.

    Parameters
    ----------
    mask : array of bool (z, y, x)

    Returns
    -------
    array of bool (z, y, x)
        Where the array has a single voxel along an axis, paths lead out of it along the others only.
    """
    backend = backend_of(mask)
    xp = backend.xp
    labels, count = backend.ndi.label(~mask)
    inside = xp.ones(int(count) + 1, dtype=bool)
    for axis, size in enumerate(mask.shape):
        for end in (0, -1) if size > 1 else ():
            inside[labels.take(end, axis=axis)] = False
    inside[0] = True
    return looked_up(inside, labels)


def erosion(mask: Array, /, *, radius_mm: float, spacing_mm: Spacing) -> Array:
    """Shrink a mask by an ellipsoid of a radius in mm.

    Parameters
    ----------
    mask : array of bool (z, y, x)
    radius_mm : float
        Radius, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of bool (z, y, x)
        Voxels around which all voxels within the radius are of the mask, which counts as going on
        beyond the border.
    """
    return ~dilation(~mask, radius_mm=radius_mm, spacing_mm=spacing_mm)


def opening(mask: Array, /, *, radius_mm: float, spacing_mm: Spacing) -> Array:
    """Remove what an ellipsoid of a radius in mm does not fit into.

    Parameters
    ----------
    mask : array of bool (z, y, x)
    radius_mm : float
        Radius, mm; below one voxel along an axis that axis has no say.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of bool (z, y, x)
        The mask counts as going on beyond the border, so a body cut by the field of view, or
        a single slice, is not eaten from there.
    """
    eroded = erosion(mask, radius_mm=radius_mm, spacing_mm=spacing_mm)
    return dilation(eroded, radius_mm=radius_mm, spacing_mm=spacing_mm)


def closing(mask: Array, /, *, radius_mm: float, spacing_mm: Spacing) -> Array:
    """Fill gaps that an ellipsoid of a radius in mm does not fit into.

    Parameters
    ----------
    mask : array of bool (z, y, x)
    radius_mm : float
        Radius, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of bool (z, y, x)
        Beyond the border lies background.
    """
    xp = backend_of(mask).xp
    reach = [int(radius_mm / step + 1e-9) for step in spacing_mm]
    padded = xp.pad(mask, [(n, n) for n in reach])
    grown = dilation(padded, radius_mm=radius_mm, spacing_mm=spacing_mm)
    closed = ~dilation(~grown, radius_mm=radius_mm, spacing_mm=spacing_mm)
    return closed[tuple(slice(n, n + size) for n, size in zip(reach, mask.shape, strict=True))]


def dilation(mask: Array, /, *, radius_mm: float, spacing_mm: Spacing) -> Array:
    """Grow a mask by an ellipsoid of a radius in mm.

    Parameters
    ----------
    mask : array of bool (z, y, x)
    radius_mm : float
        Radius, mm.
    spacing_mm : (float, float, float)
        Step between voxel centres along (z, y, x), mm.

    Returns
    -------
    array of bool (z, y, x)
        Voxels from whose centre the centre of a voxel of the mask is within the radius.

    Notes
    -----
    The ellipsoid is a stack of runs along x: the mask is widened once for each length of run,
    then shifted along z and y, which takes far fewer passes than the ellipsoid has voxels.
    """
    wide = mask.copy()
    result = mask.copy()
    width = 0
    for run, shift_z, shift_y in sorted(_runs(radius_mm, spacing_mm, mask.shape)):
        while width < run:
            width += 1
            _add_shifted(wide, mask, (0, 0, width))
            _add_shifted(wide, mask, (0, 0, -width))
        _add_shifted(result, wide, (shift_z, shift_y, 0))
    return result


def _runs(radius_mm: float, spacing_mm: Spacing, shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Return (half length, z, y) of each run of the ellipsoid's voxels along x, as far as the array reaches."""
    step_z, step_y, step_x = spacing_mm
    # a radius of very many voxels must not cost more than the array has
    reach_z = min(int(radius_mm / step_z + 1e-9), shape[0])
    reach_y = min(int(radius_mm / step_y + 1e-9), shape[1])
    runs = []
    for z in range(-reach_z, reach_z + 1):
        for y in range(-reach_y, reach_y + 1):
            left = radius_mm**2 * (1.0 + 1e-9) - (z * step_z) ** 2 - (y * step_y) ** 2
            if left >= 0.0:
                runs.append((min(int(left**0.5 / step_x + 1e-9), shape[2]), z, y))
    return runs


def _add_shifted(result: Array, mask: Array, shift: tuple[int, int, int]) -> None:
    if any(abs(n) >= size for n, size in zip(shift, mask.shape, strict=True)):
        return
    to = tuple(slice(max(n, 0), size + min(n, 0)) for n, size in zip(shift, mask.shape, strict=True))
    source = tuple(slice(max(-n, 0), size + min(-n, 0)) for n, size in zip(shift, mask.shape, strict=True))
    result[to] |= mask[source]


def _sizes(labels: Array, count: int) -> Array:
    """Return the number of voxels of each label; background counts as none."""
    xp = backend_of(labels).xp
    sizes = xp.zeros(count + 1, dtype=xp.int64)
    for first, last in slab_ranges(labels.shape, planes=_slab_planes(labels.shape)):
        # counting turns labels into 8-byte places
        sizes += xp.bincount(labels[first:last].reshape(-1), minlength=count + 1)
    sizes[0] = 0
    return sizes


def _slab_planes(shape: tuple[int, ...]) -> int:
    """Return how many planes go together: what is made of them takes a small part of the whole's memory."""
    return max(-(-shape[0] // _MOST_SLABS), planes_of(shape, _LEAST_SLAB_VOXELS))


def _edges(labels: Array) -> tuple[Array, Array, Array, Array]:
    return labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]


def looked_up(table: Array, labels: Array) -> Array:
    """Return what a table of bool says of each label, slice by slice: indexing turns labels into 8-byte places."""
    result = backend_of(labels).xp.empty(labels.shape, dtype=bool)
    for place in range(labels.shape[0]):
        result[place] = table[labels[place]]
    return result
