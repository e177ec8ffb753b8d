"""Quality measures against definitions by brute force, other libraries, and what was put in."""

import math

import numpy as np
import pytest
from scipy import ndimage, signal, stats

from medpipe.kernels import quality


def noise(shape, sigma=5.0, seed=3):
    return np.random.default_rng(seed).normal(100.0, sigma, shape).astype(np.float32)


def test_spread_is_what_scipy_says():
    values = np.random.default_rng(2).gamma(2.0, 30.0, 5001).astype(np.float32)
    found = quality.spread(values.copy())
    expected = (values.mean(dtype=float), values.std(dtype=float), np.median(values))
    assert found[:3] == pytest.approx(expected, rel=1e-5)
    assert found.mad == pytest.approx(stats.median_abs_deviation(values), rel=1e-5)
    assert found[4:] == pytest.approx(np.percentile(values, [5, 95]), rel=1e-5)


def test_nothing_has_no_spread_and_one_value_none_but_itself():
    assert all(math.isnan(value) for value in quality.spread(np.zeros(0, np.float32)))
    assert quality.spread(np.full(9, 0.1, np.float32))[1::2][:2] == (0.0, 0.0)


def test_shares_at_the_ends_are_counted_over_all_frames():
    frames = np.array([[[[0, 1], [5, 5]]], [[[0, 0], [2, 3]]]], np.int16)
    assert quality.end_shares(frames, left_out=None) == (3 / 8, 2 / 8)
    out = np.array([[[True, False], [False, False]]])
    assert quality.end_shares(frames, left_out=out) == (1 / 6, 2 / 6)
    floats = frames.astype(np.float32)
    floats[floats == 5] = np.nan
    assert quality.end_shares(floats, left_out=None) == (3 / 6, 1 / 6)
    assert all(math.isnan(share) for share in quality.end_shares(np.full((1, 2, 2, 2), np.nan), left_out=None))


def test_sharpness_is_that_of_convolutions():
    x = noise((3, 20, 24))
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    cross = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    wide = x.astype(float)
    masked, laplacian = ([signal.convolve2d(plane, one, mode="valid") for plane in wide] for one in (mask, cross))
    rows, columns = (np.gradient(wide, axis=axis)[:, 1:-1, 1:-1] for axis in (1, 2))
    found = quality.sharpness(x)
    assert found.noise == pytest.approx(math.sqrt(math.pi / 2) * np.abs(masked).mean() / 6, rel=1e-9)
    assert found.laplacian_var == pytest.approx(np.var(laplacian), rel=1e-9)
    assert found.gradient_mean == pytest.approx(np.hypot(rows, columns).mean(), rel=1e-9)


@pytest.mark.parametrize("sigma", [2.0, 20.0])
def test_noise_that_was_put_in_is_found_within_3_percent(sigma):
    ramp = np.linspace(0, 900, 96, dtype=np.float32)
    assert quality.sharpness(noise((4, 96, 96), sigma) + ramp).noise == pytest.approx(sigma, rel=0.03)


def test_blur_lowers_what_sharpness_is_told_by():
    x = noise((2, 40, 40))
    blurred = ndimage.gaussian_filter(x, (0, 1.5, 1.5))
    before, after = quality.sharpness(x), quality.sharpness(blurred)
    assert all(late < early for early, late in zip(before, after, strict=True))


def test_a_missing_pixel_takes_its_neighbours_out_of_sharpness_and_nothing_else():
    x = np.zeros((1, 9, 9), np.float32)
    x[0, 4, 4] = np.nan
    assert quality.sharpness(x) == (0.0, 0.0, 0.0)
    assert all(math.isnan(value) for value in quality.sharpness(np.zeros((5, 2, 9), np.float32)))


def test_the_entropy_focus_is_atkinsons():
    x = np.random.default_rng(5).gamma(1.5, 40.0, (4, 9, 11)).astype(np.float32)
    shares = x.astype(float).ravel() / np.sqrt((x.astype(float) ** 2).sum())
    worst = x.size * (1 / math.sqrt(x.size)) * math.log(1 / math.sqrt(x.size))
    assert quality.entropy_focus(x) == pytest.approx((shares * np.log(shares)).sum() / worst, rel=1e-9)


def test_the_entropy_focus_is_0_for_one_bright_voxel_and_1_for_an_even_image():
    one = np.zeros((2, 5, 5), np.float32)
    one[1, 2, 3] = 7.0
    assert quality.entropy_focus(one) == 0.0
    assert quality.entropy_focus(one + 1 - one) == pytest.approx(1.0)
    assert math.isnan(quality.entropy_focus(np.zeros((2, 5, 5), np.float32)))
    assert quality.entropy_focus(one - 3) == quality.entropy_focus(one)


@pytest.mark.parametrize(("axis", "sigma"), [(0, 0.8), (1, 1.2), (2, 2.0)])
def test_smoothness_finds_the_width_of_the_blur(axis, sigma):
    x = ndimage.gaussian_filter1d(noise((64, 64, 64)), sigma, axis=axis, mode="wrap")
    inside = np.ones(x.shape, bool)
    found = [quality.smoothness(x, inside, variance=float(x.var(dtype=float)), axis=one) for one in range(3)]
    # what Forman's estimate is for samples of a Gaussian's autocorrelation
    expected = sigma * math.sqrt(8 * math.log(2))
    assert found[axis] == pytest.approx(expected, rel=0.06)
    assert all(found[one] < 0.6 for one in range(3) if one != axis)


def test_smoothness_needs_neighbours_and_something_that_varies():
    x = noise((1, 6, 6))
    inside = np.zeros(x.shape, bool)
    inside[0, ::2, ::2] = True
    for axis in range(3):
        assert math.isnan(quality.smoothness(x, inside, variance=25.0, axis=axis))
    assert math.isnan(quality.smoothness(x, ~inside, variance=0.0, axis=1))


def test_a_ghost_in_the_air_stands_out_and_noise_does_not():
    rng = np.random.default_rng(8)
    x = np.hypot(*rng.normal(0, 4, (2, 3, 50, 50))).astype(np.float32)
    inside = np.zeros(x.shape, bool)
    inside[:, 18:32, 18:32] = True
    air = quality.background(~np.isnan(x), inside)
    clean = quality.spread(x[air])
    assert quality.structure_share(x, air, median=clean.median, mad=clean.mad) == 0.0
    x[1, 4:10, 18:32] += 60.0
    seen = quality.spread(x[air])
    share = quality.structure_share(x, air, median=seen.median, mad=seen.mad)
    assert share == pytest.approx(6 * 14 / air.sum(), rel=0.15)


def test_the_background_keeps_two_steps_away():
    inside = np.zeros((1, 9, 9), bool)
    inside[0, 4, 4] = True
    air = quality.background(np.ones(inside.shape, bool), inside)
    rows, columns = np.indices((9, 9))
    np.testing.assert_array_equal(air[0], np.abs(rows - 4) + np.abs(columns - 4) > 2)


def test_steadiness_is_the_median_of_means_over_deviations():
    frames = noise((12, 2, 5, 6), 3.0)
    inside = np.random.default_rng(1).random(frames.shape[1:]) < 0.6
    wide = frames.astype(float)
    expected = np.median((wide.mean(axis=0) / wide.std(axis=0))[inside])
    assert quality.steadiness(frames, frames.mean(axis=0), inside) == pytest.approx(expected, rel=1e-5)
    assert math.isnan(quality.steadiness(frames[:1], frames[0], inside))
