"""Steps on regions, in mm and ml on grids whose voxels are no cubes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.components import closing
from medpipe.ops.regions import Close, Dilate, DropBelow, Erode, FillHoles, KeepLargest, Open
from medpipe.ops.registry import make
from medpipe.types import Geometry

SPACING_MM = (3.0, 1.5, 1.0)
SHAPE = (21, 41, 61)
GEOMETRY = Geometry(shape=SHAPE, spacing_mm=SPACING_MM)
BARE = Geometry(shape=SHAPE)


def ball(radius_mm, centre=(10, 20, 30)):
    steps = zip(np.indices(SHAPE), centre, SPACING_MM, strict=True)
    return sum(((axis - at) * step) ** 2 for axis, at, step in steps) <= radius_mm**2 * (1 + 1e-9)


def test_a_ball_grows_and_shrinks_by_millimetres():
    voxel = ball(0.5)
    assert voxel.sum() == 1
    np.testing.assert_array_equal(Dilate(radius_mm=9.0)(voxel, GEOMETRY), ball(9.0))
    worn = Erode(radius_mm=6.0)(ball(15.0), GEOMETRY)
    # on a grid a worn ball is no smaller than the ball of the difference
    assert (worn >= ball(9.0)).all()
    assert not (worn & ~ball(10.5)).any()


def test_what_is_thin_is_opened_away_and_what_is_narrow_closed():
    mask = ball(12.0)
    mask[10, 20, 42:58] = True
    assert not Open(radius_mm=3.0)(mask, GEOMETRY)[10, 20, 48:].any()
    split = ball(12.0)
    split[:, 20, :] = False
    assert Close(radius_mm=3.0)(split, GEOMETRY)[10, 20, 25:36].all()


def test_where_the_image_ends_a_region_goes_on():
    everything = np.ones(SHAPE, bool)
    for step in (Erode(radius_mm=9.0), Open(radius_mm=9.0)):
        assert step(everything, GEOMETRY).all()


def test_holes_are_those_of_slices_or_of_the_volume():
    shell = ball(15.0) & ~ball(9.0)
    np.testing.assert_array_equal(FillHoles(of="volume")(shell, GEOMETRY), ball(15.0))
    tube = shell & (np.indices(SHAPE)[0] == 10)
    assert FillHoles()(tube, GEOMETRY)[10, 20, 30]
    assert not FillHoles(of="volume")(tube, GEOMETRY)[10, 20, 30]


def test_the_largest_stay_and_of_equal_ones_the_first():
    mask = np.zeros(SHAPE, bool)
    mask[0:2, 0:2, 0:2] = mask[5:7, 5:7, 5:7] = mask[12:15, 12:15, 12:15] = True
    assert KeepLargest()(mask, GEOMETRY).sum() == 27
    two = KeepLargest(count=2)(mask, GEOMETRY)
    assert two.sum() == 27 + 8
    assert two[0, 0, 0]
    np.testing.assert_array_equal(KeepLargest(count=9)(mask, GEOMETRY), mask)


def test_neighbours_decide_what_is_one():
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert KeepLargest()(mask, GEOMETRY).sum() == 2
    assert KeepLargest(neighbours=6)(mask, GEOMETRY).sum() == 1


def test_small_parts_are_dropped_by_millilitres():
    mask = np.zeros(SHAPE, bool)
    mask[0:2, 0:10, 0:10] = True  # 200 voxels of 4.5 mm3 are 0.9 ml
    mask[10:12, 20:31, 20:30] = True  # 220 are 0.99 ml
    np.testing.assert_array_equal(DropBelow(ml=0.9)(mask, GEOMETRY), mask)
    assert DropBelow(ml=0.95)(mask, GEOMETRY).sum() == 220
    assert not DropBelow(ml=1.0)(mask, GEOMETRY).any()


@pytest.mark.parametrize(
    "step", [Erode(radius_mm=1.0), Dilate(radius_mm=1.0), Open(radius_mm=1.0), Close(radius_mm=1.0), DropBelow(ml=1.0)]
)
def test_millimetres_need_a_spacing(step):
    with pytest.raises(Rejected, match="E_SPACING"):
        step(ball(9.0), BARE)


@pytest.mark.parametrize("step", [FillHoles(), KeepLargest()])
def test_voxels_need_none(step):
    np.testing.assert_array_equal(step(ball(9.0), BARE), ball(9.0))


@pytest.mark.parametrize(("neighbours", "share"), [(6, 0.2), (18, 0.06), (26, 0.06)])
def test_the_components_of_a_mask_of_noise_are_in_the_stated_memory(neighbours, share):
    geometry = Geometry(shape=(40, 200, 200), spacing_mm=(1.0, 1.0, 1.0))
    mask = np.random.default_rng(5).random(geometry.shape) < share
    step = KeepLargest(neighbours=neighbours)
    step(mask[:2, :4, :4], geometry)  # compiled
    tracemalloc.start()
    try:
        step(mask, geometry)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= step.memory(geometry) <= 3 * peak


@pytest.mark.parametrize("source", ["close", "brain", "lungs"])
def test_closing_states_the_masks_that_reach_over_the_borders(source):
    # a radius of many voxels: what is beyond the borders is most of what is worked on
    shape, spacing_mm = (5, 12, 14), (0.5, 0.2, 0.2)
    affine = (0.2, 0.0, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry(shape=shape, spacing_mm=spacing_mm, affine_lps=affine)
    mask = np.random.default_rng(2).random(shape) > 0.5
    op = Close(radius_mm=6.0) if source == "close" else make("regions", {"op": source, "closing_mm": 6.0}, "here")
    tracemalloc.start()
    closing(mask, radius_mm=6.0, spacing_mm=spacing_mm)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mask.size * 100 < peak <= op.memory(geometry)


def test_a_radius_beyond_any_body_is_no_parameter():
    with pytest.raises(ConfigError, match="is above 200"):
        make("steps", {"op": "close", "radius_mm": 1e9}, "here")
    for source, name in (("canny", "sigma_mm"), ("edges", "sigma_mm"), ("watershed", "sigma_mm"), ("brain", "wear_mm")):
        with pytest.raises(ConfigError, match="is above 100"):
            make("regions", {"op": source, name: 1e9}, "here")
