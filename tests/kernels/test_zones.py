from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label

from medpipe.kernels import zones
from medpipe.kernels.ranks import ranks_of
from tests.kernels.texture_oracle import WAYS, mean, small_levels, sums

IN_SLICE = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))], dtype=bool)


def _steps_out(mask: np.ndarray, *, in_slices: bool) -> np.ndarray:
    """Peel the region face by face; what goes in the first turn is at distance 1."""
    cross = ndimage.generate_binary_structure(3, 1)
    if in_slices:
        cross[0] = cross[2] = False
    distances, left = np.zeros(mask.shape, dtype=int), mask.copy()
    while left.any():
        distances += left
        left = ndimage.binary_erosion(left, cross)
    return distances


def _zones(levels: np.ndarray, mask: np.ndarray, *, in_slices: bool) -> list[tuple[int, int, int, int]]:
    """Slice of the first voxel, level, size and distance of each zone."""
    distances = _steps_out(mask, in_slices=in_slices)
    touching = IN_SLICE if in_slices else np.ones((3, 3, 3))
    found = []
    for level in np.unique(levels[levels > 0]):
        labels, count = ndimage.label(levels == level, touching)
        for zone in range(1, count + 1):
            one = labels == zone
            found.append((int(np.argwhere(one)[0, 0]), int(level), int(one.sum()), int(distances[one].min())))
    return found


def _matrix(pairs: list[tuple[int, int]]) -> np.ndarray:
    counts = np.zeros(np.max(pairs, axis=0))
    for level, size in pairs:
        counts[level - 1, size - 1] += 1
    return counts


def _by_hand(levels: np.ndarray, mask: np.ndarray, column: int, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    space, flat = (_zones(levels, mask, in_slices=in_slices) for in_slices in (False, True))
    slices = [[zone for zone in flat if zone[0] == z] for z in range(len(levels))]

    def rows(parts: list[list[tuple[int, int, int, int]]]) -> list[list[float]]:
        return [
            sums(_matrix([(zone[1], zone[column]) for zone in some]), sum(zone[2] for zone in some))
            for some in parts
            if some
        ]

    return {way: mean(names, rows(parts)) for way, parts in zip(WAYS, (slices, [flat], [space]), strict=True)}


@settings(max_examples=25, deadline=None)
@given(small_levels, st.integers(0, 2**32 - 1))
def test_every_aggregation_equals_the_printed_formulas(levels: np.ndarray, seed: int) -> None:
    mask = (levels > 0) | (np.random.default_rng(seed).random(levels.shape) < 0.5)
    found = zones.zone_features(ranks_of(levels), mask, ways=WAYS)
    for names, column, values in ((zones.SIZE_NAMES, 2, found.size), (zones.DISTANCE_NAMES, 3, found.distance)):
        expected = _by_hand(levels, mask, column, names)
        for way in WAYS:
            assert values[way] == pytest.approx(expected[way], rel=1e-9, abs=1e-12, nan_ok=True), way


@pytest.mark.parametrize("n_levels", [1, 2, 5])
def test_sizes_equal_those_of_scikit_image(n_levels: int) -> None:
    levels = np.random.default_rng(n_levels).integers(0, n_levels + 1, (12, 21, 17))
    labels = label(levels, background=0, connectivity=3)
    sizes = np.bincount(labels.ravel())[1:]
    first = np.unique(labels.ravel(), return_index=True)[1][1:] if 0 in labels else None
    assert first is not None
    ranks = ranks_of(levels)
    found = zones.zone_matrices(zones.zones_of(ranks.padded, levels > 0, in_slices=False), n_levels=n_levels)
    expected = np.zeros((n_levels, sizes.max() + 1), dtype=int)
    np.add.at(expected, (levels.ravel()[first] - 1, sizes), 1)
    assert found.sizes.tolist() == np.unique(sizes).tolist()
    assert np.array_equal(found.by_size, expected[:, np.unique(sizes)])
    assert found.n_voxels == (levels > 0).sum()


def test_branches_that_meet_late_are_one_zone() -> None:
    # A comb: its teeth are apart until the last row, where each join hangs one tree below another.
    levels = np.zeros((1, 9, 41), dtype=int)
    levels[0, :, ::2], levels[0, 8, :] = 1, 1
    found = zones.zone_features(ranks_of(levels), levels > 0, ways=WAYS)
    for way in WAYS:
        assert found.size[way]["lze"] == float((levels > 0).sum()) ** 2
        assert found.size[way]["sze"] == pytest.approx(1.0 / (levels > 0).sum() ** 2)


def test_a_zone_of_touching_corners_is_one_in_space_and_many_in_slices() -> None:
    levels = np.zeros((4, 4, 4), dtype=int)
    for a, b in pairwise(range(4)):
        levels[a, a, a] = levels[b, b, b] = 3
    found = zones.zone_features(ranks_of(levels), levels > 0, ways=WAYS)
    assert found.size["3D"]["lze"] == 16.0
    assert found.size["2_5D"]["lze"] == 1.0
    assert found.size["2D"]["z_perc"] == 1.0


def test_distances_are_to_the_outside_of_the_whole_region_and_of_the_image() -> None:
    levels = np.ones((5, 7, 7), dtype=int)
    levels[2, 3, 3] = 2
    whole = np.ones(levels.shape, dtype=bool)
    found = zones.zone_features(ranks_of(levels), whole, ways=WAYS)
    # One zone of level 1 at the border, and the middle: 3 steps from the slices' ends, 4 within its slice.
    assert found.distance["3D"]["lde"] == (1 + 9) / 2
    assert found.distance["2_5D"]["lde"] == (5 + 16) / 6
    # Voxels without a level still keep the outside away.
    levels[levels == 1] = 0
    found = zones.zone_features(ranks_of(levels), whole, ways=WAYS)
    assert found.distance["3D"]["lde"] == 9.0
    assert zones.zone_features(ranks_of(levels), levels > 0, ways=WAYS).distance["3D"]["lde"] == 1.0


def test_one_voxel_is_one_zone() -> None:
    found = zones.zone_features(ranks_of(np.array([[[1]]])), np.ones((1, 1, 1), dtype=bool), ways=WAYS)
    for names, values in ((zones.SIZE_NAMES, found.size), (zones.DISTANCE_NAMES, found.distance)):
        spread = {name for name in names if name.endswith(("_var", "_entr"))}
        assert all(values[way] == {name: 0.0 if name in spread else 1.0 for name in names} for way in WAYS)


def test_an_empty_region_has_no_zones() -> None:
    found = zones.zone_features(ranks_of(np.zeros((2, 3, 4), dtype=int)), np.zeros((2, 3, 4), dtype=bool), ways=WAYS)
    assert all(math.isnan(value) for part in found for way in WAYS for value in part[way].values())
