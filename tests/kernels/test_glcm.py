from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.feature import graycomatrix

from medpipe.errors import Rejected
from medpipe.kernels import cooccurrence, glcm, ranks
from medpipe.kernels.ranks import ranks_of

ALL = ("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb")

small_levels = arrays(
    np.int64,
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    elements=st.sampled_from([0, 1, 2, 5, 9]),
)


def _pairs(levels: np.ndarray, direction: tuple[int, int, int], n: int) -> np.ndarray:
    counts = np.zeros((n, n))
    for place in np.argwhere(levels > 0):
        there = place + direction
        if np.all(there >= 0) and np.all(there < levels.shape) and levels[tuple(there)] > 0:
            i, j = levels[tuple(place)] - 1, levels[tuple(there)] - 1
            counts[i, j] += 1
            counts[j, i] += 1
    return counts


def _xlog2(p: np.ndarray, q: np.ndarray | None = None) -> float:
    q = p if q is None else q
    return float(-sum(a * math.log2(b) for a, b in zip(p.ravel(), q.ravel(), strict=True) if a > 0))


def _oracle(counts: np.ndarray) -> dict[str, float]:
    """The formulas as they are printed, on the dense matrix with all levels 1 to n."""
    p = counts / counts.sum()
    n = len(p)
    i, j = np.meshgrid(np.arange(1, n + 1), np.arange(1, n + 1), indexing="ij")
    px, py = p.sum(axis=1), p.sum(axis=0)
    mu = float((i * p).sum())
    variance = float(((i - mu) ** 2 * p).sum())
    k = np.arange(n)
    p_diff = np.array([p[np.abs(i - j) == value].sum() for value in k])
    s = np.arange(2, 2 * n + 1)
    p_sum = np.array([p[i + j == value].sum() for value in s])
    hxy, hx, product = _xlog2(p), _xlog2(px), np.outer(px, py)
    hxy1, hxy2 = _xlog2(p, product), _xlog2(product)
    off = i != j
    return {
        "joint_max": float(p.max()),
        "joint_avg": mu,
        "joint_var": variance,
        "joint_entr": hxy,
        "diff_avg": float((k * p_diff).sum()),
        "diff_var": float(((k - (k * p_diff).sum()) ** 2 * p_diff).sum()),
        "diff_entr": _xlog2(p_diff),
        "sum_avg": float((s * p_sum).sum()),
        "sum_var": float(((s - (s * p_sum).sum()) ** 2 * p_sum).sum()),
        "sum_entr": _xlog2(p_sum),
        "energy": float((p**2).sum()),
        "contrast": float(((i - j) ** 2 * p).sum()),
        "dissimilarity": float((np.abs(i - j) * p).sum()),
        "inv_diff": float((p / (1 + np.abs(i - j))).sum()),
        "inv_diff_norm": float((p / (1 + np.abs(i - j) / n)).sum()),
        "inv_diff_mom": float((p / (1 + (i - j) ** 2)).sum()),
        "inv_diff_mom_norm": float((p / (1 + (i - j) ** 2 / n**2)).sum()),
        "inv_var": float((p[off] / (i - j)[off] ** 2).sum()),
        "corr": (float((i * j * p).sum()) - mu**2) / variance if variance > 0 else 1.0,
        "auto_corr": float((i * j * p).sum()),
        "clust_tend": float(((i + j - 2 * mu) ** 2 * p).sum()),
        "clust_shade": float(((i + j - 2 * mu) ** 3 * p).sum()),
        "clust_prom": float(((i + j - 2 * mu) ** 4 * p).sum()),
        "info_corr1": (hxy - hxy1) / hx if hx > 0 else 1.0,
        "info_corr2": math.sqrt(1 - math.exp(-2 * (hxy2 - hxy))) if hxy2 > hxy else 0.0,
    }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) if rows else math.nan for name in glcm.NAMES}


def _by_hand(levels: np.ndarray) -> dict[str, dict[str, float]]:
    n = int(levels.max(initial=1))
    space = [_pairs(levels, direction, n) for direction in ranks.DIRECTIONS_3D]
    plane = [[_pairs(slice_[None], direction, n) for direction in ranks.DIRECTIONS_2D] for slice_ in levels]
    merged = [sum(column) for column in zip(*plane, strict=True)]

    def mean(stack: list[np.ndarray]) -> dict[str, float]:
        return _mean([_oracle(counts) for counts in stack if counts.sum()])

    return {
        "2D_avg": mean([counts for row in plane for counts in row]),
        "2D_comb": mean([sum(row) for row in plane]),
        "2_5D_avg": mean(merged),
        "2_5D_comb": mean([sum(merged)]),
        "3D_avg": mean(space),
        "3D_comb": mean([sum(space)]),
    }


