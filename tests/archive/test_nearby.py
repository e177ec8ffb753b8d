"""Vectors near each other: all that are within reach are found, and few others are looked at."""

from __future__ import annotations

import math
import random
from itertools import combinations

import numpy as np
import pytest

from medpipe.archive.frames import Plane
from medpipe.archive.header import Header
from medpipe.archive.nearby import Nearby
from medpipe.archive.ordering import SAME_PLACE_MM, by_position
from medpipe.archive.splitting import split
from medpipe.archive.stacks import Slice


def slices_of(positions, **plane) -> list[Slice]:
    said = {"orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "spacing_mm": (1.0, 1.0), **plane}
    headers = [Header(path=f"{number}", size=1, version="1") for number in range(len(positions))]
    return [
        Slice(header, 0, Plane(position=tuple(map(float, position)), **said))
        for header, position in zip(headers, positions, strict=True)
    ]


@pytest.mark.parametrize("reach", [1e-4, 0.01, 3.0])
def test_all_within_reach_are_found_the_last_first(reach):
    rng = np.random.default_rng(4)
    places = rng.uniform(-6 * reach, 6 * reach, (300, 3))
    near = Nearby[int](reach)
    for number, place in enumerate(places.tolist()):
        found = near.around(place)
        within = np.flatnonzero(np.abs(places[:number] - place).max(axis=1) <= reach)
        assert set(within.tolist()) <= set(found)
        assert found == sorted(found, reverse=True)
        near.add(place, number)


@pytest.mark.parametrize("scale", [1.0, 1e12, 1e306])
def test_places_that_are_no_neighbours_are_not_looked_at(scale):
    near = Nearby[int](0.01)
    places = [(scale * x, scale * y, 0.0) for x in range(40) for y in range(40)]
    looked_at = 0
    for number, place in enumerate(places):
        looked_at += len(near.around(place))
        near.add(place, number)
    assert looked_at == 0
    assert all(near.around(place) == [number] for number, place in enumerate(places))


def test_numbers_beyond_all_bounds_are_looked_up():
    near = Nearby[str](0.01)
    for exponent in (13, 14, 15, 16, 100, 308):
        for step in range(64):
            place = (
                1.7 * 10.0**exponent,
                np.nextafter(-(10.0**exponent), -math.inf, dtype=float) * (1 + step * 2**-52),
            )
            near.add(place, f"{exponent} {step}")
            assert f"{exponent} {step}" in near.around(place)
    assert near.around((0.0, 0.0)) == []


def test_images_of_many_places_at_one_level_are_grouped_as_by_comparing_each_with_each():
    rng = random.Random(3)
    tiles = [(rng.uniform(0, 0.2), rng.uniform(0, 0.2), level) for level in (0.0, 5.0) for _ in range(80)]
    places = by_position(slices_of([*tiles, *tiles]))
    first: list[tuple[float, ...]] = [place[0].plane.position for place in places]
    for number, place in enumerate(places):
        for one in place:
            near = [i for i, other in enumerate(first) if math.dist(other, one.plane.position) <= SAME_PLACE_MM]
            assert number in near
    assert sum(map(len, places)) == 320
    assert all(math.dist(one, other) > SAME_PLACE_MM for one, other in combinations(first, 2))


def test_a_series_of_as_many_spacings_as_slices_is_as_many_parts(monkeypatch):
    looked_at = []
    around = Nearby.around
    monkeypatch.setattr(Nearby, "around", lambda *given: looked_at.append(len(found := around(*given))) or found)
    slices = [slices_of([(0, 0, n)], spacing_mm=(1.0, 1.0 + n / 100))[0] for n in range(300)]
    assert len(split(slices)) == 300
    assert sum(looked_at) < 300
