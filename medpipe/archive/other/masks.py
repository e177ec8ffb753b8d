"""Masks in NIfTI and NRRD: label values to regions on an image's grid."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from medpipe.archive.drawn import Drawn
from medpipe.archive.header import Header
from medpipe.archive.other.block import frames_in
from medpipe.archive.other.identity import stem_of
from medpipe.archive.other.nrrd import Segment, segments_of
from medpipe.bits import Bits
from medpipe.errors import Rejected
from medpipe.kernels.label_boxes import label_boxes
from medpipe.types import Geometry

MOST_LABELS: Final = 4096
"""Values beyond which a file is no mask: a lesion each may be thousands, an image has more."""

_MOST_LABEL: Final = 1 << 31
_TOLERANCE_STEPS: Final = 0.01
"""How far a voxel of the mask may lie from one of the image, in steps of the image's grid."""

Array = np.ndarray[Any, np.dtype[Any]]
Box = tuple[slice, slice, slice]


def read_masks(header: Header, data: bytes, geometry: Geometry) -> list[Drawn]:
    """Return the regions of a mask, in the order of their label values or segments.

    The mask's voxels must be voxels of the image, at every corner to a hundredth of a step; its
    axes may be stored in another order or direction, and it may be a part of the image cut out.
    Nothing is resampled. Segments that 3D Slicer describes in a NRRD file bear their names, and
    may overlap: each lies in its entry of a list.

    Parameters
    ----------
    header : Header
        Its ``labels`` say which values count; none: all but 0. One that is not there is an empty region,
        and a mask without any has an empty region of the value 1.
    data : bytes
    geometry : Geometry
        Of the image.

    Raises
    ------
    Rejected
        ``E_GRID`` if it lies on another grid or beyond the image, ``E_LABELS`` if its values
        are neither labels nor parts of 1, or what decoding says.
    """
    block, matrix = header.block, geometry.matrix
    segments = segments_of(data) if header.format == "nrrd" else []
    n_layers = 1 if block is None else block.side("t")
    if header.code or block is None or "c" in block.axes or (n_layers > 1 and not segments):
        raise Rejected(header.code or "E_COMPANION")
    if not block.affine_lps or matrix is None or geometry.slice_positions_mm is not None:
        raise Rejected("E_GRID")
    sides = tuple(block.side(axis) for axis in "xyz")
    steps, offset = _lattice(np.array(block.affine_lps).reshape(4, 4), matrix, sides)
    values = _values(header, frames_in(block, data))
    layers = values.reshape(n_layers, -1, *values.shape[1:])
    chosen = [one for one in segments if one.layer < n_layers and (not header.labels or one.label in header.labels)]
    if not segments:
        chosen = [Segment(label, 0, "") for label in header.labels or _labels(values) or (1,)]
    stem = stem_of(header.path).rpartition("/")[2]
    # each label is cut out of its own box: thousands of them would else each pass over the image
    boxes = {
        layer: label_boxes(layers[layer], tuple(one.label for one in chosen if one.layer == layer))
        for layer in sorted({one.layer for one in chosen})
    }
    return [
        Drawn(
            name=f"{stem} {label} {name}".rstrip(),
            bits=_laid(layers[layer], label, boxes[layer].get(label), _Place(steps, offset, geometry.spatial_shape)),
            number=label,
        )
        for label, layer, name in chosen
    ]


class _Place(NamedTuple):
    """How an index (x, y, z) of a mask becomes one of the image, and the image's shape (z, y, x)."""

    steps: Array
    offset: Array
    shape: tuple[int, int, int]


def _lattice(mask: Array, image: Array, sides: tuple[int, ...]) -> tuple[Array, Array]:
    """Return how an index (x, y, z) of the mask becomes one of the image: whole steps, and an offset."""
    into = np.linalg.inv(image) @ mask
    steps, offset = np.rint(into[:3, :3]).astype(np.int64), np.rint(into[:3, 3]).astype(np.int64)
    if not (np.abs(steps).sum(axis=0) == 1).all() or not (np.abs(steps).sum(axis=1) == 1).all():
        raise Rejected("E_GRID")
    last = np.array(sides) - 1
    corners = np.array([[i, j, k] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
    away = corners @ (into[:3, :3] - steps).T + (into[:3, 3] - offset)
    if np.abs(away).max() > _TOLERANCE_STEPS:
        raise Rejected("E_GRID")
    return steps, offset


def _values(header: Header, frames: Array) -> Array:
    """Return whole label values; of a mask of parts of 1, those of at least a half are label 1."""
    slope, intercept = header.top.scale
    if (slope, intercept) == (1.0, 0.0) and frames.dtype.kind != "f":
        return frames
    labels = np.empty(frames.shape, dtype=np.int32)
    is_whole = is_part = True
    # slice by slice: in float64 a whole mask would take more than the image
    for place, frame in enumerate(frames):
        values = frame.astype(np.float64) * slope + intercept
        if not np.isfinite(values).all():
            raise Rejected("E_NONFINITE")
        whole = bool((values == np.rint(values)).all() and np.abs(values).max() < _MOST_LABEL)
        is_whole &= whole
        is_part &= bool(values.min() >= 0 and values.max() <= 1)
        if not is_whole and not is_part:
            raise Rejected("E_LABELS")
        labels[place] = values if whole else values >= 0.5
    return labels


def _labels(values: Array) -> tuple[int, ...]:
    found: set[int] = set()
    for frame in values:
        found.update(np.unique(frame).tolist())
        if len(found - {0}) > MOST_LABELS:
            raise Rejected("E_LABELS")
    return tuple(sorted(found - {0}))


def _laid(values: Array, label: int, box: Box | None, place: _Place) -> Bits:
    """Return where a label is in a box, in the image's order of axes and at its place in the image."""
    if box is None:
        return Bits.of(np.zeros((0, 0, 0), dtype=np.bool_), shape=place.shape)
    # which axis of the mask runs along each axis (x, y, z) of the image, and in which direction
    along = np.abs(place.steps).argmax(axis=1)
    signs = place.steps[np.arange(3), along]
    turned = (values[box] == label).transpose(2, 1, 0).transpose(tuple(along))
    turned = turned[tuple(slice(None, None, int(sign)) for sign in signs)]
    first = place.steps @ np.array([side.start for side in box[::-1]]) + place.offset
    begin = np.where(signs > 0, first, first - np.array(turned.shape) + 1)
    if (begin < 0).any() or (begin + np.array(turned.shape) > place.shape[::-1]).any():
        raise Rejected("E_GRID")
    z, y, x = (int(start) for start in begin[::-1])
    return Bits.of(turned.transpose(2, 1, 0), start=(z, y, x), shape=place.shape)
