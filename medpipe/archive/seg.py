"""DICOM SEG: frames of segments to masks on an image's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np

from medpipe.archive.closed import LABEL_MAP_CLASS
from medpipe.archive.drawn import Drawn, Named, segments_of
from medpipe.archive.elements import integer, items, parse, text
from medpipe.archive.frames import Plane, Vector, check_plane, normal_of, segment_of
from medpipe.archive.gate import inspect
from medpipe.archive.grid import PARALLEL, Grid
from medpipe.archive.header import Header
from medpipe.archive.pixels import Pixels, codec_boundary, decode_each
from medpipe.bits import Bits
from medpipe.errors import Rejected
from medpipe.types import Shares

_SAME_GRID: Final = 0.05
"""Pixels, and parts of a step, by which a segmentation of the image's own grid may be off."""

HALF: Final = 0.5
"""Share of the maximum from which a fractional value is inside, unless another is asked for."""


def read_segments(header: Header, data: bytes, grid: Grid) -> list[Drawn]:
    """Return the segments of a segmentation, in the order of their numbers.

    BINARY frames are taken as they are, FRACTIONAL ones where the value is at least half of
    its maximum (their values come along, so that another share can be asked for), LABELMAP ones
    by label. Each image slice takes the nearest frame of a segment within half a step; each of
    its pixels the nearest pixel. What no frame covers is outside. A segment that lies on
    another grid than the image is marked ``resampled``.

    Raises
    ------
    Rejected
        ``E_GRID`` if frames have no place, are not parallel to the image's slices, or all lie
        beyond it; ``E_COMPANION`` if it names no segment, does not say which one a frame shows, or
        which value stands for 1; else what decoding says.
    """
    if not header.frames or any(not plane.placed or check_plane(plane) for plane in header.frames):
        raise Rejected("E_GRID")
    if any(abs(float(normal_of(plane) @ grid.normal)) < PARALLEL for plane in set(header.frames)):
        raise Rejected("E_GRID")
    with codec_boundary():
        dataset = parse(inspect(data).data)
        segments = segments_of(dataset)
        if not segments:
            raise Rejected("E_COMPANION")
        kind = text(dataset, "SegmentationType")
        most = _most(dataset) if kind == "FRACTIONAL" else 0
        is_map = kind == "LABELMAP" or header.sop_class_uid == LABEL_MAP_CLASS
        numbers = [one.number for one in segments]
        shown = None if is_map else _shown(dataset, numbers)
    drawing = _Drawing(header, grid, shown, numbers, is_fractional=most > 0)
    for frame, pixels in enumerate(decode_each(header, dataset)):
        drawing.take(frame, pixels)
    return [
        _drawn(one, drawing.parts[one.number], grid, most=most, resampled=one.number in drawing.resampled)
        for one in segments
    ]


def _most(dataset: Any) -> int:
    """Return the value of a fractional segmentation that stands for 1."""
    found = integer(dataset, "MaximumFractionalValue")
    if found is None or found < 1:
        raise Rejected("E_COMPANION")
    return found


def _shown(dataset: Any, numbers: Sequence[int]) -> dict[int, list[int]]:
    """Return which frames show which segment."""
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    shown: dict[int, list[int]] = {number: [] for number in numbers}
    for frame, group in enumerate(items(dataset, "PerFrameFunctionalGroupsSequence")):
        number = segment_of(group) or next(filter(None, map(segment_of, shared)), None)
        if number is None:
            raise Rejected("E_COMPANION")
        shown.setdefault(number, []).append(frame)
    return {number: shown[number] for number in numbers}