def test_directions_are_thirteen_and_no_two_opposite() -> None:
    directions = set(ranks.DIRECTIONS_3D)
    assert len(directions) == 13
    assert not directions & {(-z, -y, -x) for z, y, x in directions}


@settings(max_examples=25, deadline=None)
@given(small_levels)
def test_every_aggregation_equals_the_printed_formulas(levels: np.ndarray) -> None:
    found, expected = glcm.glcm_features(ranks_of(levels), aggregations=ALL), _by_hand(levels)
    for way in ALL:
        assert found[way] == pytest.approx(expected[way], rel=1e-9, abs=1e-9, nan_ok=True), way


def test_counts_equal_scikit_image_on_a_rectangle() -> None:
    levels = np.random.default_rng(0).integers(1, 9, (1, 20, 30)).astype(np.int32)
    found = glcm.cooccurrences(
        ranks_of(levels).padded, n_levels=8, directions=((0, 0, 1), (0, 1, 1), (0, 1, 0), (0, 1, -1))
    )
    angles = [0.0, math.pi / 4, math.pi / 2, 3 * math.pi / 4]
    expected = graycomatrix((levels[0] - 1).astype(np.uint8), [1], angles, levels=8, symmetric=True)
    assert np.array_equal(found, expected[:, :, 0, :].transpose(2, 0, 1))


def test_two_voxels_by_hand() -> None:
    found = glcm.glcm_features(ranks_of(np.array([[[1, 2]]])), aggregations=("3D_comb",))["3D_comb"]
    assert found["corr"] == pytest.approx(-1.0)
    assert found["info_corr1"] == pytest.approx(-1.0)
    assert found["info_corr2"] == pytest.approx(math.sqrt(1 - math.exp(-2)))


@settings(max_examples=20, deadline=None)
@given(small_levels)
def test_identities_of_the_standard_hold(levels: np.ndarray) -> None:
    found = glcm.glcm_features(ranks_of(levels), aggregations=("3D_comb",))["3D_comb"]
    assert found["clust_tend"] == pytest.approx(found["sum_var"], abs=1e-9, nan_ok=True)
    assert found["dissimilarity"] == pytest.approx(found["diff_avg"], abs=1e-12, nan_ok=True)
    assert found["sum_avg"] == pytest.approx(2 * found["joint_avg"], nan_ok=True)


def test_levels_that_do_not_occur_change_nothing_but_the_number_of_levels() -> None:
    levels = np.random.default_rng(4).choice([1, 7, 30], (4, 5, 6))
    found = glcm.glcm_features(ranks_of(levels), aggregations=("3D_avg",))["3D_avg"]
    assert found == pytest.approx(_by_hand(levels)["3D_avg"], rel=1e-9)


def test_few_levels_of_huge_numbers_equal_those_by_table(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.random.default_rng(5).choice([0, 1, 2, 5, 9, 40], (4, 6, 6))
    by_table = glcm.glcm_features(ranks_of(levels), aggregations=ALL)
    monkeypatch.setattr(cooccurrence, "_LARGEST_TABLE", 0)
    by_number = glcm.glcm_features(ranks_of(levels), aggregations=ALL)
    for way in ALL:
        assert by_number[way] == pytest.approx(by_table[way], rel=1e-13)


def test_a_level_in_the_billions_is_one_more_level() -> None:
    apart = 10**9
    counts = np.array([[[2, 1], [1, 4]]], dtype=np.uint32)
    found = dict(zip(glcm.NAMES, glcm.matrix_features(counts, np.array([1, 1 + apart]))[:, 0], strict=True))
    assert found["contrast"] == pytest.approx(0.25 * apart**2)
    assert found["diff_entr"] == pytest.approx(_xlog2(np.array([0.75, 0.25])))
    assert found["sum_entr"] == pytest.approx(_xlog2(np.array([0.25, 0.25, 0.5])))
    assert found["inv_diff_norm"] == pytest.approx(0.75 + 0.25 / (1 + apart / (1 + apart)))


def test_more_levels_than_a_matrix_holds_are_refused() -> None:
    levels = np.arange(1, ranks.MAX_LEVELS + 2).reshape(1, 1, -1)
    with pytest.raises(Rejected, match="E_LEVELS"):
        glcm.glcm_features(ranks_of(levels), aggregations=("3D_avg",))


def test_a_region_without_a_pair_has_no_texture() -> None:
    levels = np.zeros((3, 3, 3), dtype=np.int64)
    levels[0, 0, 0] = levels[2, 2, 2] = 4
    found = glcm.glcm_features(ranks_of(levels), aggregations=ALL)
    assert all(math.isnan(value) for way in ALL for value in found[way].values())
