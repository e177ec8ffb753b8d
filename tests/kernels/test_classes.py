from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.filters import threshold_multiotsu, threshold_otsu

from medpipe.errors import Rejected
from medpipe.kernels import classes as kernel
from medpipe.kernels.classes import otsu_thresholds


def mixture(seed, means, sizes=400):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(mean, rng.uniform(3, 10), sizes) for mean in means]).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_thresholds_are_scikit_images(classes, seed):
    values = mixture(seed, np.random.default_rng(seed).uniform(0, 300, classes + 1))
    expected = threshold_multiotsu(values[None], classes=classes)
    np.testing.assert_allclose(otsu_thresholds(values, classes=classes), expected, atol=1e-3 * np.ptp(values) / 256)


def test_two_classes_are_otsus():
    values = mixture(9, [0, 100])
    assert otsu_thresholds(values, classes=2)[0] == pytest.approx(threshold_otsu(values), abs=1e-4)


def test_no_other_choice_parts_better(monkeypatch):
    monkeypatch.setattr(kernel, "BINS", 14)
    values = mixture(4, [0, 40, 90, 130], sizes=60)
    counts, edges = np.histogram(values, bins=14)
    centres = 0.5 * (edges[1:] + edges[:-1])

    def score(cuts):
        parts = itertools.pairwise([0, *(cut + 1 for cut in cuts), 14])
        weights = [(counts[a:b].sum(), (counts[a:b] * centres[a:b]).sum()) for a, b in parts]
        return sum(mass**2 / held if held else -np.inf for held, mass in weights)

    best = max(itertools.combinations(range(13), 3), key=score)
    np.testing.assert_allclose(otsu_thresholds(values, classes=4), centres[list(best)])


def test_fewer_values_than_classes_are_refused():
    values = np.repeat(np.array([1.0, 5.0], np.float32), 10)
    assert 1.0 <= otsu_thresholds(values, classes=2)[0] < 5.0
    with pytest.raises(Rejected, match="E_CONSTANT"):
        otsu_thresholds(values, classes=3)
