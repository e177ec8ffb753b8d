"""DICOM RTSTRUCT: closed planar contours to masks on an image's grid."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from medpipe.archive.elements import integer, items, numbers, parse, text
from medpipe.archive.frames import Vector
from medpipe.archive.gate import inspect
from medpipe.archive.grid import Grid
from medpipe.archive.pixels import codec_boundary
from medpipe.errors import Rejected

_MOST_CROSSINGS: Final = 1 << 22
_CLOSED: Final = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})

Mask = np.ndarray[Any, np.dtype[np.bool_]]


class Drawn(NamedTuple):
    """A region as an object holds it: its free-text name and its mask on the grid."""

    name: str
    mask: Mask


def read_structures(data: bytes, grid: Grid) -> list[Drawn]:
    """Return the regions of a structure set that have closed contours, in stored order.

    A voxel is inside where a line through its centre crosses the contours of its plane an odd
    number of times to its left; left and upper edges belong to the region, right and lower
    ones do not. Contours beyond the first and last slice are left out: the image is cropped.

    Raises
    ------
    Rejected
        ``E_CONTOUR`` if a contour lies between slices, or not in a plane of the image, or if
        all lie beyond it; ``E_COMPANION`` if the object cannot be read.
    """
    with codec_boundary():
        dataset = parse(inspect(data).data)
        names = {
            integer(item, "ROINumber"): text(item, "ROIName") for item in items(dataset, "StructureSetROISequence")
        }
        contours = [
            (names.get(integer(item, "ReferencedROINumber"), ""), _closed_contours(item))
            for item in items(dataset, "ROIContourSequence")
        ]
    drawn = [_drawn(name, polygons, grid) for name, polygons in contours if polygons]
    if drawn and all(count == 0 for _, count in drawn):
        raise Rejected("E_CONTOUR")
    return [region for region, _ in drawn]


def _closed_contours(item: Any) -> list[Vector]:
    polygons = []
    for contour in items(item, "ContourSequence"):
        if text(contour, "ContourGeometricType") not in _CLOSED:
            continue
        points = numbers(contour, "ContourData", may_be_long=True)
        if len(points) < 9 or len(points) % 3:
            raise Rejected("E_COMPANION")
        polygons.append(np.array(points).reshape(-1, 3))
    return polygons


def _drawn(name: str, polygons: list[Vector], grid: Grid) -> tuple[Drawn, int]:
    mask = np.zeros(grid.shape, dtype=np.bool_)
    n_placed = 0
    for points in polygons:
        index = _slice_of(points, grid)
        if index is not None:
            mask[index] ^= fill_polygon(grid.pixel_coordinates(points, index), grid.shape[1:])
            n_placed += 1
    return Drawn(name, mask), n_placed


def _slice_of(points: Vector, grid: Grid) -> int | None:
    along = points @ grid.normal
    if float(np.ptp(along)) > 0.5 * grid.step_mm:
        raise Rejected("E_CONTOUR")
    position = float(along.mean())
    index = grid.nearest_slice(position, 0.5 * grid.step_mm)
    if index is None and grid.along_mm[0] < position < grid.along_mm[-1]:
        raise Rejected("E_CONTOUR")
    return index


def fill_polygon(corners: Vector, shape: tuple[int, int]) -> Mask:
    """Return the pixels whose centres lie in a closed polygon (even-odd rule, half-open).

    Parameters
    ----------
    corners : (n, 2) float64
        (column, row) in pixels; the last joins the first.
    shape : (int, int)
        Rows and columns.
    """
    rows, columns = shape
    following = np.roll(corners, -1, axis=0)
    toggles = np.zeros((rows, columns + 1), dtype=np.int64)
    # a contour of very many corners goes in parts: what crosses what is a table of rows by edges
    part = max(1, _MOST_CROSSINGS // rows)
    for begin in range(0, len(corners), part):
        edges = slice(begin, begin + part)
        _toggle(toggles, corners[edges], following[edges])
    return np.asarray(np.cumsum(toggles, axis=1)[:, :columns] % 2 == 1)


def _toggle(toggles: np.ndarray[Any, np.dtype[np.int64]], starts: Vector, stops: Vector) -> None:
    """Count, in each row, the edges that cross it to the left of each pixel."""
    rows, columns = toggles.shape[0], toggles.shape[1] - 1
    numbers_of_rows = np.arange(rows)[:, None]
    crosses = (starts[:, 1] <= numbers_of_rows) != (stops[:, 1] <= numbers_of_rows)
    row, edge = np.nonzero(crosses)
    start, stop = starts[edge], stops[edge]
    part = (row - start[:, 1]) / (stop[:, 1] - start[:, 1])
    crossing = np.round(start[:, 0] + part * (stop[:, 0] - start[:, 0]), 6)
    np.add.at(toggles, (row, np.clip(np.ceil(crossing), 0, columns).astype(np.int64)), 1)
