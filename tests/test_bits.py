from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medpipe.bits import Bits, join
from medpipe.keys import array_digest
from medpipe.types import Region
from medpipe.work.measure import mask_digest

SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, max_side=7)
MASKS = SHAPES.flatmap(lambda shape: hnp.arrays(np.bool_, shape, elements=st.booleans()))


@given(mask=MASKS)
def test_a_mask_comes_back_whole_with_its_box_count_and_digest(mask):
    bits = Bits.of(mask)
    assert np.array_equal(bits.whole(), mask)
    assert bits.n_voxels == int(mask.sum())
    assert mask_digest(bits) == array_digest(mask)
    if mask.any():
        places = np.argwhere(mask)
        assert bits.start == tuple(places.min(axis=0))
        assert [side.stop for side in bits.box] == (places.max(axis=0) + 1).tolist()
        assert np.array_equal(bits.inside, mask[bits.box])
    else:
        assert bits.box is None
        assert not bits.inside.size


@given(mask=MASKS, data=st.data())
def test_a_window_is_that_part_of_the_mask(mask, data):
    sides = []
    for size in mask.shape:
        low = data.draw(st.integers(0, size))
        sides.append(slice(low, data.draw(st.integers(low, size))))
    assert np.array_equal(Bits.of(mask).within(tuple(sides)), mask[tuple(sides)])


@given(mask=MASKS)
def test_a_part_at_its_place_is_the_mask(mask):
    wide = np.pad(mask, ((2, 1), (0, 3), (1, 1)))
    assert Bits.of(mask, start=(2, 0, 1), shape=wide.shape) == Bits.of(wide)


@given(shape=SHAPES, data=st.data())
def test_joined_masks_are_set_where_any_is(shape, data):
    masks = [data.draw(hnp.arrays(np.bool_, shape)) for _ in range(3)]
    assert np.array_equal(join([Bits.of(mask) for mask in masks]).whole(), np.logical_or.reduce(masks))


@given(mask=MASKS)
def test_a_border_is_touched_where_an_outermost_plane_is_set(mask):
    expected = any(
        mask.shape[axis] > 1 and (mask.take(0, axis).any() or mask.take(-1, axis).any()) for axis in range(3)
    )
    assert Bits.of(mask).touches_border() == expected


def test_a_region_holds_a_bit_for_each_voxel_of_its_box():
    mask = np.zeros((100, 200, 200), bool)
    mask[10:30, 40:80, 50:90] = True
    region = Region(mask=mask, name="body")
    assert len(region.bits.packed) == 20 * 40 * 40 // 8
    assert region.mask.dtype == bool
    assert np.array_equal(region.mask, mask)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_not_zero_is_set(dtype):
    values = np.array([[[0, 2], [0, 0]], [[1, 0], [3, 0]]], dtype)
    assert np.array_equal(Bits.of(values).whole(), values != 0)
