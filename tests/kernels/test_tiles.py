from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.kernels.tiles import at_least, starts, tiled, weights, windows


def test_the_last_tile_is_shifted_to_the_end():
    assert starts(10, patch=4, overlap=0.5) == [0, 2, 4, 6]
    assert starts(11, patch=4, overlap=0.5) == [0, 2, 4, 6, 7]
    assert starts(4, patch=4, overlap=0.5) == [0]
    assert starts(9, patch=4, overlap=0.0) == [0, 4, 5]
    assert starts(6, patch=4, overlap=0.9) == [0, 1, 2]


@given(size=st.integers(1, 60), patch=st.integers(1, 20), overlap=st.floats(0, 0.9))
def test_tiles_cover_an_axis_without_a_gap_and_none_twice(size, patch, overlap):
    size = max(size, patch)
    found = starts(size, patch=patch, overlap=overlap)
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (0, size - patch)
    assert all(after - before <= patch for before, after in itertools.pairwise(found))


def test_the_weight_is_a_gaussian_of_an_eighth_of_the_tile_and_a_thousandth_at_least():
    found = weights((3, 4, 9))
    # along the even axis no voxel lies in the middle
    top = math.exp(-0.5)
    for z, y, x in itertools.product(range(3), range(4), range(9)):
        terms = [(z - 1) ** 2 / (0.375**2), (y - 1.5) ** 2 / 0.5**2, (x - 4) ** 2 / (1.125**2)]
        assert found[z, y, x] == pytest.approx(max(math.exp(-sum(terms) / 2), 1e-3 * top), rel=1e-6)


@pytest.mark.parametrize(("shape", "patch", "overlap"), [((5, 9, 11), (2, 4, 5), 0.5), ((3, 7, 8), (3, 4, 3), 0.3)])
def test_what_is_put_together_is_the_weighted_mean_of_the_tiles(shape, patch, overlap):
    rng = np.random.default_rng(4)
    answers = [rng.normal(size=patch).astype(np.float32) for _ in windows(shape, patch=patch, overlap=overlap)]
    given = iter(answers)
    found = tiled(shape, lambda _: next(given), patch=patch, overlap=overlap)
    over, under = np.zeros(shape), np.zeros(shape)
    for window, answer in zip(windows(shape, patch=patch, overlap=overlap), answers, strict=True):
        for offset in np.ndindex(*patch):
            place = tuple(side.start + one for side, one in zip(window, offset, strict=True))
            over[place] += float(weights(patch)[offset]) * float(answer[offset])
            under[place] += float(weights(patch)[offset])
    np.testing.assert_allclose(found, over / under, rtol=2e-5, atol=1e-6)


def test_what_each_tile_copies_comes_back_as_it_was():
    x = np.random.default_rng(1).normal(0, 500, (7, 12, 13)).astype(np.float32)
    found = tiled(x.shape, lambda window: x[window], patch=(4, 5, 6), overlap=0.5)
    np.testing.assert_allclose(found, x, rtol=1e-6)


def test_a_small_volume_grows_on_both_sides_to_a_tile():
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    whole, place = at_least(x, patch=(1, 4, 2), fill=None)
    assert whole.shape == (1, 4, 3)
    np.testing.assert_array_equal(whole[place], x)
    np.testing.assert_array_equal(whole[0], [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]])
    filled, place = at_least(x, patch=(2, 2, 4), fill=-9.0)
    np.testing.assert_array_equal(filled[place], x)
    assert (filled == -9).sum() == 16 - 6
    same, _ = at_least(x, patch=(1, 2, 3), fill=0.0)
    assert same is x
