from __future__ import annotations

import numpy as np
import pytest

from medpipe.kernels.projection import block_means, grey_levels, project


def image(seed=4):
    return np.random.default_rng(seed).normal(0, 100, (5, 7, 6)).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_projections_equal_numpy(axis):
    x = image()
    np.testing.assert_array_equal(project(x, axis=axis, how="max"), x.max(axis=axis))
    np.testing.assert_array_equal(project(x, axis=axis, how="min"), x.min(axis=axis))
    mean = x.mean(axis=axis, dtype=np.float64).astype(np.float32)
    np.testing.assert_allclose(project(x, axis=axis, how="mean"), mean, rtol=1e-6)


@pytest.mark.parametrize("how", ["max", "min", "mean"])
def test_missing_voxels_are_left_out_and_a_line_of_them_is_missing(how):
    x = image()
    x[2, 3, 4] = np.nan
    x[:, 1, 1] = np.nan
    before = x.copy()
    found = project(x, axis=0, how=how)
    expected = {"max": np.nanmax, "min": np.nanmin, "mean": np.nanmean}[how]
    np.testing.assert_allclose(found[3, 4], expected(x[:, 3, 4].astype(np.float64)), rtol=1e-6)
    assert np.isnan(found).sum() == 1
    assert np.isnan(found[1, 1])
    assert x.tobytes() == before.tobytes()


def test_grey_levels_by_hand():
    picture = np.array([[-5.0, 0.0, 50.0, 100.0, 500.0, np.nan]], np.float32)
    np.testing.assert_array_equal(grey_levels(picture, low=0.0, high=100.0), [[0, 0, 128, 255, 255, 0]])
    np.testing.assert_array_equal(grey_levels(picture, low=50.0, high=50.0), [[0, 0, 0, 255, 255, 0]])


def test_block_means_by_hand():
    picture = np.arange(15, dtype=np.float32).reshape(3, 5)
    found = block_means(picture, rows=2, columns=3)
    np.testing.assert_array_equal(found, [[3.5, 6.0], [11.0, 13.5]])
