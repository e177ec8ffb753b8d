from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.kernels import labels
from medpipe.kernels.labels import BlockLabels, blocks_of, chosen_components, structure

NEIGHBOURS = [6, 18, 26]


def labelled(mask, blocks, neighbours):
    """Return the components of a mask whose blocks come in an order."""
    seen = BlockLabels(mask.shape, neighbours=neighbours)
    parts = []
    for block in blocks:
        before = seen.count
        parts.append((block, before, seen.add(mask[block], block)))
    joined = seen.joined()
    result = np.zeros(mask.shape, int)
    for block, before, found in parts:
        result[block] = joined.numbers[np.where(found > 0, found + before, 0)]
    assert seen._planes == {}
    np.testing.assert_array_equal(joined.sizes[1:], np.bincount(result.ravel(), minlength=joined.count + 1)[1:])
    return result


def label_in_blocks(mask, *, block, neighbours):
    return labelled(mask, blocks_of(mask.shape, block), neighbours)


@st.composite
def masks_and_blocks(draw):
    shape = tuple(draw(st.integers(1, 9)) for _ in range(3))
    block = tuple(draw(st.integers(1, 5)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    return rng.random(shape) < draw(st.sampled_from([0.1, 0.3, 0.5, 0.7])), block


@settings(max_examples=80, deadline=None)
@given(masks_and_blocks(), st.sampled_from(NEIGHBOURS))
def test_labels_of_any_blocks_are_scipys_of_the_whole(case, neighbours):
    mask, block = case
    expected, _ = ndi.label(mask, structure(neighbours))
    np.testing.assert_array_equal(label_in_blocks(mask, block=block, neighbours=neighbours), expected)


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
def test_the_order_in_which_blocks_come_changes_nothing(neighbours):
    mask = np.random.default_rng(3).random((7, 9, 8)) < 0.35
    expected, _ = ndi.label(mask, structure(neighbours))
    blocks = list(blocks_of(mask.shape, (3, 4, 5)))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(blocks))
        np.testing.assert_array_equal(labelled(mask, [blocks[place] for place in order], neighbours), expected)


def test_a_snake_through_all_blocks_is_one():
    mask = np.zeros((8, 8, 8), bool)
    mask[::2, ::2, :] = True
    mask[::2, 1::4, 0] = mask[::2, 3::4, 7] = True
    mask[1::4, 0, 0] = mask[3::4, 6, 0] = True
    assert label_in_blocks(mask, block=(1, 1, 1), neighbours=6).max() == ndi.label(mask)[1]


@pytest.mark.parametrize(("neighbours", "step", "is_one"), [
    (6, (1, 0, 0), True), (6, (0, 1, 1), False), (18, (1, 0, 1), True),
    (18, (1, 1, 1), False), (26, (1, 1, 1), True), (26, (1, -1, 1), True),
])  # fmt: skip
def test_neighbours_touch_across_the_corner_of_four_blocks(neighbours, step, is_one):
    mask = np.zeros((4, 4, 4), bool)
    first = tuple(1 if n >= 0 else 2 for n in step)
    mask[first] = mask[tuple(a + n for a, n in zip(first, step, strict=True))] = True
    assert label_in_blocks(mask, block=(2, 2, 2), neighbours=neighbours).max() == (1 if is_one else 2)


@settings(max_examples=30, deadline=None)
@given(masks_and_blocks(), st.sampled_from(NEIGHBOURS), st.integers(1, 6))
def test_components_are_chosen_by_their_whole_size(case, neighbours, least):
    mask, (slab, _, _) = case
    found, _ = ndi.label(mask, structure(neighbours))
    sizes = np.bincount(found.ravel())
    sizes[0] = 0
    expected = (sizes >= least)[found]
    result = chosen_components(mask, lambda all_sizes: all_sizes >= least, neighbours=neighbours, slab=slab)
    np.testing.assert_array_equal(result, expected)


def test_background_is_never_chosen():
    mask = np.random.default_rng(1).random((5, 6, 7)) < 0.4
    result = chosen_components(mask, lambda sizes: np.ones(len(sizes), bool), neighbours=26)
    np.testing.assert_array_equal(result, mask)
    assert not chosen_components(np.zeros((2, 3, 4), bool), lambda s: np.ones(len(s), bool), neighbours=6).any()


def test_both_ways_to_measure_labels_agree():
    found, count = ndi.label(np.random.default_rng(2).random((9, 10, 11)) < 0.2)
    loop, by_sorting = labels._measured(found, count), labels._measured_by_sorting(found)
    for one, other in zip(loop, by_sorting, strict=True):
        np.testing.assert_array_equal(one, other)
