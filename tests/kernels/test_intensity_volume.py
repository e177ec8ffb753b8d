"""The intensity-volume histogram against its curve, level by level."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from medpipe.kernels.intensity_volume import NAMES, volume_features

# The digital phantom of IBSI: 74 voxels of levels 1, 3, 4, 6; its curve is in the manual.
PHANTOM = np.repeat([1, 3, 4, 6], [50, 1, 16, 7])


def _curve(values: np.ndarray, low: int, high: int, step: int) -> dict[str, float]:
    levels = range(low, high + 1, step)
    share = {level: Fraction(int((values >= level).sum()), values.size) for level in levels}
    place = {level: Fraction(level - low, high - low) for level in levels}
    found: dict[str, float] = {}
    for percent in (10, 90):
        part = Fraction(percent, 100)
        found[f"v{percent}"] = float(max((share[level] for level in levels if place[level] >= part), default=0))
        found[f"i{percent}"] = min((level for level in levels if share[level] <= part), default=high + step)
    found["diff_v10_v90"] = found["v10"] - found["v90"]
    found["diff_i10_i90"] = found["i10"] - found["i90"]
    pairs = list(itertools.pairwise(levels))
    found["auc"] = float(sum((place[b] - place[a]) * (share[a] + share[b]) / 2 for a, b in pairs))
    return found


def test_the_phantom_has_the_curve_of_the_manual() -> None:
    shares = (1.0, 24 / 74, 24 / 74, 23 / 74, 7 / 74, 7 / 74)
    found = volume_features(PHANTOM, low=1.0, high=6.0, step=1.0)
    assert (found["v10"], found["v90"], found["i10"], found["i90"]) == (shares[1], shares[5], 5.0, 2.0)
    assert found["auc"] == pytest.approx(0.2 * (sum(shares) - (shares[0] + shares[-1]) / 2))


@pytest.mark.parametrize("seed", range(60))
def test_every_number_is_read_off_the_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, step = int(rng.integers(-50, 50)), int(rng.integers(1, 4))
    high = low + step * int(rng.integers(1, 60))
    values = rng.integers(low, high + 1, rng.integers(1, 200))
    found = volume_features(values, low=float(low), high=float(high), step=float(step))
    assert list(found) == list(NAMES)
    assert found == pytest.approx(_curve(values, low, high, step), rel=1e-12, abs=1e-12)


def test_steps_that_are_no_binary_fractions_keep_their_levels() -> None:
    numbers = np.random.default_rng(5).integers(0, 31, 500)
    whole = volume_features(numbers, low=0.0, high=30.0, step=1.0)
    tenths = volume_features(numbers * 0.1, low=0.0, high=3.0, step=0.1)
    intensities = {"i10", "i90", "diff_i10_i90"}
    scaled = {name: value * (0.1 if name in intensities else 1.0) for name, value in whole.items()}
    assert tenths == pytest.approx(scaled)


def test_where_no_level_is_high_enough_the_next_one_stands() -> None:
    found = volume_features(np.full(9, 4.0), low=1.0, high=4.0, step=1.0)
    assert (found["i10"], found["i90"], found["v90"]) == (5.0, 5.0, 1.0)


def test_a_single_level_has_no_curve() -> None:
    found = volume_features(np.full(5, 3.0), low=3.0, high=3.0, step=1.0)
    assert list(found.values()) == [1.0, 1.0, 3.0, 3.0, 0.0, 0.0, 0.0]
