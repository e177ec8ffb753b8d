from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage.exposure import _adapthist, equalize_adapthist, equalize_hist

from medpipe.errors import Rejected
from medpipe.kernels.histogram import BINS, LEVELS, clahe, clahe_by_arrays, equalized, tile_shape


def image(shape, seed=5):
    """Return whole numbers of 16 bits, which scikit-image rounds as we do."""
    return np.random.default_rng(seed).gamma(2, 3000, shape).clip(0, 65535).astype(np.uint16)


def stretched(x):
    return (x - x.min()) / (x.max() - x.min())


def middle(place, size):
    """Return where a voxel lies among tiles whose maps stand in their middle."""
    return (place + 0.5) / size - 0.5


def as_scikit_image(place, size):
    """Return where scikit-image has it: half a voxel (edges that are even) or one (odd) further."""
    return (place + size // 2) / size - 1


def by_definition(x, tile, limit, at=middle):
    """Return CLAHE with scikit-image's own histograms and maps, placed in the middle of their tiles, before it is stretched."""
    levels = np.rint((x.astype(float) - x.min()) / (float(x.max()) - x.min()) * (LEVELS - 1)).astype(int)
    counts = [-(-size // k) for size, k in zip(x.shape, tile, strict=True)]
    ends = [(0, count * k - size) for size, k, count in zip(x.shape, tile, counts, strict=True)]
    bins = np.pad(levels // (1 + LEVELS // BINS), ends, mode="reflect")
    maps = np.empty((*counts, BINS))
    voxels = int(np.prod(tile))
    most = max(int(limit * voxels), 1) if limit else voxels
    for place in np.ndindex(*counts):
        part = bins[tuple(slice(p * k, (p + 1) * k) for p, k in zip(place, tile, strict=True))]
        found = _adapthist.clip_histogram(np.bincount(part.ravel(), minlength=BINS), most)
        maps[place] = _adapthist.map_histogram(found, 0, LEVELS - 1, voxels)
    where = [at(axis, k) for axis, k in zip(np.indices(x.shape), tile, strict=True)]
    inner = bins[tuple(slice(size) for size in x.shape)]
    return map_coordinates(maps, [*where, inner], order=1, mode="nearest")


@pytest.mark.parametrize("shape", [(1, 40, 33), (9, 21, 20)])
@pytest.mark.parametrize("limit", [0.01, 0.2])
def test_one_tile_is_what_scikit_image_makes_of_it(shape, limit):
    x = image(shape)
    found = clahe(x.astype(np.float32), tile=shape, limit=limit)
    # scikit-image cuts its result to whole levels of 16384
    np.testing.assert_allclose(found, equalize_adapthist(x, kernel_size=shape, clip_limit=limit), atol=1.1 / LEVELS)


@pytest.mark.parametrize(
    ("shape", "tile"), [((1, 40, 33), (1, 5, 8)), ((9, 21, 20), (4, 6, 20)), ((5, 12, 11), (1, 4, 3))]
)
@pytest.mark.parametrize("limit", [0.01, 0.1])
def test_maps_count_as_they_are_in_the_middle_of_their_tiles(shape, tile, limit):
    x = image(shape)
    found = clahe(x.astype(np.float32), tile=tile, limit=limit)
    np.testing.assert_allclose(found, stretched(by_definition(x, tile, limit)), atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_scikit_image_differs_by_where_it_places_the_maps_and_by_nothing_else(seed):
    # with small tiles a voxel is much of one: on most such shapes results are far apart, and theirs is the displaced one
    rng = np.random.default_rng(seed)
    shape = tuple(int(size) for size in rng.integers(5, 23, 3))  # a last axis of 3 or 4 would be colours to them
    tile = tile_shape(shape, tiles=rng.integers(1, 7, 3))
    limit = float(rng.choice([0.0, 0.01, 0.05]))
    x = image(shape, seed)
    found = clahe(x.astype(np.float32), tile=tile, limit=limit)
    other = equalize_adapthist(x, kernel_size=tile, clip_limit=limit)
    np.testing.assert_allclose(found, stretched(by_definition(x, tile, limit)), atol=1e-6)
    displaced = np.trunc(by_definition(x, tile, limit, at=as_scikit_image))
    # sums in float32, cut to whole levels
    np.testing.assert_allclose(other, stretched(displaced), atol=3 / LEVELS)


def test_with_tiles_of_one_slice_scikit_image_takes_the_map_of_the_slice_before():
    x = image((6, 48, 48))
    x[3:] //= 3
    found, other = (
        clahe(x.astype(np.float32), tile=(1, 48, 48), limit=0.01),
        equalize_adapthist(x, kernel_size=(1, 48, 48), clip_limit=0.01),
    )
    np.testing.assert_allclose(found, stretched(by_definition(x, (1, 48, 48), 0.01)), atol=1e-6)
    assert np.abs(found - other)[3].max() > 0.1


@pytest.mark.parametrize(
    ("shape", "tile"), [((1, 40, 33), (1, 50, 34)), ((1, 40, 33), (3, 100, 100)), ((9, 21, 20), (20, 30, 50))]
)
@pytest.mark.parametrize("limit", [0.0, 0.01, 0.2])
def test_a_tile_beyond_the_image_is_the_image_mirrored_as_scikit_image_has_it(shape, tile, limit):
    x = image(shape)
    found = clahe(x.astype(np.float32), tile=tile, limit=limit)
    np.testing.assert_allclose(found, equalize_adapthist(x, kernel_size=tile, clip_limit=limit), atol=1.1 / LEVELS)


@pytest.mark.parametrize(("shape", "tile"), [((1, 9, 8), (1, 1, 8)), ((5, 6, 7), (5, 1, 1)), ((1, 12, 13), (1, 1, 2))])
def test_tiles_of_a_single_voxel_along_an_axis_are_tiles_like_any(shape, tile):
    x = image(shape)
    np.testing.assert_allclose(
        clahe(x.astype(np.float32), tile=tile, limit=0.2), stretched(by_definition(x, tile, 0.2)), atol=1e-6
    )


@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 6, 7)])
@pytest.mark.parametrize("limit", [0.0, 0.01, 1.0])
def test_nothing_is_left_of_an_image_in_tiles_of_one_voxel(shape, limit):
    x = image(shape)
    # each voxel is the brightest of its tile
    with pytest.raises(Rejected, match="E_CONSTANT"):
        clahe(x.astype(np.float32), tile=(1, 1, 1), limit=limit)
    # scikit-image has something to show because its maps lie one voxel off: which voxels outshine a neighbour
    other = equalize_adapthist(x, kernel_size=1, clip_limit=limit)
    assert set(np.unique(other)) == {0.0, 1.0}


@pytest.mark.parametrize("tile", [(1, 5, 8), (4, 6, 20), (9, 21, 20)])
def test_the_loops_and_the_arrays_agree(tile):
    x = image((9, 21, 20)).astype(np.float32)
    x[3, 4, 5] = np.nan
    found = clahe(x, tile=tile, limit=0.02)
    low, high = float(np.nanmin(x)), float(np.nanmax(x))
    other = clahe_by_arrays(x, tile=tile, limit=0.02, low=low, high=high)
    least, most = np.nanmin(other), np.nanmax(other)
    np.testing.assert_allclose(found, (other - least) / (most - least), atol=1e-6)
    assert np.isnan(found).sum() == 1


def test_a_tile_without_a_voxel_does_not_darken_its_neighbours():
    x = image((1, 20, 20)).astype(np.float32)
    x[:, :10, :10] = np.nan
    found = clahe(x, tile=(1, 10, 10), limit=0.0)
    assert np.isfinite(found[:, 10:]).all()
    assert np.corrcoef(found[0, 10:, :].ravel(), x[0, 10:, :].ravel())[0, 1] > 0.7


def test_tiles_have_at_least_a_voxel():
    assert tile_shape((5, 512, 100), tiles=(8, 8, 3)) == (1, 64, 33)


def test_equalizing_equals_scikit_image():
    x = image((6, 14, 15)).astype(np.float32)
    np.testing.assert_allclose(equalized(x, np.ones(x.shape, bool)), equalize_hist(x), atol=1e-6)
    mask = x > 3000
    np.testing.assert_allclose(equalized(x, mask)[mask], equalize_hist(x, mask=mask)[mask], atol=1e-6)


@pytest.mark.parametrize(
    "made", [lambda x: clahe(x, tile=(2, 2, 2), limit=0.01), lambda x: equalized(x, np.ones(x.shape, bool))]
)
def test_what_does_not_vary_is_rejected(made):
    with pytest.raises(Rejected, match="E_CONSTANT"):
        made(np.full((3, 4, 5), 7, np.float32))
    with pytest.raises(Rejected, match="EMPTY_ROI"):
        made(np.full((3, 4, 5), np.nan, np.float32))
