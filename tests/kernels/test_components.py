from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medpipe.kernels import components
from medpipe.kernels.components import (
    closing,
    dilation,
    enclosed_components,
    erosion,
    fill_holes,
    fill_slice_holes,
    largest_component,
)
from medpipe.kernels.components import opening as opening_mm

MASKS = hnp.arrays(bool, (4, 6, 7))
SPACING_MM = (2.5, 1.0, 0.8)
RADIUS = st.sampled_from([0.5, 1.0, 2.0, 2.5, 3.3])


def ellipsoid(radius_mm, spacing_mm):
    half = [int(radius_mm / step + 1e-9) for step in spacing_mm]
    grid = np.meshgrid(*[np.arange(-n, n + 1) * step for n, step in zip(half, spacing_mm, strict=True)], indexing="ij")
    return sum(axis**2 for axis in grid) <= radius_mm**2 * (1 + 1e-9)


def blobs(seed, shape=(6, 24, 30)):
    return ndi.gaussian_filter(np.random.default_rng(seed).random(shape), 1.2) > 0.5


def test_the_larger_of_two_boxes_stays():
    mask = np.zeros((3, 8, 8), bool)
    mask[0, :2, :2] = True
    mask[:, 4:7, 4:7] = True
    expected = mask.copy()
    expected[0, :2, :2] = False
    np.testing.assert_array_equal(largest_component(mask), expected)


@pytest.mark.parametrize("spacing_mm", [(1e-300, 1e-300, 1e-300), (1.0, 1e-9, 1e-9)])
def test_a_radius_of_more_voxels_than_the_array_has_costs_no_more_than_the_array(spacing_mm):
    mask = np.zeros((1, 6, 7), bool)
    mask[0, 2, 3] = True
    assert dilation(mask, radius_mm=2.0, spacing_mm=spacing_mm).all()


def test_corners_touch():
    mask = np.zeros((2, 2, 2), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    np.testing.assert_array_equal(largest_component(mask), mask)


def test_no_component_of_an_empty_mask():
    assert not largest_component(np.zeros((2, 3, 4), bool)).any()


@settings(max_examples=30, deadline=None)
@given(MASKS)
def test_the_largest_component_is_scipys(mask):
    labels, count = ndi.label(mask, np.ones((3, 3, 3)))
    sizes = [(labels == label).sum() for label in range(1, count + 1)]
    assert largest_component(mask).sum() == max(sizes, default=0)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_slices_are_filled_as_scipy_fills_them(mask):
    expected = np.stack([ndi.binary_fill_holes(plane) for plane in mask])
    np.testing.assert_array_equal(fill_slice_holes(mask), expected)


@settings(max_examples=40, deadline=None)
@given(MASKS, RADIUS)
def test_a_dilation_is_scipys_with_the_ellipsoid(mask, radius_mm):
    expected = ndi.binary_dilation(mask, ellipsoid(radius_mm, SPACING_MM))
    np.testing.assert_array_equal(dilation(mask, radius_mm=radius_mm, spacing_mm=SPACING_MM), expected)


@settings(max_examples=40, deadline=None)
@given(MASKS, RADIUS)
def test_an_erosion_is_scipys_with_the_body_going_on_outside(mask, radius_mm):
    expected = ndi.binary_erosion(mask, ellipsoid(radius_mm, SPACING_MM), border_value=1)
    np.testing.assert_array_equal(erosion(mask, radius_mm=radius_mm, spacing_mm=SPACING_MM), expected)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_holes_of_a_volume_are_filled_as_scipy_fills_them(mask):
    np.testing.assert_array_equal(fill_holes(mask), ndi.binary_fill_holes(mask))


def test_holes_of_a_single_slice_are_those_within_it():
    ring = np.zeros((1, 7, 7), bool)
    ring[0, 1:6, 1:6] = True
    ring[0, 3, 3] = False
    assert fill_holes(ring)[0, 3, 3]
    assert fill_holes(ring).sum() == 25


@pytest.mark.parametrize("radius_mm", [0.5, 1.0, 2.0, 2.5, 4.0])
def test_an_opening_is_scipys_with_the_body_going_on_outside(radius_mm):
    mask, structure = blobs(20), ellipsoid(radius_mm, SPACING_MM)
    expected = ndi.binary_dilation(ndi.binary_erosion(mask, structure, border_value=1), structure)
    np.testing.assert_array_equal(opening_mm(mask, radius_mm=radius_mm, spacing_mm=SPACING_MM), expected)


@pytest.mark.parametrize("radius_mm", [1.0, 2.5, 4.0])
def test_a_closing_is_scipys_on_a_padded_mask(radius_mm):
    mask, structure = blobs(21), ellipsoid(radius_mm, SPACING_MM)
    padded = np.pad(mask, 8)
    expected = ndi.binary_closing(padded, structure)[8:-8, 8:-8, 8:-8]
    np.testing.assert_array_equal(closing(mask, radius_mm=radius_mm, spacing_mm=SPACING_MM), expected)


def test_a_single_slice_is_not_eaten_along_z():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 4:16, 4:16] = True
    opened = opening_mm(mask, radius_mm=3.0, spacing_mm=(1.0, 1.0, 1.0))
    # Only the corners are rounded off.
    assert opened.sum() > 0.8 * mask.sum()


def test_enclosed_components_leave_out_what_reaches_the_border_or_is_small():
    mask = np.zeros((3, 12, 12), bool)
    mask[:, 0:4, 0:4] = True
    mask[:, 6:10, 6:10] = True
    mask[1, 2, 8] = True
    expected = np.zeros_like(mask)
    expected[:, 6:10, 6:10] = True
    np.testing.assert_array_equal(enclosed_components(mask, least_voxels=2, at_most=2), expected)
    assert not enclosed_components(mask, least_voxels=100, at_most=2).any()
    assert not enclosed_components(np.zeros_like(mask), least_voxels=0, at_most=2).any()


def enclosed(mask):
    return enclosed_components(mask, least_voxels=2, at_most=3)


@pytest.mark.parametrize("kernel", [largest_component, fill_slice_holes, enclosed])
def test_slabs_change_nothing(monkeypatch, kernel):
    mask = np.random.default_rng(8).random((40, 12, 13)) < 0.3
    whole = kernel(mask)
    monkeypatch.setattr(components, "_LEAST_SLAB_VOXELS", 1)
    assert whole.any()
    np.testing.assert_array_equal(kernel(mask), whole)
