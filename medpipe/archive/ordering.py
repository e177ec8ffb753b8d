"""Order within a stack: slices along the normal, repeats along time, and a verdict on both.

With r and c the directions of a row and a column, n = r x c and the position of a slice is
its first pixel's LPS position along n (DICOM PS3.3 C.7.6.2.1.1). InstanceNumber and
SliceLocation never order slices: vendors write them at will.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from medpipe.archive.frames import Plane, Vector, normal_of
from medpipe.archive.nearby import Nearby
from medpipe.archive.phases import COUNTED, MEASURED, agreement, telling
from medpipe.archive.stacks import Slice

SAME_PLACE_MM: Final = 0.01
_MANY: Final = 8
_FAR_MM: Final = 1e6
"""Places nearer than this are told apart to far less than :data:`SAME_PLACE_MM`."""
_EVEN_PART: Final = 0.01
_DRIFT_PART: Final = 0.1
_WHOLE_STEP_TOLERANCE: Final = 0.05
_MOST_MISSING: Final = 10_000
"""Places without a slice that are told one by one: more do not fit into a body, a position is wrong."""

_SIDEWAYS_PIXELS: Final = 0.5
_SIDEWAYS_MM: Final = 0.05


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
    missing_mm : tuple of float or None
        Positions along the normal at which slices are missing; None for a single slice and for uneven steps.
    tilt_deg : float or None
        Angle between the step and the normal, where the stack is sheared.
    thickness_known : bool
        False for one slice whose header gives no thickness.
    """

    verdict: str
    spacing_mm: tuple[float, float, float]
    affine_lps: tuple[float, ...]
    slice_positions_mm: tuple[float, ...] | None = None
    missing_mm: tuple[float, ...] | None = None
    tilt_deg: float | None = None
    thickness_known: bool = True


