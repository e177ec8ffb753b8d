"""The intensity histogram against the voxels it counts."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.kernels.intensity_histogram import NAMES, histogram_features
from medpipe.kernels.statistics import intensity_statistics

SAME = ("mean", "var", "skew", "kurt", "median", "min", "p10", "p90", "max", "iqr", "range", "mad", "rmad", "medad", "cov", "qcod")  # fmt: skip


def _levels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(1, rng.integers(2, 40), rng.integers(1, 300)) + rng.integers(0, 3)


@pytest.mark.parametrize("seed", range(40))
def test_moments_and_percentiles_are_those_of_the_voxels(seed: int) -> None:
    levels = _levels(seed)
    found, expected = histogram_features(levels), intensity_statistics(levels)
    assert list(found) == list(NAMES)
    for name in SAME:
        assert found[name] == pytest.approx(expected[name], rel=1e-12, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("seed", range(20))
def test_what_is_told_of_the_bins_is_that_of_the_counts_one_by_one(seed: int) -> None:
    levels = _levels(seed)
    found = histogram_features(levels)
    counts = [int((levels == level).sum()) for level in range(1, levels.max() + 1)]
    shares = [count / levels.size for count in counts if count]
    assert found["entropy"] == pytest.approx(-sum(share * np.log2(share) for share in shares))
    assert found["uniformity"] == pytest.approx(sum(share**2 for share in shares))
    last = len(counts) - 1
    slopes = [
        (counts[min(place + 1, last)] - counts[max(place - 1, 0)]) / max(min(place + 1, last) - max(place - 1, 0), 1)
        for place in range(last + 1)
    ]
    assert (found["max_grad"], found["min_grad"]) == (max(slopes), min(slopes))
    assert found["max_grad_g"] == 1 + slopes.index(max(slopes))
    assert found["min_grad_g"] == 1 + slopes.index(min(slopes))


@pytest.mark.parametrize(
    ("levels", "mode"),
    [
        ([1, 1, 2, 5, 5], 1),  # the mean is 2.8
        ([1, 1, 4, 5, 5], 5),  # the mean is 3.2
        ([1, 1, 3, 5, 5], 1),  # as near as each other: the lower
        ([2, 2, 2, 9], 2),
    ],
)
def test_of_several_modes_the_one_nearest_to_the_mean_counts(levels: list[int], mode: int) -> None:
    assert histogram_features(np.array(levels))["mode"] == mode


@pytest.mark.parametrize("levels", [[1], [1, 1, 1, 1], [7, 7, 7]])
def test_one_level_has_no_spread_and_no_entropy(levels: list[int]) -> None:
    found = histogram_features(np.array(levels))
    assert [found[name] for name in ("var", "skew", "kurt", "range", "cov", "entropy")] == [0.0] * 6
    assert found["uniformity"] == 1.0
    assert found["mode"] == found["mean"] == found["min"] == found["max"] == levels[0]
    assert all(np.isfinite(value) for value in found.values())
    if levels[0] == 1:
        assert (found["max_grad"], found["min_grad"]) == (0.0, 0.0)
