from __future__ import annotations

import math
from itertools import count, groupby, takewhile

import numpy as np
import pytest
from hypothesis import given, settings

from medpipe.errors import Rejected
from medpipe.kernels import glrlm
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D, MAX_LEVELS, ranks_of
from tests.kernels.texture_oracle import mean, small_levels, sums

ALL = ("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb")


def _runs(levels: np.ndarray, direction: tuple[int, int, int]) -> np.ndarray:
    """Follow every line of a direction through the box, and cut it where the level changes."""
    counts = np.zeros((int(levels.max(initial=1)), max(levels.shape)), dtype=int)
    at = {place: int(levels[place]) for place in np.ndindex(levels.shape)}
    dz, dy, dx = direction
    starts = [(z, y, x) for z, y, x in at if (z - dz, y - dy, x - dx) not in at]
    for z, y, x in starts:
        places = ((z + k * dz, y + k * dy, x + k * dx) for k in count())
        line = [at[place] for place in takewhile(at.__contains__, places)]
        for level, run in groupby(line):
            if level > 0:
                counts[level - 1, len(list(run)) - 1] += 1
    return counts


def _by_hand(levels: np.ndarray) -> dict[str, dict[str, float]]:
    space = [_runs(levels, direction) for direction in DIRECTIONS_3D]
    # Planes keep the whole volume's levels and lengths, so that their matrices can be added.
    planes = [np.where(np.arange(len(levels))[:, None, None] == z, levels, 0) for z in range(len(levels))]
    filled = [plane for plane in planes if plane.any()]
    n = int(levels.max(initial=1))
    by_slice = []
    for plane in filled:
        one = [np.pad(matrix, ((0, n - len(matrix)), (0, 0))) for matrix in (_runs(plane, d) for d in DIRECTIONS_2D)]
        by_slice.append((one, int((plane > 0).sum())))
    merged = [np.sum([one[d] for one, _ in by_slice], axis=0) for d in range(4)] if by_slice else []
    voxels = int((levels > 0).sum())
    rows = {
        "2D_avg": [sums(matrix, size) for one, size in by_slice for matrix in one],
        "2D_comb": [sums(np.sum(one, axis=0), 4 * size) for one, size in by_slice],
        "2_5D_avg": [sums(matrix, voxels) for matrix in merged],
        "2_5D_comb": [sums(np.sum(merged, axis=0), 4 * voxels)] if merged else [],
        "3D_avg": [sums(matrix, voxels) for matrix in space if matrix.any()],
        "3D_comb": [sums(np.sum(space, axis=0), 13 * voxels)] if voxels else [],
    }
    return {way: mean(glrlm.NAMES, some) for way, some in rows.items()}


@settings(max_examples=25, deadline=None)
@given(small_levels)
def test_every_aggregation_equals_the_printed_formulas(levels: np.ndarray) -> None:
    found, expected = glrlm.glrlm_features(ranks_of(levels), aggregations=ALL), _by_hand(levels)
    for way in ALL:
        assert found[way] == pytest.approx(expected[way], rel=1e-9, abs=1e-12, nan_ok=True), way


def test_runs_of_a_row_by_hand() -> None:
    counts = glrlm.run_lengths(
        ranks_of(np.array([[[3, 3, 0, 3, 7, 7, 7]]])).padded, n_levels=2, directions=((0, 0, 1), (0, 1, 0))
    )
    assert counts.shape == (2, 2, 9)
    assert counts[0, :, :3].tolist() == [[1, 1, 0], [0, 0, 1]]
    assert counts[1, :, :3].tolist() == [[3, 0, 0], [3, 0, 0]]
    assert counts.sum() == 9


def test_the_lengths_of_all_runs_are_the_voxels() -> None:
    levels = np.random.default_rng(0).integers(0, 4, (5, 17, 9))
    counts = glrlm.run_lengths(ranks_of(levels).padded, n_levels=3, directions=DIRECTIONS_3D)
    lengths = np.arange(1, counts.shape[2] + 1)
    assert (counts @ lengths).tolist() == [[int((levels == level).sum()) for level in (1, 2, 3)]] * 13


def test_one_voxel_is_one_run_in_every_direction() -> None:
    found = glrlm.glrlm_features(ranks_of(np.array([[[1]]])), aggregations=ALL)
    expected = {name: 0.0 if name in {"gl_var", "rl_var", "rl_entr"} else 1.0 for name in glrlm.NAMES}
    for way in ALL:
        merged = {"2D_comb": 4.0, "2_5D_comb": 4.0, "3D_comb": 13.0}.get(way, 1.0)
        assert found[way] == expected | {"glnu": merged, "rlnu": merged}


def test_an_empty_region_has_no_runs() -> None:
    found = glrlm.glrlm_features(ranks_of(np.zeros((2, 3, 4), dtype=int)), aggregations=ALL)
    assert all(math.isnan(value) for way in ALL for value in found[way].values())


@pytest.mark.parametrize("top", [60, 10**12])
def test_ranks_are_the_order_of_the_levels_that_occur(top: int) -> None:
    ranks = ranks_of(np.array([[[5, 0, top], [9, 5, 9]]]))
    assert ranks.levels.tolist() == [5.0, 9.0, float(top)]
    assert ranks.padded[1, 1:-1, 1:-1].tolist() == [[1, 0, 3], [2, 1, 2]]
    assert np.count_nonzero(ranks.padded) == 5


@pytest.mark.parametrize("step", [1, 10**9])
def test_more_levels_than_a_matrix_holds_are_refused(step: int) -> None:
    levels = np.arange(1, MAX_LEVELS + 2).reshape(1, 1, -1) * step
    with pytest.raises(Rejected, match="E_LEVELS"):
        ranks_of(levels)
