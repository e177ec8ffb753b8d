from __future__ import annotations

import math

import numpy as np
import pytest

from medpipe.kernels import compat_texture as compat
from medpipe.kernels.glrlm import glrlm_features
from medpipe.kernels.ranks import DIRECTIONS_3D, ranks_of


def _slab(seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 5, (1, 6, 7))


def test_directions_without_a_line_of_two_voxels_take_no_part_in_runs() -> None:
    ranks = ranks_of(_slab())
    found = compat.run_features(ranks, directions=DIRECTIONS_3D, weights=None)
    within = glrlm_features(ranks, aggregations=("2_5D_avg",))["2_5D_avg"]
    everywhere = glrlm_features(ranks, aggregations=("3D_avg",))["3D_avg"]
    assert found["ShortRunEmphasis"] == pytest.approx(within["sre"])
    assert found["ShortRunEmphasis"] != pytest.approx(everywhere["sre"])


def test_a_line_is_one_though_its_voxels_do_not_touch() -> None:
    levels = np.zeros((1, 1, 9), dtype=int)
    levels[0, 0, [0, 8]] = 1, 2
    found = compat.run_features(ranks_of(levels), directions=DIRECTIONS_3D, weights=None)
    assert found["RunPercentage"] == 1.0
    levels[0, 0, 8] = 0
    alone = compat.run_features(ranks_of(levels), directions=DIRECTIONS_3D, weights=None)
    assert all(math.isnan(value) for value in alone.values())


def test_runs_that_are_merged_without_weights_are_those_of_the_standard() -> None:
    ranks = ranks_of(np.random.default_rng(8).integers(0, 4, (5, 6, 7)))
    found = compat.run_features(ranks, directions=DIRECTIONS_3D, weights=np.ones(13))
    merged = glrlm_features(ranks, aggregations=("3D_comb",))["3D_comb"]
    assert list(found.values()) == pytest.approx(list(merged.values()))


def test_voxels_without_a_neighbour_count_among_those_that_do_not_differ() -> None:
    levels = np.zeros((1, 1, 6), dtype=int)
    levels[0, 0, [0, 1, 5]] = 1, 3, 3
    ranks = ranks_of(levels)
    dependence, tone = compat.neighbour_features(ranks.padded, ranks.levels, directions=DIRECTIONS_3D, within=0)
    # levels 1 and 3 have shares 1/3 and 2/3, and differences 2 and 2
    assert tone["Coarseness"] == pytest.approx(1 / (2 / 3 + 4 / 3))
    assert tone["Contrast"] == pytest.approx((2 * 2 / 9 * 4 / 2) * 4 / 3)
    assert dependence["SmallDependenceEmphasis"] == 1.0


@pytest.mark.parametrize("within", [0, 1, 2])
def test_neighbours_within_some_levels_are_dependent(within: int) -> None:
    levels = np.random.default_rng(9).integers(0, 6, (4, 5, 6))
    ranks = ranks_of(levels)
    near = []
    padded = np.pad(levels, 1)
    for place in np.argwhere(padded):
        around = padded[tuple(slice(at - 1, at + 2) for at in place)]
        near.append(int(((around > 0) & (abs(around - padded[tuple(place)]) <= within)).sum()))
    found, _ = compat.neighbour_features(ranks.padded, ranks.levels, directions=DIRECTIONS_3D, within=within)
    sizes = np.array(near, dtype=float)
    assert found["LargeDependenceEmphasis"] == pytest.approx((sizes**2).mean())
    assert found["SmallDependenceEmphasis"] == pytest.approx((sizes**-2).mean())
    assert found["DependenceVariance"] == pytest.approx(sizes.var())


def test_intensities_of_one_value_have_no_spread_and_no_information() -> None:
    found = compat.first_order(np.full(9, 7.0), np.ones(9, dtype=np.int64), shift=3.0, voxel_mm3=2.0)
    assert (found["Kurtosis"], found["Skewness"], found["Variance"], found["Entropy"]) == (0.0, 0.0, 0.0, 0.0)
    assert (found["Uniformity"], found["Energy"], found["TotalEnergy"]) == (1.0, 900.0, 1800.0)
    assert found["RootMeanSquared"] == 10.0
