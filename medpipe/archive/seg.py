"""DICOM SEG: frames of segments to masks on an image's grid."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from medpipe.archive.elements import integer, items, parse, text
from medpipe.archive.frames import Plane, check_plane, normal_of, segment_of
from medpipe.archive.gate import inspect
from medpipe.archive.grid import PARALLEL, Grid
from medpipe.archive.header import Header
from medpipe.archive.pixels import Pixels, codec_boundary, decode
from medpipe.archive.rtstruct import Drawn, Mask
from medpipe.errors import Rejected


class _Shown(NamedTuple):
    """One frame of one segment, placed along the image's normal."""

    plane: Plane
    along_mm: float
    pixels: Mask


def read_segments(header: Header, data: bytes, grid: Grid) -> list[Drawn]:
    """Return the segments of a segmentation, in the order of their numbers.

    BINARY frames are taken as they are, FRACTIONAL ones where the value is at least half of
    its maximum, LABELMAP ones by label. Each image slice takes the nearest frame of a segment
    within half a step; each of its pixels the nearest pixel. What no frame covers is outside.

    Raises
    ------
    Rejected
        ``E_GRID`` if frames have no place, are not parallel to the image's slices, or all lie
        beyond it; else what decoding says.
    """
    if not header.frames or any(not plane.placed or check_plane(plane) for plane in header.frames):
        raise Rejected("E_GRID")
    frames = decode(header, data)
    with codec_boundary():
        dataset = parse(inspect(data).data)
        segments = _segments(dataset)
        shown = _shown(header, dataset, frames, segments, grid)
    drawn = []
    placed = False
    for number, name in sorted(segments.items()):
        mask = np.zeros(grid.shape, dtype=np.bool_)
        placed |= _place(mask, shown.get(number, []), grid)
        drawn.append(Drawn(name, mask))
    if not placed:
        raise Rejected("E_GRID")
    return drawn


def _segments(dataset: Any) -> dict[int, str]:
    found = ((integer(item, "SegmentNumber"), text(item, "SegmentLabel")) for item in items(dataset, "SegmentSequence"))
    # number 0 is the background of a label map
    segments = {number: name for number, name in found if number}
    if not segments:
        raise Rejected("E_COMPANION")
    return segments


def _shown(
    header: Header, dataset: Any, frames: Pixels, segments: dict[int, str], grid: Grid
) -> dict[int, list[_Shown]]:
    kind = text(dataset, "SegmentationType")
    half = (integer(dataset, "MaximumFractionalValue") or 1) / 2 if kind == "FRACTIONAL" else 0.5
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    shown: dict[int, list[_Shown]] = {}
    for plane, group, pixels in zip(header.frames, groups, frames, strict=True):
        if abs(float(normal_of(plane) @ grid.normal)) < PARALLEL:
            raise Rejected("E_GRID")
        along = float(np.dot(plane.position, grid.normal))
        if kind == "LABELMAP":
            for number in segments:
                shown.setdefault(number, []).append(_Shown(plane, along, pixels == number))
            continue
        shows = segment_of(group) or next(filter(None, map(segment_of, shared)), None)
        if shows is None:
            raise Rejected("E_COMPANION")
        shown.setdefault(shows, []).append(_Shown(plane, along, pixels >= half))
    return shown


def _place(mask: Mask, shown: list[_Shown], grid: Grid) -> bool:
    if not shown:
        return False
    places = np.array([frame.along_mm for frame in shown])
    steps = (shown[0].plane.between_mm, shown[0].plane.thickness_mm, grid.step_mm)
    reach = 0.5 * max(step for step in steps if step is not None)
    placed = False
    for index, position in enumerate(grid.along_mm):
        away = np.abs(places - position)
        nearest = int(away.argmin())
        if away[nearest] <= reach:
            mask[index] = _resampled(shown[nearest], grid, index)
            placed = True
    return placed


def _resampled(frame: _Shown, grid: Grid, index: int) -> Mask:
    """Return a frame's nearest pixels at the pixel centres of an image slice."""
    plane = frame.plane
    basis = np.column_stack(
        [np.array(plane.orientation[:3]) * plane.spacing_mm[1], np.array(plane.orientation[3:]) * plane.spacing_mm[0]]
    )
    into = np.linalg.pinv(basis)
    column0, row0 = into @ (grid.origins[index] - np.array(plane.position))
    steps = into @ grid.plane
    _, rows, columns = grid.shape
    across, down = np.arange(columns)[None, :], np.arange(rows)[:, None]
    column = np.rint(np.round(column0 + steps[0, 0] * across + steps[0, 1] * down, 6)).astype(np.int64)
    row = np.rint(np.round(row0 + steps[1, 0] * across + steps[1, 1] * down, 6)).astype(np.int64)
    height, width = frame.pixels.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.asarray(inside & frame.pixels[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)])
