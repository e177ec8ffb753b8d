"""Splitting a series into stacks by what its frames say, before any order is made."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from operator import sub
from typing import Any, Final, NamedTuple

from medpipe.archive.nearby import Nearby
from medpipe.archive.ordering import by_position
from medpipe.archive.stacks import Slice

_SAME: Final = 1e-4


class Part(NamedTuple):
    """Slices that belong together, and the attribute values that set them apart."""

    slices: tuple[Slice, ...]
    traits: dict[str, Any]


def split(slices: Sequence[Slice]) -> list[Part]:
    """Return the parts of a series whose frames all have a place.

    Size, colour, encapsulation in multi-frame objects, frame of reference, original or
    derived, in-plane spacing and orientation always split. Echo, image type, stack and timing
    split only where slices repeat at one place and the split makes fewer of them do so.
    """
    if are_slices_alike(slices):
        one = slices[0]
        said = {"spacing": _coarse(one.plane.spacing_mm), "orientation": _coarse(one.plane.orientation)}
        return _split_repeats(slices, {**dict(_hard_traits(one)), **said})
    parts: list[Part] = []
    for traits, group in _grouped(slices, _hard_traits):
        for spacing, same_spacing in _clustered(group, lambda one: one.plane.spacing_mm):
            for direction, parallel in _clustered(same_spacing, lambda one: one.plane.orientation):
                shown = {**dict(traits), "spacing": _coarse(spacing), "orientation": _coarse(direction)}
                parts.extend(_split_repeats(parallel, shown))
    return parts


def are_slices_alike(slices: Sequence[Slice]) -> bool:
    """Tell whether slices differ in no more than their place, time and name."""
    like = slices[0].header.like if slices else ""
    return bool(like) and all(one.header.like == like for one in slices)


def _hard_traits(one: Slice) -> tuple[tuple[str, Hashable], ...]:
    header = one.header
    return (
        ("rows", header.rows),
        ("columns", header.columns),
        ("colour", header.is_colour),
        ("frames", bool(header.frames)),
        ("frame_of_reference", header.frame_of_reference_uid),
        ("origin", one.plane.image_type[0] if one.plane.image_type else ""),
    )


_SOFT_TRAITS: Final[tuple[tuple[str, Callable[[Slice], Hashable]], ...]] = (
    ("image_type", lambda one: one.plane.image_type[2:]),
    ("echo_time", lambda one: _rounded(one.plane.echo_time_ms)),
    ("stack_id", lambda one: one.plane.stack_id),
    ("inversion_time", lambda one: _rounded(one.plane.inversion_time_ms)),
    ("repetition_time", lambda one: _rounded(one.plane.repetition_time_ms)),
    ("flip_angle", lambda one: _rounded(one.plane.flip_angle_deg)),
    ("kernel", lambda one: str(one.header.facts.get("kernel", ""))),
    ("kvp", lambda one: _rounded(one.header.facts.get("kvp"))),
)


def _split_repeats(slices: Sequence[Slice], traits: dict[str, Any]) -> list[Part]:
    repeats = _most_repeats(slices)
    if repeats == 1:
        return [Part(tuple(slices), traits)]
    for name, trait in _SOFT_TRAITS:
        groups = _grouped(slices, trait)
        if len(groups) > 1 and max(_most_repeats(group) for _, group in groups) < repeats:
            return [part for said, group in groups for part in _split_repeats(group, {**traits, name: _jsonable(said)})]
    return [Part(tuple(slices), traits)]


def _most_repeats(slices: Sequence[Slice]) -> int:
    return max(len(place) for place in by_position(slices))


def _grouped(slices: Sequence[Slice], trait: Callable[[Slice], Any]) -> list[tuple[Any, list[Slice]]]:
    groups: dict[Any, list[Slice]] = {}
    for one in slices:
        groups.setdefault(trait(one), []).append(one)
    return [(said, groups[said]) for said in sorted(groups, key=repr)]


def _clustered(
    slices: Sequence[Slice], vector_of: Callable[[Slice], tuple[float, ...]]
) -> list[tuple[tuple[float, ...], list[Slice]]]:
    clusters: list[tuple[tuple[float, ...], list[Slice]]] = []
    known = Nearby[tuple[tuple[float, ...], list[Slice]]](_SAME)
    for one in sorted(slices, key=vector_of):
        vector = vector_of(one)
        around = clusters[-1:] if clusters and clusters[-1][0] == vector else known.around(vector)
        for centre, cluster in around:
            if centre == vector or max(map(abs, map(sub, centre, vector))) <= _SAME:
                cluster.append(one)
                break
        else:
            clusters.append((vector, [one]))
            known.add(vector, clusters[-1])
    return clusters


def _coarse(vector: tuple[float, ...]) -> list[float]:
    # coarse enough that a late slice with another last digit does not rename the stack;
    # adding zero turns -0.0 into 0.0
    return [round(item, 2) + 0.0 for item in vector]


def _rounded(measured: float | None) -> float | None:
    return None if measured is None else round(measured, 2)


def _jsonable(said: Any) -> Any:
    return list(said) if isinstance(said, tuple) else said