def by_position(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Return the slices grouped by place, places ascending along the normal."""
    if len(slices) == 1:
        return [list(slices)]
    normal = normal_of(slices[0].plane)
    a, b, c = normal.tolist()
    apart = _apart(slices, (a, b, c)) if len(slices) >= _MANY else None
    if apart is not None:
        return apart

    def order(one: Slice) -> tuple[Any, ...]:
        x, y, z = one.plane.position
        return a * x + b * y + c * z, *_stable(one)

    places: list[list[Slice]] = []
    level = Nearby[list[Slice]](SAME_PLACE_MM)
    for one in sorted(slices, key=order):
        beside = _beside(one, places[-1], (a, b, c)) if places else "beyond"
        if beside == "beyond":
            level = Nearby(SAME_PLACE_MM)
        elif beside == "same":
            places[-1].append(one)
            continue
        around = level.around(one.plane.position) if beside == "level" else []
        place = next((place for place in around if _beside(one, place, (a, b, c)) == "same"), None)
        if place is not None:
            place.append(one)
            continue
        places.append([one])
        level.add(one.plane.position, places[-1])
    return places


def _apart(slices: Sequence[Slice], normal: tuple[float, float, float]) -> list[list[Slice]] | None:
    """Return slices one by one in order, if each beyond doubt has a place along the normal of its own."""
    a, b, c = normal
    x, y, z = np.array([one.plane.position for one in slices]).T
    if not max(map(float, (np.abs(x).max(), np.abs(y).max(), np.abs(z).max()))) < _FAR_MM:
        return None
    along = a * x + b * y + c * z
    order = np.argsort(along)
    if not np.diff(along[order]).min() > 2 * SAME_PLACE_MM:
        return None
    return [[slices[place]] for place in order.tolist()]


def _beside(one: Slice, place: list[Slice], normal: tuple[float, float, float]) -> Literal["beyond", "level", "same"]:
    """Tell whether a slice is beyond a place along the normal, as far as it, or at it."""
    # plain numbers: arrays of three take ten times as long, and there are millions of slices
    a, b, c = normal
    x, y, z = one.plane.position
    there = place[0].plane.position
    u, v, w = x - there[0], y - there[1], z - there[2]
    if abs(u * a + v * b + w * c) > SAME_PLACE_MM:
        return "beyond"
    return "same" if math.hypot(u, v, w) <= SAME_PLACE_MM else "level"


def by_time(places: list[list[Slice]]) -> list[list[Slice]] | None:
    """Return the slices as volumes: one list per time, each ascending along the normal.

    The first element that tells the repeats of every place apart orders them: temporal
    elements, then the instance number with the frame number. None if nothing does, if what
    does was counted neither time by time nor place by place (then it says nothing of time), or if
    times of one place are those of another at other ranks.
    """
    if all(len(place) == 1 and not place[0].plane.temporal for place in places):
        return _once(places)
    keyword = telling([[one.plane for one in place] for place in places])
    if keyword:
        key = partial(_time_of, keyword=keyword)
        ordered = [sorted(place, key=key) for place in places]
        times = [list(map(key, place)) for place in ordered]
        sound = _is_counted(times) if keyword in COUNTED else agreement(times) != "contradict"
        return [list(volume) for volume in zip(*ordered, strict=True)] if sound else None
    numbers = [sorted(_instance_of(one) for one in place) for place in places]
    if not all(_distinct(place) for place in numbers) or not _is_counted(numbers):
        return None
    ordered = [sorted(place, key=_instance_of) for place in places]
    return [list(volume) for volume in zip(*ordered, strict=True)]


def _once(places: list[list[Slice]]) -> list[list[Slice]] | None:
    """Return one volume of one image of each place, if their numbers are all the same or all different."""
    numbers = {_instance_of(one) for (one,) in places}
    return [[one for (one,) in places]] if len(numbers) in {1, len(places)} else None


class Cut(NamedTuple):
    """A time series whose last volume is incomplete.

    Attributes
    ----------
    volumes : list of list of Slice
        The complete ones, as :func:`by_time` gives them.
    rest : list of Slice
        What is there of the last one.
    """

    volumes: list[list[Slice]]
    rest: list[Slice]


def without_tail(places: list[list[Slice]]) -> Cut | None:
    """Return a time series without its incomplete last volume, or None where that is not sure.

    At least two volumes are complete, and the images that are too many belong to one later time:
    by a temporal element that has the same values at all places, or by instance numbers that
    count along the normal or against it, time by time.
    """
    n_times = min(len(place) for place in places)
    if n_times < 2 or max(len(place) for place in places) > n_times + 1:
        return None
    for keyword in (*COUNTED, *MEASURED):
        key = partial(_time_of, keyword=keyword)
        times = [sorted(map(key, place)) for place in places]
        if _all_known(times):
            later = {place[n_times] for place in times if len(place) > n_times}
            sure = all(place[:n_times] == times[0][:n_times] for place in times) and len(later) == 1
            return _cut(places, n_times, key) if sure else None
    numbers = [sorted(map(_number_of, place)) for place in places]
    return _cut(places, n_times, _number_of) if _all_known(numbers) and _counts_on(numbers, n_times) else None


def _cut(places: list[list[Slice]], n_times: int, key: Callable[[Slice], float]) -> Cut:
    ordered = [sorted(place, key=key) for place in places]
    volumes = zip(*(place[:n_times] for place in ordered), strict=True)
    return Cut([list(volume) for volume in volumes], [one for place in ordered for one in place[n_times:]])


def _counts_on(numbers: Sequence[Sequence[float]], n_times: int) -> bool:
    """Tell whether numbers go on from image to image and time by time, all with the same steps."""
    first = [place[0] for place in numbers]
    steps = {tuple(number - place[0] for number in place[:n_times]) for place in numbers}
    last = {place[n_times] - place[0] for place in numbers if len(place) > n_times}
    times = list(zip(*(place[:n_times] for place in numbers), strict=True))
    along = all(low < high for low, high in pairwise(first)) or all(low > high for low, high in pairwise(first))
    return along and len(steps) == 1 and len(last) == 1 and _in_blocks(times)


def _all_known(values: Sequence[Sequence[float]]) -> bool:
    return all(not any(map(math.isnan, place)) and _distinct(place) for place in values)


def _time_of(one: Slice, keyword: str) -> float:
    return dict(one.plane.temporal).get(keyword, math.nan)


def _number_of(one: Slice) -> float:
    number = one.header.instance_number
    return math.nan if number is None or one.header.frames else float(number)


def _is_counted(numbers: Sequence[Sequence[Any]]) -> bool:
    """Tell whether the ascending numbers of each place count times.

    They are alike at all places, or go on from image to image, time by time or place by place.
    """
    if all(list(place) == list(numbers[0]) for place in numbers):
        return True
    differ = _distinct([number for place in numbers for number in place])
    return differ and (_in_blocks(numbers) or _in_blocks(list(zip(*numbers, strict=True))))


def _in_blocks(groups: Sequence[Sequence[Any]]) -> bool:
    spans = sorted((min(group), max(group)) for group in groups)
    return all(before[1] < after[0] for before, after in pairwise(spans))


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
    missing = _missing(along, gaps, normal_step, [one.plane.thickness_mm for one in slices])
    sideways = float(np.linalg.norm(step - normal_step * normal))
    tilted = sideways * (len(slices) - 1) >= 0.5 * min(row_mm, column_mm)
    uneven = missing is None or bool(missing)
    verdict = "missing_slices" if missing else "uneven" if uneven else "tilted" if tilted else "regular"
    return Lattice(
        verdict=verdict,
        spacing_mm=(normal_step, row_mm, column_mm),
        affine_lps=affine_of(plane, first, step),
        slice_positions_mm=tuple(float(place) for place in along) if uneven else None,
        missing_mm=missing,
        tilt_deg=math.degrees(math.atan2(sideways, normal_step)) if tilted else None,
    )


def affine_of(plane: Plane, first: Sequence[float] | Vector, step: Vector) -> tuple[float, ...]:
    """Return the 16 numbers that take (x, y, z, 1) to LPS mm (DICOM PS3.3 C.7.6.2.1-1)."""
    affine = np.eye(4)
    affine[:3, 0] = np.array(plane.orientation[:3]) * plane.spacing_mm[1]
    affine[:3, 1] = np.array(plane.orientation[3:]) * plane.spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = first
    return tuple(float(item) for item in affine.ravel())


def _missing(
    along: Vector, gaps: Vector, normal_step: float, thicknesses: Sequence[float | None]
) -> tuple[float, ...] | None:
    """Return where slices are missing: nothing in a regular stack, None where steps are uneven."""
    median = float(np.median(gaps))
    line = along[0] + np.arange(len(along)) * normal_step
    even = np.abs(gaps - median).max() <= max(_EVEN_PART * median, SAME_PLACE_MM)
    if even and np.abs(along - line).max() <= _DRIFT_PART * normal_step:
        return ()
    # slices of several thicknesses were made that far apart
    if len({round(thickness, 2) for thickness in thicknesses if thickness is not None}) > 1:
        return None
    # of few slices the median step may be a gap; the least step is one step then
    for step in (median, gaps.min()):
        whole = np.round(gaps / step)
        is_whole = np.abs(gaps / step - whole).max() <= _WHOLE_STEP_TOLERANCE
        if is_whole and whole.min() >= 1 and 0 < whole.sum() - len(gaps) <= _MOST_MISSING:
            places = [
                low + gap * k / n for low, gap, n in zip(along[:-1], gaps, whole, strict=True) for k in range(1, int(n))
            ]
            return tuple(float(place) for place in places)
    return None


def _leaves_line(places: Vector, along: Vector, pixel_mm: float) -> bool:
    # uneven steps are a matter of degree; slices shifted sideways are no stack at all
    part = (along - along[0]) / (along[-1] - along[0])
    line = places[0] + part[:, None] * (places[-1] - places[0])
    sideways = np.linalg.norm(places - line, axis=1).max()
    return float(sideways) > max(_SIDEWAYS_PIXELS * pixel_mm, _SIDEWAYS_MM)


def _nominal_step(plane: Plane) -> float | None:
    for step in (plane.between_mm, plane.thickness_mm):
        if step is not None and step > 0:
            return step
    return None


def _distinct(values: Sequence[Any]) -> bool:
    return None not in values and len(set(values)) == len(values)


def _instance_of(one: Slice) -> tuple[float, str, int]:
    number = one.header.instance_number
    # frames of several multi-frame files keep to their file, whatever its number
    name = one.header.sop_instance_uid if one.header.frames else ""
    return (float("-inf") if number is None else number, name, one.frame)


def _stable(one: Slice) -> tuple[float, str, str, int]:
    number = one.header.instance_number
    when = float("-inf") if number is None else float(number)
    return when, one.header.sop_instance_uid, one.header.head_digest, one.frame