class _Drawing:
    """Puts the frames of segments, which come one by one in any order, on the slices of an image.

    Parameters
    ----------
    header : Header
    grid : Grid
    shown : dict of int to list of int, or None
        Frames by segment; None for a label map, each frame of which shows all.
    numbers : sequence of int
        The segments.
    is_fractional : bool
    """

    def __init__(
        self,
        header: Header,
        grid: Grid,
        shown: Mapping[int, Sequence[int]] | None,
        numbers: Sequence[int],
        *,
        is_fractional: bool,
    ) -> None:
        self.parts: dict[int, dict[int, _Part]] = {number: {} for number in numbers}
        self.resampled: set[int] = set()
        self._header, self._grid = header, grid
        self._is_fractional = is_fractional
        self._is_map = shown is None
        if shown is None:
            every = _takers(header, range(len(header.frames)), grid)
            self._takers = dict.fromkeys(numbers, every)
            self._shown_by: dict[int, list[int]] = {}
        else:
            self._takers = {number: _takers(header, frames, grid) for number, frames in shown.items()}
            self._shown_by = {frame: [number] for number, frames in shown.items() for frame in frames}
        if not any(found.slices for found in self._takers.values()):
            raise Rejected("E_GRID")

    def take(self, frame: int, pixels: Pixels) -> None:
        """Put a frame where it belongs."""
        if not self._is_map:
            for number in self._shown_by.get(frame, ()):
                self._put(number, frame, pixels)
            return
        for number in np.unique(pixels).tolist():
            if number in self.parts:
                self._put(number, frame, pixels == number)

    def _put(self, number: int, frame: int, pixels: Pixels) -> None:
        takers, shape = self._takers[number], self._grid.shape[1:]
        # what lies between slices, or twice on one, would be lost
        if frame in takers.idle and pixels.any():
            self.resampled.add(number)
        for index in takers.slices.get(frame, ()):
            look = _Look.of(self._header.frames[frame], self._grid, index)
            part = _part(look.seen(pixels, shape), is_fractional=self._is_fractional)
            if part is not None:
                self.parts[number][index] = part
                if frame in takers.off or not look.is_own(shape):
                    self.resampled.add(number)


class _Takers(NamedTuple):
    """Which slices of the image take which frame of a segment.

    Attributes
    ----------
    slices : dict of int to list of int
        By frame.
    off : set of int
        Frames that lie beside the slice that takes them.
    idle : set of int
        Frames within the image that no slice takes.
    """

    slices: dict[int, list[int]]
    off: set[int]
    idle: set[int]


def _takers(header: Header, frames: Sequence[int], grid: Grid) -> _Takers:
    slices: dict[int, list[int]] = {}
    off: set[int] = set()
    if not frames:
        return _Takers(slices, off, set())
    places = np.array([float(np.dot(header.frames[frame].position, grid.normal)) for frame in frames])
    # of two frames as far away the lower one counts, in whatever order they are stored
    order = np.argsort(places, kind="stable")
    places, frames = places[order], [frames[place] for place in order]
    reach = 0.5 * max(_frame_step_mm(header, frames[0], grid), grid.step_mm)
    for index, position in enumerate(grid.along_mm):
        away = np.abs(places - position)
        nearest = int(away.argmin())
        if away[nearest] <= reach:
            slices.setdefault(frames[nearest], []).append(index)
            if away[nearest] > _SAME_GRID * grid.step_mm:
                off.add(frames[nearest])
    margin = 0.5 * grid.step_mm
    within = (places > grid.along_mm[0] - margin) & (places < grid.along_mm[-1] + margin)
    idle = {frame for frame, is_within in zip(frames, within, strict=True) if is_within and frame not in slices}
    return _Takers(slices, off, idle)


def _frame_step_mm(header: Header, frame: int, grid: Grid) -> float:
    """Return the step between frames: as stated, else as found.

    Frames may overlap, and those without a voxel are left out; so the thickness of a frame says
    how far it reaches only where it lies alone, between slices of the image.
    """
    plane = header.frames[frame]
    if plane.between_mm:
        return plane.between_mm
    gaps = np.diff(np.unique([float(np.dot(one.position, grid.normal)) for one in header.frames]))
    gaps = gaps[gaps > _SAME_GRID * grid.step_mm]
    if gaps.size:
        return float(gaps.min())
    position = float(np.dot(plane.position, grid.normal))
    is_own = grid.nearest_slice(position, _SAME_GRID * grid.step_mm) is not None
    return grid.step_mm if is_own or plane.thickness_mm is None else plane.thickness_mm


