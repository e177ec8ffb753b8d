"""Co-occurrence that need not be symmetric: by the formulas as they are printed, on dense matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from medpipe.kernels import pairs
from medpipe.kernels.directions import directions_at, lengths_mm
from medpipe.kernels.glcm import glcm_features
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D, ranks_of
from tests.kernels.texture_oracle import small_levels

STANDARD = {
    "Autocorrelation": "auto_corr",
    "JointAverage": "joint_avg",
    "ClusterProminence": "clust_prom",
    "ClusterShade": "clust_shade",
    "ClusterTendency": "clust_tend",
    "Contrast": "contrast",
    "Correlation": "corr",
    "DifferenceAverage": "diff_avg",
    "DifferenceEntropy": "diff_entr",
    "DifferenceVariance": "diff_var",
    "JointEnergy": "energy",
    "JointEntropy": "joint_entr",
    "Imc2": "info_corr2",
    "Idm": "inv_diff_mom",
    "Idmn": "inv_diff_mom_norm",
    "Id": "inv_diff",
    "Idn": "inv_diff_norm",
    "InverseVariance": "inv_var",
    "MaximumProbability": "joint_max",
    "SumAverage": "sum_avg",
    "SumEntropy": "sum_entr",
    "SumSquares": "joint_var",
}


def _dense(levels: np.ndarray, step: tuple[int, int, int], *, symmetric: bool) -> np.ndarray:
    top = int(levels.max())
    matrix = np.zeros((top, top))
    for place in np.argwhere(levels):
        there = place + step
        if (there >= 0).all() and (there < levels.shape).all() and levels[tuple(there)]:
            matrix[levels[tuple(place)] - 1, levels[tuple(there)] - 1] += 1
    return matrix + matrix.T if symmetric else matrix


def _entropy(p: np.ndarray) -> float:
    return -float(sum(one * math.log2(one) for one in p.ravel() if one > 0))


def _some(matrix: np.ndarray) -> dict[str, float]:
    """Return what symmetric matrices cannot tell apart, and the maximal correlation from its definition."""
    p = matrix / matrix.sum()
    i = np.arange(1.0, len(p) + 1)
    x, y = p.sum(axis=1), p.sum(axis=0)
    # of whole numbers: a single level has no spread
    mean_x, mean_y = (matrix.sum(axis=axis) @ i / matrix.sum() for axis in (1, 0))
    spread = math.sqrt((x @ (i - mean_x) ** 2) * (y @ (i - mean_y) ** 2))
    independent = np.outer(x, y)
    crossed = -float(sum(p[k] * math.log2(independent[k]) for k in zip(*np.nonzero(p), strict=True)))
    largest = max(_entropy(x), _entropy(y))
    some_x, some_y = x > 0, y > 0
    q = p[np.ix_(some_x, some_y)]
    q = (q / x[some_x, None]) @ (q / y[some_y]).T
    values = np.sort(np.linalg.eigvals(q).real)
    return {
        "JointAverage": mean_x,
        "SumSquares": x @ (i - mean_x) ** 2,
        "Correlation": ((p * np.outer(i - mean_x, i - mean_y)).sum() / spread) if spread > 0 else 1.0,
        "Imc1": (_entropy(p) - crossed) / largest if largest > 0 else 0.0,
        "MCC": math.sqrt(max(values[-2], 0.0)) if len(values) > 1 else 0.0,
        "ClusterShade": (p * (i[:, None] + i - mean_x - mean_y) ** 3).sum(),
    }


def test_at_distance_one_from_both_ends_it_is_the_matrix_of_the_standard() -> None:
    ranks = ranks_of(np.random.default_rng(4).integers(0, 7, (6, 7, 8)))
    expected = glcm_features(ranks, aggregations=("3D_avg",))["3D_avg"]
    found = pairs.pair_features(ranks.padded, ranks.levels, directions=DIRECTIONS_3D, weights=None, symmetric=True)
    assert {name: found[name] for name in STANDARD} == pytest.approx(
        {name: expected[theirs] for name, theirs in STANDARD.items()}
    )
    assert found["Imc1"] == pytest.approx(expected["info_corr1"])


@settings(deadline=None, max_examples=30)
@given(small_levels.filter(np.any))
def test_matrices_from_one_end_are_averaged_over_those_with_a_pair(levels: np.ndarray) -> None:
    ranks = ranks_of(levels)
    steps = directions_at((1, 2), flat_axis=None)
    rows = [_some(matrix) for step in steps if (matrix := _dense(levels, step, symmetric=False)).any()]
    found = pairs.pair_features(np.pad(ranks.padded, 1), ranks.levels, directions=steps, weights=None, symmetric=False)
    if not rows:
        assert all(math.isnan(value) for value in found.values())
        return
    expected = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    if ranks.levels.size == 1:
        expected["MCC"] = 1.0
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-7)


def test_weights_join_matrices_before_they_are_measured() -> None:
    levels = np.random.default_rng(5).integers(0, 5, (5, 6, 7))
    ranks = ranks_of(levels)
    weights = np.exp(-(lengths_mm(DIRECTIONS_3D, norm="euclidean", spacing_mm=(2.0, 1.0, 0.5)) ** 2))
    merged = sum(
        weight * _dense(levels, step, symmetric=True) for weight, step in zip(weights, DIRECTIONS_3D, strict=True)
    )
    found = pairs.pair_features(ranks.padded, ranks.levels, directions=DIRECTIONS_3D, weights=weights, symmetric=True)
    expected = _some(np.asarray(merged))
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_many_levels_are_counted_a_few_directions_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = ranks_of(np.random.default_rng(6).integers(0, 30, (6, 7, 8)))

    def measured() -> dict[str, float]:
        return pairs.pair_features(ranks.padded, ranks.levels, directions=DIRECTIONS_3D, weights=None, symmetric=True)

    at_once = measured()
    monkeypatch.setattr(pairs, "CELLS_AT_ONCE", 1)
    assert measured() == at_once


def test_directions_are_those_of_the_standard_at_distance_one() -> None:
    assert set(directions_at((1,), flat_axis=None)) == set(DIRECTIONS_3D)
    assert set(directions_at((1,), flat_axis=0)) == set(DIRECTIONS_2D)
    assert len(directions_at((1, 2), flat_axis=None)) == (5**3 - 1) // 2
    assert len(directions_at((2,), flat_axis=1)) == (5**2 - 3**2) // 2
    assert all(step[1] == 0 for step in directions_at((2,), flat_axis=1))


def test_lengths_of_steps_by_each_norm() -> None:
    steps = ((0, 0, 1), (1, -1, 1))
    lengths = {
        norm: lengths_mm(steps, norm=norm, spacing_mm=(3.0, 4.0, 12.0)).tolist()  # type: ignore[arg-type]
        for norm in ("infinity", "euclidean", "manhattan", "no_weighting")
    }
    assert lengths == {
        "infinity": [12.0, 12.0],
        "euclidean": [12.0, 13.0],
        "manhattan": [12.0, 19.0],
        "no_weighting": [1.0, 1.0],
    }
