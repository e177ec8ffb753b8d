from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings

from medpipe.kernels import neighbours
from medpipe.kernels.ranks import ranks_of
from tests.kernels.texture_oracle import WAYS, mean, small_levels, sums


def _around(levels: np.ndarray, place: np.ndarray, *, in_slices: bool) -> list[int]:
    found = []
    for step in product((0,) if in_slices else (-1, 0, 1), (-1, 0, 1), (-1, 0, 1)):
        there = place + step
        if any(step) and np.all(there >= 0) and np.all(there < levels.shape) and levels[tuple(there)] > 0:
            found.append(int(levels[tuple(there)]))
    return found


def _counted(levels: np.ndarray, *, in_slices: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels with neighbours, summed differences and dependences, for levels 1 to 9."""
    voxels, difference, dependence = np.zeros(9), np.zeros(9), np.zeros((9, 27))
    for place in np.argwhere(levels > 0):
        level = int(levels[tuple(place)])
        around = _around(levels, place, in_slices=in_slices)
        dependence[level - 1, around.count(level)] += 1
        if around:
            voxels[level - 1] += 1
            difference[level - 1] += abs(level - sum(around) / len(around))
    return voxels, difference, dependence


def _tone(n: np.ndarray, s: np.ndarray) -> list[float]:
    total = n.sum()
    p = n / total
    there = [i for i in range(len(n)) if n[i] > 0]
    pairs = list(product(there, there))
    ps = float((p * s).sum())
    busy = sum(abs((i + 1) * p[i] - (j + 1) * p[j]) for i, j in pairs)
    contrast = 0.0
    if len(there) > 1:
        contrast = sum(p[i] * p[j] * (i - j) ** 2 for i, j in pairs) / (len(there) * (len(there) - 1)) * s.sum() / total
    return [
        1.0 / ps if ps > 0 else 1e6,
        float(contrast),
        float(ps / busy) if len(there) > 1 and busy > 0 else 0.0,
        float(sum(abs(i - j) * (p[i] * s[i] + p[j] * s[j]) / (p[i] + p[j]) for i, j in pairs) / total),
        float(sum((p[i] + p[j]) * (i - j) ** 2 for i, j in pairs) / s.sum()) if s.sum() > 0 else 0.0,
    ]


def _by_hand(levels: np.ndarray) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    slices = [_counted(plane[None], in_slices=True) for plane in levels]
    parts = {
        "2D": slices,
        "2_5D": [tuple(np.sum(part, axis=0) for part in zip(*slices, strict=True))],
        "3D": [_counted(levels, in_slices=False)],
    }
    tone = {way: [_tone(n, s) for n, s, _ in some if n.any()] for way, some in parts.items()}
    dependence = {way: [sums(d, int(d.sum())) for _, _, d in some if d.any()] for way, some in parts.items()}
    return (
        {way: mean(neighbours.TONE_NAMES, rows) for way, rows in tone.items()},
        {way: mean(neighbours.DEPENDENCE_NAMES, rows) for way, rows in dependence.items()},
    )


@settings(max_examples=25, deadline=None)
@given(small_levels)
def test_every_aggregation_equals_the_printed_formulas(levels: np.ndarray) -> None:
    found, expected = neighbours.neighbour_features(ranks_of(levels), ways=WAYS), _by_hand(levels)
    for ours, theirs in zip(found, expected, strict=True):
        for way in WAYS:
            assert ours[way] == pytest.approx(theirs[way], rel=1e-9, abs=1e-12, nan_ok=True), way


@pytest.mark.parametrize("way", WAYS)
def test_only_the_ways_asked_for_come_back(way: str) -> None:
    levels = np.random.default_rng(1).integers(0, 4, (3, 5, 6))
    all_ways = neighbours.neighbour_features(ranks_of(levels), ways=WAYS)
    one = neighbours.neighbour_features(ranks_of(levels), ways=(way,))
    assert one == ({way: all_ways.tone[way]}, {way: all_ways.dependence[way]})


def test_two_voxels_of_two_levels_by_hand() -> None:
    found = neighbours.neighbour_features(ranks_of(np.array([[[1, 2]]])), ways=("3D",))
    # p is 1/2 and s is 1 for both.
    assert found.tone["3D"] == pytest.approx(
        {"coarseness": 1.0, "contrast": 0.25, "busyness": 1.0, "complexity": 1.0, "strength": 1.0}
    )
    assert found.dependence["3D"]["lde"] == 1.0


def test_a_constant_cube_is_as_coarse_as_can_be() -> None:
    found = neighbours.neighbour_features(ranks_of(np.ones((3, 3, 3), dtype=int)), ways=WAYS)
    for way in WAYS:
        assert found.tone[way] == dict.fromkeys(neighbours.TONE_NAMES, 0.0) | {"coarseness": 1e6}
    # 8 corners with 8 voxels around them, 12 edges with 12, 6 faces with 18, the middle with 27.
    expected = (8 * 8**2 + 12 * 12**2 + 6 * 18**2 + 27**2) / 27
    assert found.dependence["3D"]["hde"] == pytest.approx(expected)
    assert found.dependence["3D"]["hde"] == pytest.approx(181.963, abs=5e-4)


def test_voxels_without_a_neighbour_have_a_dependence_but_no_tone() -> None:
    levels = np.zeros((3, 3, 3), dtype=int)
    levels[0, 0, 0] = levels[2, 2, 2] = 1
    found = neighbours.neighbour_features(ranks_of(levels), ways=WAYS)
    spread = {"gl_var", "dc_var", "dc_entr"}
    for way in WAYS:
        assert all(math.isnan(value) for value in found.tone[way].values())
        expected = {name: 0.0 if name in spread else 1.0 for name in neighbours.DEPENDENCE_NAMES}
        assert found.dependence[way] == (expected | {"glnu": 2.0, "dcnu": 2.0} if way != "2D" else expected)


def test_an_empty_region_has_no_neighbours() -> None:
    found = neighbours.neighbour_features(ranks_of(np.zeros((2, 3, 4), dtype=int)), ways=WAYS)
    assert all(math.isnan(value) for part in found for way in WAYS for value in part[way].values())


def test_levels_of_which_a_neighbourhood_does_not_fit_32_bits() -> None:
    levels = np.random.default_rng(2).integers(1, 5, (3, 4, 5))
    low, high = (neighbours.neighbour_features(ranks_of(levels + more), ways=("3D",)) for more in (0, 50_000_000))
    assert high.dependence["3D"]["hde"] == low.dependence["3D"]["hde"]
    assert high.tone["3D"]["coarseness"] == pytest.approx(low.tone["3D"]["coarseness"], rel=1e-6)
    assert high.tone["3D"]["contrast"] == pytest.approx(low.tone["3D"]["contrast"], rel=1e-6)