@dataclass(frozen=True, slots=True)
class _Look:
    """Where in a frame the pixels of an image slice are: its first one, and the steps to the next ones."""

    column: float
    row: float
    steps: Vector

    @classmethod
    def of(cls, plane: Plane, grid: Grid, index: int) -> Self:
        """Return how a slice of the image sees a frame."""
        along_row, along_column = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
        basis = np.column_stack([along_row * plane.spacing_mm[1], along_column * plane.spacing_mm[0]])
        into = np.linalg.pinv(basis)
        column, row = into @ (grid.origins[index] - np.array(plane.position))
        return cls(float(column), float(row), into @ grid.plane)

    def is_own(self, shape: tuple[int, int]) -> bool:
        """Tell whether all pixels of the slice fall on pixels of the frame, perhaps mirrored or turned."""
        whole = np.rint(self.steps)
        last = np.array([(0, 0), (shape[1] - 1, 0), (0, shape[0] - 1), (shape[1] - 1, shape[0] - 1)], dtype=np.float64)
        first = np.array([self.column, self.row])
        off = first - np.rint(first) + last @ (self.steps - whole).T
        return abs(round(float(np.linalg.det(whole)))) == 1 and bool(np.abs(off).max() <= _SAME_GRID)

    def seen(self, pixels: Pixels, shape: tuple[int, int]) -> Pixels:
        """Return the frame's nearest pixels at the pixel centres of the slice; 0 beyond the frame."""
        if self.is_own(shape) and np.array_equal(np.rint(self.steps), np.eye(2)):
            return _shifted(pixels, shape, down=-round(self.row), across=-round(self.column))
        steps = self.steps
        across, down = np.arange(shape[1])[None, :], np.arange(shape[0])[:, None]
        column = np.rint(np.round(self.column + steps[0, 0] * across + steps[0, 1] * down, 6)).astype(np.int64)
        row = np.rint(np.round(self.row + steps[1, 0] * across + steps[1, 1] * down, 6)).astype(np.int64)
        height, width = pixels.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.where(inside, pixels[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)], 0)


def _shifted(pixels: Pixels, shape: tuple[int, int], *, down: int, across: int) -> Pixels:
    """Return pixels in a larger or smaller frame, their first one at (down, across)."""
    seen = np.zeros(shape, dtype=pixels.dtype)
    rows = slice(max(down, 0), min(down + pixels.shape[0], shape[0]))
    columns = slice(max(across, 0), min(across + pixels.shape[1], shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        seen[rows, columns] = pixels[
            rows.start - down : rows.stop - down, columns.start - across : columns.stop - across
        ]
    return seen


@dataclass(frozen=True, slots=True)
class _Part:
    """What a slice shows of a segment: the bits, and the values of a fractional one within their box."""

    bits: Bits
    values: Pixels | None


def _part(plane: Pixels, *, is_fractional: bool) -> _Part | None:
    bits = Bits.of(plane[None])
    if bits.box is None:
        return None
    return _Part(bits, plane[bits.box[1:]].copy() if is_fractional else None)


def _drawn(one: Named, parts: Mapping[int, _Part], grid: Grid, *, most: int, resampled: bool) -> Drawn:
    if not parts:
        nothing = Bits(shape=grid.shape, start=(0, 0, 0), size=(0, 0, 0), packed=b"")
        return Drawn(name=one.name, bits=nothing, number=one.number, codes=one.codes)
    boxes = {index: part.bits.box for index, part in parts.items() if part.bits.box is not None}
    row, column = (min(box[axis].start for box in boxes.values()) for axis in (1, 2))
    height, width = (max(box[axis].stop for box in boxes.values()) for axis in (1, 2))
    first, last = min(boxes), max(boxes) + 1
    held = np.uint8 if most <= np.iinfo(np.uint8).max else np.uint16
    together = np.zeros((last - first, height - row, width - column), dtype=held if most else np.bool_)
    for index, (_, rows, columns) in boxes.items():
        part = parts[index]
        values = part.bits.inside[0] if part.values is None else np.minimum(part.values, most)
        together[index - first, rows.start - row : rows.stop - row, columns.start - column : columns.stop - column] = (
            values
        )
    start = (first, row, column)
    shares = Shares(values=together, start=start, maximum=most) if most else None
    bits = shares.at_least(HALF, grid.shape) if shares else Bits.of(together, start=start, shape=grid.shape)
    return Drawn(name=one.name, bits=bits, number=one.number, codes=one.codes, resampled=resampled, shares=shares)
