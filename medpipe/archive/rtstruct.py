"""DICOM RTSTRUCT: closed planar contours to masks on an image's grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from medpipe.archive.drawn import Drawn, Named, structures_of
from medpipe.archive.elements import decimals, integer, items, parse, text
from medpipe.archive.frames import Vector
from medpipe.archive.gate import inspect
from medpipe.archive.grid import Grid
from medpipe.archive.pixels import codec_boundary
from medpipe.archive.polygons import Extent, extent_of, fill_extent
from medpipe.bits import Bits
from medpipe.errors import Rejected

_CLOSED: Final = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
_SAME_PLANE: Final = 0.1
"""Contours less than this part of a step apart are of one plane."""


class _Placed(NamedTuple):
    """A contour on the slice it belongs to."""

    slice: int
    along_mm: float
    points: Vector


def read_structures(data: bytes, grid: Grid, *, frame_uid: str = "") -> list[Drawn]:
    """Return the structures of a structure set in stored order, contours first, then names without any.

    A voxel is inside where a line through its centre crosses the contours of its plane an odd
    number of times to its left; left and upper edges belong to the region, right and lower
    ones do not. A slice takes the contours of the plane nearest to it, within half a step; where
    others lie between slices as well, the structure is marked ``resampled``. Contours beyond the
    first and last slice are left out: the image is cropped.

    A structure of which nothing is drawn has a code: ``EMPTY_ROI`` (no contour), ``S_NO_AREA``
    (points and open contours only), ``E_CONTOUR`` (a contour between slices that are too far
    apart, not in a plane of the image, or no polygon), ``W_OUTSIDE`` (all beyond the image) or
    ``E_FRAME`` (of another frame of reference).

    Parameters
    ----------
    data : bytes
        The whole file.
    grid : Grid
    frame_uid : str
        The image's frame of reference; where it or the structure's is not known, none is asked for.

    Raises
    ------
    Rejected
        The code of the parser if the object cannot be read.
    """
    with codec_boundary():
        dataset = parse(inspect(data).data)
        rois = {roi.number: roi for roi in structures_of(dataset)}
        drawn = []
        for item in items(dataset, "ROIContourSequence"):
            number = integer(item, "ReferencedROINumber") or 0
            drawn.append(_drawn(item, rois.get(number, Named(number, "")), grid, frame_uid))
    seen = {one.number for one in drawn}
    return drawn + [_undrawn(roi, grid, "EMPTY_ROI") for roi in rois.values() if roi.number not in seen]


def _undrawn(roi: Named, grid: Grid, code: str) -> Drawn:
    nothing = Bits(shape=grid.shape, start=(0, 0, 0), size=(0, 0, 0), packed=b"")
    return Drawn(name=roi.name, bits=nothing, code=code, number=roi.number, codes=roi.codes)


def _drawn(item: Any, roi: Named, grid: Grid, frame_uid: str) -> Drawn:
    contours = items(item, "ContourSequence")
    if not contours:
        return _undrawn(roi, grid, "EMPTY_ROI")
    closed = [one for one in contours if text(one, "ContourGeometricType") in _CLOSED]
    if not closed:
        return _undrawn(roi, grid, "S_NO_AREA")
    if frame_uid and roi.frame_uid and roi.frame_uid != frame_uid:
        return _undrawn(roi, grid, "E_FRAME")
    try:
        placed = list(_placed(closed, grid))
    except Rejected as rejected:
        return _undrawn(roi, grid, rejected.code)
    outlines, is_thinned = _outlines(placed, grid)
    parts = [extent_of(corners, grid.shape[1:]) for _, corners in outlines]
    if not any(part.end_row > part.row and part.end_column > part.column for part in parts):
        return _undrawn(roi, grid, "W_OUTSIDE")
    bits = _filled(outlines, parts, grid)
    return Drawn(name=roi.name, bits=bits, number=roi.number, codes=roi.codes, resampled=is_thinned)


def _placed(contours: Iterable[Any], grid: Grid) -> Iterator[_Placed]:
    """Yield the contours that lie on slices."""
    for contour in contours:
        points = decimals(contour, "ContourData")
        if len(points) < 9 or len(points) % 3:
            raise Rejected("E_CONTOUR")
        corners = np.array(points).reshape(-1, 3)
        along = corners @ grid.normal
        if float(np.ptp(along)) > 0.5 * grid.step_mm:
            raise Rejected("E_CONTOUR")
        position = float(along.mean())
        index = grid.nearest_slice(position, 0.5 * grid.step_mm)
        if index is not None:
            yield _Placed(index, position, corners)
        elif grid.along_mm[0] < position < grid.along_mm[-1]:
            raise Rejected("E_CONTOUR")


def _outlines(placed: Iterable[_Placed], grid: Grid) -> tuple[list[tuple[int, Vector]], bool]:
    """Return slice and corners in pixels of the contours that count, and whether planes between slices do not."""
    on_slice: defaultdict[int, list[_Placed]] = defaultdict(list)
    for one in placed:
        on_slice[one.slice].append(one)
    outlines = []
    is_thinned = False
    for index, ours in on_slice.items():
        along_mm = grid.along_mm[index]
        nearest = min((abs(one.along_mm - along_mm), one.along_mm) for one in ours)[1]
        for one in ours:
            if abs(one.along_mm - nearest) <= _SAME_PLANE * grid.step_mm:
                outlines.append((index, grid.pixel_coordinates(one.points, index)))
            else:
                is_thinned = True
    return outlines, is_thinned


def _filled(outlines: Sequence[tuple[int, Vector]], parts: Sequence[Extent], grid: Grid) -> Bits:
    slices = [index for index, _ in outlines]
    first, last = min(slices), max(slices) + 1
    row, column = min(part.row for part in parts), min(part.column for part in parts)
    end_row, end_column = max(part.end_row for part in parts), max(part.end_column for part in parts)
    box = np.zeros((last - first, end_row - row, end_column - column), dtype=np.bool_)
    for (index, corners), part in zip(outlines, parts, strict=True):
        rows, columns = slice(part.row - row, part.end_row - row), slice(part.column - column, part.end_column - column)
        box[index - first, rows, columns] ^= fill_extent(corners, part)
    return Bits.of(box, start=(first, row, column), shape=grid.shape)
