"""Order within a stack: slices along the normal, repeats along time, and a verdict on both.

With r and c the directions of a row and a column, n = r x c and the position of a slice is
its first pixel's LPS position along n (DICOM PS3.3 C.7.6.2.1.1). InstanceNumber and
SliceLocation never order slices: vendors write them at will.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from medpipe.archive.frames import Plane, Vector, normal_of
from medpipe.archive.stacks import Slice

SAME_PLACE_MM: Final = 0.01
_EVEN_PART: Final = 0.01
_DRIFT_PART: Final = 0.1
_WHOLE_STEP_TOLERANCE: Final = 0.05
_TEMPORAL: Final = ("TemporalPositionIdentifier", "TemporalPositionIndex", "FrameReferenceTime", "TriggerTime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """Where the slices of a stack lie.

    Attributes
    ----------
    verdict : str
    spacing_mm : (float, float, float)
        z along the normal (mean step), y, x.
    affine_lps : tuple of 16 float
    slice_positions_mm : tuple of float or None
    thickness_known : bool
        False for one slice whose header gives no thickness.
    """

    verdict: str
    spacing_mm: tuple[float, float, float]
    affine_lps: tuple[float, ...]
    slice_positions_mm: tuple[float, ...] | None = None
    thickness_known: bool = True


def by_position(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Return the slices grouped by place, places ascending along the normal."""
    if len(slices) == 1:
        return [list(slices)]
    normal = normal_of(slices[0].plane)
    ordered = sorted(slices, key=lambda one: (float(np.dot(one.plane.position, normal)), *_stable(one)))
    places: list[list[Slice]] = []
    for one in ordered:
        place = _place_of(one, places, normal)
        if place is None:
            places.append([one])
        else:
            place.append(one)
    return places


def _place_of(one: Slice, places: list[list[Slice]], normal: Vector) -> list[Slice] | None:
    here = np.array(one.plane.position)
    for place in reversed(places):
        there = np.array(place[0].plane.position)
        if abs(float((here - there) @ normal)) > SAME_PLACE_MM:
            return None
        if float(np.linalg.norm(here - there)) <= SAME_PLACE_MM:
            return place
    return None


def by_time(places: list[list[Slice]]) -> list[list[Slice]] | None:
    """Return the slices as volumes: one list per time, each ascending along the normal.

    The first element that tells the repeats of every place apart orders them: temporal
    elements, then the instance number with the frame number. None if nothing does.
    """
    for keyword in _TEMPORAL:
        keyed = [[(dict(one.plane.temporal).get(keyword), one) for one in place] for place in places]
        if all(_distinct([when for when, _ in place]) for place in keyed):
            ordered = [[one for _, one in sorted(place, key=lambda pair: _when(pair[0]))] for place in keyed]
            return [list(volume) for volume in zip(*ordered, strict=True)]
    if not all(_distinct([_instance_of(one) for one in place]) for place in places):
        return None
    ordered = [sorted(place, key=_instance_of) for place in places]
    return [list(volume) for volume in zip(*ordered, strict=True)]


def lattice_of(slices: Sequence[Slice]) -> Lattice | str:
    """Return where the slices of one volume lie, or the reason they make none.

    Parameters
    ----------
    slices : sequence of Slice
        At different places, ascending along the normal.
    """
    plane = slices[0].plane
    normal = normal_of(plane)
    row_mm, column_mm = plane.spacing_mm
    first = np.array(plane.position)
    if len(slices) == 1:
        thickness = _nominal_step(plane)
        affine = affine_of(plane, first, normal * (thickness or 1.0))
        spacing = (thickness or 1.0, row_mm, column_mm)
        return Lattice(verdict="single", spacing_mm=spacing, affine_lps=affine, thickness_known=thickness is not None)
    places = np.array([one.plane.position for one in slices])
    along = places @ normal
    step = (places[-1] - first) / (len(slices) - 1)
    gaps = np.diff(along)
    if gaps.min() <= SAME_PLACE_MM or _leaves_line(places, along, min(row_mm, column_mm)):
        return "E_MIXED_SERIES"
    normal_step = float(step @ normal)
    verdict = _verdict(along, gaps, normal_step)
    sheared = float(np.linalg.norm(step - normal_step * normal)) * (len(slices) - 1)
    if verdict == "regular" and sheared >= 0.5 * min(row_mm, column_mm):
        verdict = "tilted"
    uneven = verdict in {"uneven", "missing_slices"}
    return Lattice(
        verdict=verdict,
        spacing_mm=(normal_step, row_mm, column_mm),
        affine_lps=affine_of(plane, first, step),
        slice_positions_mm=tuple(float(place) for place in along) if uneven else None,
    )


def affine_of(plane: Plane, first: Sequence[float] | Vector, step: Vector) -> tuple[float, ...]:
    """Return the 16 numbers that take (x, y, z, 1) to LPS mm (DICOM PS3.3 C.7.6.2.1-1)."""
    affine = np.eye(4)
    affine[:3, 0] = np.array(plane.orientation[:3]) * plane.spacing_mm[1]
    affine[:3, 1] = np.array(plane.orientation[3:]) * plane.spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = first
    return tuple(float(item) for item in affine.ravel())


def _verdict(along: Vector, gaps: Vector, normal_step: float) -> str:
    median = float(np.median(gaps))
    line = along[0] + np.arange(len(along)) * normal_step
    even = np.abs(gaps - median).max() <= max(_EVEN_PART * median, SAME_PLACE_MM)
    if even and np.abs(along - line).max() <= _DRIFT_PART * normal_step:
        return "regular"
    steps = gaps / median
    whole = np.round(steps)
    if np.abs(steps - whole).max() <= _WHOLE_STEP_TOLERANCE and whole.min() >= 1 and whole.max() >= 2:
        return "missing_slices"
    return "uneven"


def _leaves_line(places: Vector, along: Vector, pixel_mm: float) -> bool:
    # uneven steps are a matter of degree; slices shifted sideways are no stack at all
    part = (along - along[0]) / (along[-1] - along[0])
    line = places[0] + part[:, None] * (places[-1] - places[0])
    return float(np.linalg.norm(places - line, axis=1).max()) > max(pixel_mm, 0.1)


def _nominal_step(plane: Plane) -> float | None:
    for step in (plane.between_mm, plane.thickness_mm):
        if step is not None and step > 0:
            return step
    return None


def _distinct(values: Sequence[Any]) -> bool:
    return None not in values and len(set(values)) == len(values)


def _when(value: float | None) -> float:
    assert value is not None
    return value


def _instance_of(one: Slice) -> tuple[float, str, int]:
    number = one.header.instance_number
    # frames of several multi-frame files keep to their file, whatever its number
    name = one.header.sop_instance_uid if one.header.frames else ""
    return (float("-inf") if number is None else number, name, one.frame)


def _stable(one: Slice) -> tuple[float, str, str, int]:
    number = one.header.instance_number
    when = float("-inf") if number is None else float(number)
    return when, one.header.sop_instance_uid, one.header.bytes_digest, one.frame
