from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.kernels.affine import TOLERANCE, affine_sample, sample_by_planes
from medpipe.kernels.placement import corners_mm, overlap, shift_mm, turn_deg, voxel_to_voxel
from tests.ops.heads import head, motion

BODIES = {"compiled": affine_sample, "by planes": sample_by_planes}
TURN = motion((0.2, -0.1, 0.3), (4.0, -3.0, 5.0))


def image(shape=(9, 14, 17), seed=3):
    return np.random.default_rng(seed).normal(50, 20, shape).astype(np.float32)


def itk(volume):
    found = sitk.GetImageFromArray(volume.data)
    found.SetSpacing(volume.geometry.spacing_mm[::-1])
    found.SetOrigin(volume.geometry.matrix[:3, 3].tolist())
    return found


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_equal_grid_gives_equal_bits(body):
    x = image()
    x[2, 3, 4] = np.nan
    nearly = np.eye(4)[:3] + np.random.default_rng(1).uniform(-1e-9, 1e-9, (3, 4))
    assert body(x, matrix=nearly, shape=x.shape).tobytes() == x.tobytes()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_half_way_between_two_voxels_is_their_mean_and_beyond_the_last_half_voxel_nothing(body):
    x = np.array([[[1.0, 3.0, 7.0]]], np.float32)
    matrix = np.eye(4)[:3]
    matrix[2] = [0, 0, 0.5, -1.0]  # -1, -1/2, 0, 1/2, 1, 3/2, 2, 5/2, 3
    found = body(x, matrix=matrix, shape=(1, 1, 9))[0, 0]
    np.testing.assert_array_equal(found, np.array([np.nan, 1, 1, 2, 3, 5, 7, 7, np.nan], np.float32))


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_missing_voxel_is_missing_only_where_it_weighs_in(body):
    x = np.array([[[1.0, np.nan, 7.0, 9.0]]], np.float32)
    matrix = np.eye(4)[:3]
    matrix[2, 2] = 0.5
    found = body(x, matrix=matrix, shape=(1, 1, 7))[0, 0]
    np.testing.assert_array_equal(found, np.array([1, np.nan, np.nan, np.nan, 7, 8, 9], np.float32))


def test_an_oblique_grid_equals_simpleitk():
    fixed, moving = head((12, 20, 18), (5.0, 3.0, 4.0)), head((15, 22, 16), (4.0, 4.0, 6.0), seed=2)
    transform = sitk.AffineTransform(TURN[:3, :3].reshape(-1).tolist(), TURN[:3, 3].tolist())
    expected = sitk.GetArrayFromImage(sitk.Resample(itk(moving), itk(fixed), transform, sitk.sitkLinear, np.nan))
    matrix = voxel_to_voxel(fixed.geometry.matrix, moving.geometry.matrix, between=TURN)
    for body in BODIES.values():
        found = body(moving.data, matrix=matrix, shape=fixed.data.shape)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        np.testing.assert_allclose(found, expected, atol=2e-3)
    assert 0.05 < np.isnan(expected).mean() < 0.9


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 6)] * 3), st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 2**32 - 1))
def test_both_bodies_agree(shape, wanted, seed):
    rng = np.random.default_rng(seed)
    x = image(shape, seed)
    x[rng.random(shape) < 0.1] = np.nan
    matrix = np.eye(4)[:3] + rng.normal(0, 0.4, (3, 4))
    one, other = (body(x, matrix=matrix, shape=wanted) for body in BODIES.values())
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    np.testing.assert_allclose(one, other, atol=TOLERANCE * 200)


def test_scaling_before_and_after_is_the_same():
    x = np.abs(image())
    matrix = np.eye(4)[:3] + np.random.default_rng(7).normal(0, 0.1, (3, 4))
    after = affine_sample(x, matrix=matrix, shape=(8, 12, 12)) * np.float32(0.0123)
    before = affine_sample(x * np.float32(0.0123), matrix=matrix, shape=(8, 12, 12))
    assert np.isfinite(after).any()
    np.testing.assert_allclose(before, after, rtol=1e-6)


def test_a_map_is_told_by_its_angle_and_by_how_far_it_moves_a_point():
    assert turn_deg(motion((0.0, 0.0, 0.25))) == pytest.approx(np.degrees(0.25))
    assert turn_deg(motion((np.pi, 0.0, 0.0))) == pytest.approx(180.0)
    assert turn_deg(np.eye(4)) == 0.0
    assert shift_mm(motion((0.0, 0.0, np.pi / 2)), np.array([1.0, 0.0, 5.0])) == pytest.approx(np.sqrt(2))


def test_overlap_is_the_share_of_the_smaller_grid():
    unit = np.eye(4)[:3]
    shifted = unit.copy()
    shifted[2, 3] = 5.0
    back = unit.copy()
    back[2, 3] = -5.0
    assert overlap((4, 4, 10), (4, 4, 10), there=unit, back=unit) == 1.0
    assert overlap((4, 4, 10), (4, 4, 10), there=shifted, back=back) == pytest.approx(0.5, abs=0.05)
    assert overlap((2, 2, 2), (40, 40, 40), there=unit, back=unit) == 1.0
    far = unit.copy()
    far[2, 3] = 50.0
    gone = unit.copy()
    gone[2, 3] = -50.0
    assert overlap((4, 4, 10), (4, 4, 10), there=far, back=gone) == 0.0


def test_corners_are_those_of_the_grid():
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    found = corners_mm(affine, (5, 3, 2))
    assert {tuple(corner) for corner in found} == {(x, y, z) for x in (0, 2) for y in (0, 6) for z in (0, 16)}
