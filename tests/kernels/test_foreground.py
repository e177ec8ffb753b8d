from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from medpipe.errors import Rejected
from medpipe.kernels.classes import otsu_threshold
from medpipe.kernels.foreground import clipped_otsu, foreground


def sphere(shape, radius):
    centre = [(size - 1) / 2 for size in shape]
    grid = np.indices(shape)
    return sum((axis - middle) ** 2 for axis, middle in zip(grid, centre, strict=True)) <= radius**2


def test_two_heaps_are_parted_between_them():
    values = np.concatenate([np.full(50, 10.0), np.full(50, 90.0)]).astype(np.float32)
    assert 10.0 <= otsu_threshold(values) < 90.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95), st.floats(1, 500))
def test_the_threshold_equals_scikit_image(seed, share, distance):
    rng = np.random.default_rng(seed)
    n = int(2000 * share)
    values = np.concatenate([rng.normal(0, 30, n), rng.normal(distance, 30, 2000 - n)]).astype(np.float32)
    assert otsu_threshold(values) == pytest.approx(threshold_otsu(values, nbins=256), rel=1e-6)


def test_the_foreground_of_a_noisy_sphere_overlaps_it_by_97_percent():
    rng = np.random.default_rng(22)
    truth = sphere((40, 48, 48), 15)
    x = np.abs(np.where(truth, 100.0, 0.0) + rng.normal(0, 20, truth.shape)).astype(np.float32)
    found = foreground(x)
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice >= 0.97


def test_a_dark_hole_belongs_to_the_foreground():
    truth = sphere((16, 40, 40), 12)
    x = np.where(truth, 100.0, 0.0).astype(np.float32)
    x[8, 18:22, 18:22] = 0.0
    assert foreground(x)[8, 20, 20]


def test_missing_values_do_not_count():
    truth = sphere((16, 40, 40), 12)
    x = np.where(truth, 100.0, 1.0).astype(np.float32)
    x[0, 0, 0], x[0, 0, 1] = np.nan, np.inf
    found = foreground(x)
    assert (found & truth).sum() > 0.95 * truth.sum()
    assert not found[0, 0, 0]


def test_a_constant_image_is_rejected():
    with pytest.raises(Rejected, match="E_CONSTANT"):
        foreground(np.ones((3, 4, 5), np.float32))
    lone = np.zeros((10, 10, 10), np.float32)
    lone[0, 0, 0] = 1.0
    with pytest.raises(Rejected, match="E_CONSTANT"):
        clipped_otsu(lone, low=1.0, high=99.0)
    with pytest.raises(Rejected, match="EMPTY_ROI"):
        foreground(np.full((3, 4, 5), np.nan, np.float32))
