from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle

from medpipe.kernels.total_variation import total_variation
from tests.kernels import whole_arrays


def phantom(shape, seed):
    rng = np.random.default_rng(seed)
    steps = np.indices(shape).sum(axis=0) // 5 % 2
    return (steps + rng.normal(0, 0.2, shape)).astype(np.float32)


def test_the_second_step_by_hand():
    # Two voxels, gradient 1: p = -tau / (1 + tau / w), and u = f + div p.
    x = np.array([[[0.0, 1.0]]], np.float32)
    p = -(1 / 6) / (1 + (1 / 6) / 0.5)
    np.testing.assert_allclose(total_variation(x, weight=0.5, iterations=2)[0, 0], [-p, 1 + p], rtol=1e-6)


@pytest.mark.parametrize("shape", [(9, 17, 33), (1, 16, 20), (6, 1, 30), (7, 12, 1), (1, 1, 1)])
@pytest.mark.parametrize("iterations", [1, 2, 30])
def test_it_equals_scikit_image_with_a_fixed_number_of_steps(shape, iterations):
    x = phantom(shape, 8)
    expected = denoise_tv_chambolle(x, weight=0.15, eps=0, max_num_iter=iterations)
    result = total_variation(x, weight=0.15, iterations=iterations)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(9, 17, 33), (1, 16, 20), (2, 1, 3)])
def test_the_compiled_body_equals_whole_array_arithmetic(shape):
    x = phantom(shape, 9)
    expected = whole_arrays.total_variation(x, weight=0.2, iterations=25)
    np.testing.assert_allclose(total_variation(x, weight=0.2, iterations=25), expected, atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(st.floats(-1000, 1000), st.floats(0.01, 1.0), st.integers(2, 15))
def test_the_mean_stays(offset, weight, iterations):
    x = phantom((5, 6, 7), 10) + np.float32(offset)
    mean = total_variation(x, weight=weight, iterations=iterations).mean(dtype=np.float64)
    assert mean == pytest.approx(x.mean(dtype=np.float64), abs=1e-6 * (abs(offset) + 10))


def test_noise_on_a_sphere_falls_by_more_than_5_db():
    rng = np.random.default_rng(11)
    z, y, x = np.indices((32, 32, 32)) - 15.5
    truth = np.where(z * z + y * y + x * x < 100, 100.0, 0.0).astype(np.float32)
    noisy = truth + rng.normal(0, 20, truth.shape).astype(np.float32)
    denoised = total_variation(noisy, weight=20.0, iterations=20)
    gain_db = 10 * np.log10(((noisy - truth) ** 2).mean() / ((denoised - truth) ** 2).mean())
    assert gain_db > 5.0


@pytest.mark.parametrize("shape", [(5, 41, 700), (3, 9, 2000), (6, 130, 64)])
@pytest.mark.parametrize("iterations", [5, 10])
def test_strips_leave_no_seam(shape, iterations):
    x = phantom(shape, 12)
    found = total_variation(x, weight=0.2, iterations=iterations)
    expected = whole_arrays.total_variation(x, weight=0.2, iterations=iterations)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("place", [(2, 10, 19), (4, 19, 19), (0, 0, 0)])
def test_a_missing_voxel_spreads_by_less_than_a_voxel_a_step(place):
    x = phantom((5, 20, 20), 13)
    x[place] = np.nan
    missing = np.isnan(total_variation(x, weight=0.2, iterations=4))
    away = np.abs(np.indices(x.shape) - np.array(place)[:, None, None, None]).max(axis=0)
    assert missing[away == 0].all()
    assert not missing[away >= 4].any()
