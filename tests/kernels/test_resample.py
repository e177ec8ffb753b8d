from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.kernels.resample import centred_grid, resample, resample_mask

SPACINGS = st.tuples(*[st.floats(0.3, 4.0)] * 3)


def by_coordinates(x, axes, order):
    points = [axis.start + axis.step * np.arange(axis.count) for axis in axes]
    return ndi.map_coordinates(x.astype(np.float64), np.meshgrid(*points, indexing="ij"), order=order, mode="nearest")


def test_halving_the_step_of_two_voxels_by_hand():
    # Centres at 0 and 1; four points about the same centre: -0.25, 0.25, 0.75, 1.25.
    x = np.array([[[0.0, 8.0]]], np.float32)
    axes = centred_grid(x.shape, spacing_mm=(1.0, 1.0, 1.0), target_mm=(0.0, 0.0, 0.5))
    assert (axes[2].count, axes[2].start, axes[2].step) == (4, -0.25, 0.5)
    np.testing.assert_allclose(resample(x, axes, order=1, integral=False)[0, 0], [0, 2, 6, 8])


@pytest.mark.parametrize("order", [0, 1, 3])
@settings(max_examples=15, deadline=None)
@given(target_mm=SPACINGS)
def test_it_equals_map_coordinates(order, target_mm):
    x = np.random.default_rng(16).normal(0, 100, (6, 9, 11)).astype(np.float32)
    axes = centred_grid(x.shape, spacing_mm=(2.5, 0.9, 0.8), target_mm=target_mm)
    expected = by_coordinates(x, axes, order)
    result = resample(x, axes, order=order, integral=False)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(target_mm=SPACINGS)
def test_a_mask_is_the_linear_image_from_one_half(target_mm):
    mask = ndi.gaussian_filter(np.random.default_rng(17).random((7, 9, 11)), 1) > 0.5
    axes = centred_grid(mask.shape, spacing_mm=(2.0, 1.0, 1.0), target_mm=target_mm)
    np.testing.assert_array_equal(resample_mask(mask, axes), by_coordinates(mask, axes, 1) >= 0.5 - 1e-6)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_same_spacing_changes_nothing(order):
    x = np.random.default_rng(18).normal(0, 100, (5, 6, 7)).astype(np.float32)
    axes = centred_grid(x.shape, spacing_mm=(2.5, 0.9, 0.8), target_mm=(2.5, 0.9, 0.8))
    np.testing.assert_allclose(resample(x, axes, order=order, integral=False), x, atol=1e-4)


@pytest.mark.parametrize("order", [1, 3])
def test_a_ramp_stays_a_ramp_inside(order):
    x = np.broadcast_to(np.arange(40, dtype=np.float32), (3, 4, 40)).copy()
    axes = centred_grid(x.shape, spacing_mm=(1.0, 1.0, 1.0), target_mm=(0.0, 0.0, 0.7))
    points = axes[2].start + axes[2].step * np.arange(axes[2].count)
    inner = (points > 12) & (points < 27)
    np.testing.assert_allclose(resample(x, axes, order=order, integral=False)[1, 2, inner], points[inner], atol=1e-4)


def test_rounding_gives_whole_numbers():
    x = np.random.default_rng(19).integers(-1000, 400, (5, 6, 7)).astype(np.float32)
    axes = centred_grid(x.shape, spacing_mm=(3.0, 1.0, 1.0), target_mm=(2.0, 2.0, 2.0))
    plain, whole = (resample(x, axes, order=1, integral=integral) for integral in (False, True))
    np.testing.assert_array_equal(whole, np.rint(whole))
    assert np.abs(whole - plain).max() <= 0.5 + 1e-3


def test_uneven_slices_are_read_at_their_true_positions():
    positions = (0.0, 1.0, 4.0, 6.0)
    x = np.asarray(positions, np.float32).reshape(4, 1, 1) * np.ones((4, 2, 3), np.float32)
    axes = centred_grid(x.shape, spacing_mm=(2.0, 1.0, 1.0), target_mm=(1.0, 0.0, 0.0))
    values = resample(x, axes, order=1, integral=False, slice_positions=positions)[:, 0, 0]
    expected = np.clip((axes[0].start + axes[0].step * np.arange(axes[0].count)) * 2.0, 0.0, 6.0)
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_a_spline_leaves_out_what_is_missing_and_what_lies_beside_it():
    x = ndi.gaussian_filter(np.random.default_rng(20).normal(0, 100, (9, 12, 40)), 1.0).astype(np.float32)
    holed = x.copy()
    holed[:, :, 30:] = holed[7:] = np.nan
    axes = centred_grid(x.shape, spacing_mm=(2.0, 1.0, 1.0), target_mm=(1.5, 0.8, 0.7))
    found, whole = (resample(one, axes, order=3, integral=False) for one in (holed, x))
    z, _, along_x = (axis.start + axis.step * np.arange(axis.count) for axis in axes)
    beside = (z > 6.0)[:, None, None] | (along_x > 29.0)[None, None, :] | np.zeros(found.shape, bool)
    np.testing.assert_array_equal(np.isnan(found), beside)
    # a voxel weighs 0.268 of what the one before it weighs
    far = (z < 2.0)[:, None, None] & (along_x < 20.0)[None, None, :] & ~beside
    np.testing.assert_allclose(found[far], whole[far], atol=0.2)
    assert np.abs(found - whole)[~beside].max() < 0.2 * np.abs(x).max()
    assert np.isnan(resample(np.full_like(x, np.nan), axes, order=3, integral=False)).all()


def test_a_missing_voxel_counts_where_it_weighs_in_alone():
    x = np.arange(4.0 * 9 * 9, dtype=np.float32).reshape(4, 9, 9)
    x[3] = x[:, :, 8] = np.nan
    axes = centred_grid(x.shape, spacing_mm=(2.0, 1.0, 1.0), target_mm=(0.0, 3.0, 3.0))
    # every third voxel, each on a voxel that was there
    np.testing.assert_array_equal(resample(x, axes, order=1, integral=False), x[:, 1::3, 1::3])
    np.testing.assert_array_equal(np.isnan(x[:3, 1::3, 1::3]), False)
