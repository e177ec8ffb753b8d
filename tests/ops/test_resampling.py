from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.errors import ConfigError, Rejected
from medpipe.ops.resampling import Resample
from medpipe.types import Geometry, Volume

OBLIQUE = np.linalg.qr(np.array([[1.0, 0.2, 0.1], [-0.1, 1.0, 0.3], [0.2, -0.2, 1.0]]))[0]


def affine(spacing_mm, origin=(10.0, -20.0, 30.0), direction=OBLIQUE):
    matrix = np.eye(4)
    matrix[:3, :3] = direction * np.array(spacing_mm[::-1])
    matrix[:3, 3] = origin
    return tuple(matrix.reshape(-1).tolist())


def volume(shape=(8, 14, 15), spacing_mm=(3.0, 1.0, 0.9), **geometry):
    data = np.random.default_rng(4).normal(0, 100, shape).astype(np.float32)
    given = {"spacing_mm": spacing_mm, "affine_lps": affine(spacing_mm), **geometry}
    return Volume(data=data, geometry=Geometry(shape=shape, **given), unit="HU", modality="CT")


def as_sitk(given):
    image = sitk.GetImageFromArray(given.data)
    matrix = given.geometry.matrix
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing).reshape(-1).tolist())
    return image


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 2.0), (1.0, 0.7, 0.0)])
def test_voxels_are_where_the_affine_says(spacing_mm):
    given = volume()
    result = Resample(spacing_mm=spacing_mm)(given)
    expected = sitk.GetArrayFromImage(sitk.Resample(as_sitk(given), as_sitk(result), sitk.Transform(), sitk.sitkLinear))
    # SimpleITK has nothing beyond the outermost voxel centres.
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(result.data[inner], expected[inner], atol=1e-2)


def test_the_centre_of_the_image_stays():
    given = volume()
    result = Resample(spacing_mm=(2.0, 2.0, 2.0))(given)
    centres = []
    for geometry in (given.geometry, result.geometry):
        middle = [(size - 1) / 2 for size in reversed(geometry.shape)]
        centres.append(geometry.matrix @ np.array([*middle, 1.0]))
    np.testing.assert_allclose(centres[0], centres[1], atol=1e-9)
    assert result.geometry.shape == result.data.shape == (12, 7, 7)
    assert result.geometry.spacing_mm == pytest.approx((2.0, 2.0, 2.0))


def test_a_single_slice_keeps_its_slice_axis():
    result = Resample(spacing_mm=(1.0, 2.0, 2.0))(volume((1, 10, 12), (5.0, 1.0, 1.0)))
    assert result.data.shape == (1, 5, 6)
    assert result.geometry.spacing_mm == pytest.approx((5.0, 2.0, 2.0))


def test_an_image_without_position_keeps_none():
    result = Resample(spacing_mm=(0.0, 2.0, 2.0))(volume((1, 10, 12), (1.0, 1.0, 1.0), affine_lps=None))
    assert result.geometry.affine_lps is None


def test_without_spacing_it_is_rejected():
    unknown = replace(volume().geometry, spacing_mm=None)
    with pytest.raises(Rejected, match="E_SPACING"):
        Resample(spacing_mm=(1.0, 1.0, 1.0))(replace(volume(), geometry=unknown))


def test_uneven_slices_become_even_or_are_rejected_for_splines():
    positions = (0.0, 1.0, 4.0, 6.0)
    given = volume((4, 5, 6), (2.0, 1.0, 1.0), slice_positions_mm=positions)
    ramp = given.with_data(np.asarray(positions, np.float32)[:, None, None] * np.ones((4, 5, 6), np.float32))
    result = Resample(spacing_mm=(1.0, 0.0, 0.0))(ramp)
    assert result.geometry.slice_positions_mm is None
    np.testing.assert_allclose(np.diff(result.data[1:-1, 0, 0]), 1.0, atol=1e-5)
    with pytest.raises(Rejected, match="W_UNEVEN"):
        Resample(spacing_mm=(1.0, 1.0, 1.0), order=3)(ramp)
    kept = Resample(spacing_mm=(0.0, 2.0, 2.0), order=3)(ramp)
    assert kept.geometry.slice_positions_mm == positions


def test_frames_of_a_series_are_resampled_alike():
    data = np.random.default_rng(5).normal(size=(2, 4, 6, 8)).astype(np.float32)
    series = Volume(data=data, geometry=Geometry(shape=data.shape, axes="tzyx", spacing_mm=(2.0, 1.0, 1.0)))
    result = Resample(spacing_mm=(1.0, 2.0, 2.0))(series)
    assert result.data.shape == result.geometry.shape == (2, 8, 3, 4)


def test_rounding_gives_whole_numbers():
    result = Resample(spacing_mm=(2.0, 2.0, 2.0), round=True)(volume())
    np.testing.assert_array_equal(result.data, np.rint(result.data))


def test_at_least_one_axis_must_change():
    with pytest.raises(ConfigError, match="at least one"):
        Resample(spacing_mm=(0.0, 0.0, 0.0))


def test_a_mask_goes_with_its_image_by_the_rule_of_one_half():
    given = volume((6, 9, 8), (2.0, 1.5, 1.0))
    mask = np.random.default_rng(7).random((6, 9, 8)) < 0.5
    op = Resample(spacing_mm=(1.3, 1.0, 2.2), order=3)
    carried = op.carry(mask, given.with_data(None))
    linear = Resample(spacing_mm=(1.3, 1.0, 2.2))(given.with_data(mask.astype(np.float32))).data
    np.testing.assert_array_equal(carried, linear >= 0.5 - 1e-6)
    assert carried.dtype == bool
    assert carried.shape == op(given).geometry.shape


def test_the_mask_of_an_uneven_stack_lies_on_its_even_grid():
    given = volume((4, 5, 6), (2.0, 1.0, 1.0), slice_positions_mm=(0.0, 1.0, 4.0, 6.0))
    mask = np.zeros((4, 5, 6), bool)
    mask[2] = True
    carried = Resample(spacing_mm=(1.0, 0.0, 0.0)).carry(mask, given.with_data(None))
    # the slice at 4 mm reaches half-way to those at 1 and 6 mm; planes stand from -0.5 to 6.5 mm
    np.testing.assert_array_equal(np.flatnonzero(carried[:, 0, 0]), [3, 4, 5])
