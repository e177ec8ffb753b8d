"""The bodies by array operations, on NumPy arrays, beside the compiled ones: counts are identical."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_cdt

from medpipe.errors import Rejected
from medpipe.kernels import autocorrelation, glcm, glrlm, local_intensity, neighbours, ranks, zones
from medpipe.kernels.device import autocorrelation as fourier
from medpipe.kernels.device import neighbours as around
from medpipe.kernels.device import pairs, peaks, places, runs
from medpipe.kernels.device import zones as labelled
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D, ranks_of
from medpipe.kernels.sums import sum_by_arrays, sum_of

SPACING_MM = (2.5, 1.0, 0.8)


def _noise(shape, n_levels, outside, *, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < outside, 0, rng.integers(1, n_levels + 1, shape))


def _corridor():
    """A way of one level, one voxel wide, there and back again through a box of another one."""
    levels = np.full((5, 9, 11), 7)
    levels[::2, ::2] = 3
    levels[::2, 1::4, -1] = levels[::2, 3::4, 0] = levels[1, 0, 0] = levels[3, 8, 10] = 3
    return levels


def _two_bodies():
    levels = np.zeros((6, 8, 9), dtype=int)
    levels[1:3, 1:4, 1:4], levels[4:, 5:, 6:] = 5, [[[1, 5, 5], [5, 1, 5], [5, 5, 1]]] * 2
    return levels


LEVELS = {
    "one voxel": np.array([[[4]]]),
    "two far from each other": np.array([[[2, 0, 0, 0, 9]]]),
    "a plane": _noise((1, 9, 7), 4, 0.2, seed=1),
    "a row": _noise((1, 1, 13), 3, 0.0, seed=2),
    "a column": _noise((11, 1, 1), 2, 0.2, seed=3),
    "one level": np.ones((4, 5, 6), dtype=int),
    "two levels": _noise((6, 7, 8), 2, 0.3, seed=4),
    "with holes": _noise((5, 12, 9), 6, 0.7, seed=5),
    "whole": _noise((7, 6, 10), 12, 0.0, seed=6),
    "three hundred levels": _noise((8, 9, 10), 300, 0.1, seed=7),
    "levels far apart": _noise((4, 6, 6), 5, 0.3, seed=8) * 40_000_000,
    "long zones": _corridor(),
    "several components": _two_bodies(),
    "empty slices": np.pad(_noise((2, 5, 5), 3, 0.2, seed=9), ((2, 1), (0, 0), (0, 0))),
}


@pytest.fixture(params=[1 << 20, 7], ids=["at once", "in parts"])
def at_once(request, monkeypatch):
    for module in (places, runs, labelled):
        monkeypatch.setattr(module, "AT_ONCE", request.param)
    for module in (places, labelled):
        monkeypatch.setattr(module, "CELLS_AT_ONCE", 40 * request.param)
    monkeypatch.setattr(ranks, "_AT_ONCE", request.param)


@pytest.fixture(params=LEVELS)
def levels(request):
    return LEVELS[request.param]


def test_ranks_are_identical(levels, at_once):
    expected, found = ranks_of(levels), ranks.ranks_by_arrays(levels)
    assert found.padded.dtype == np.uint16
    np.testing.assert_array_equal(found.padded, expected.padded)
    np.testing.assert_array_equal(found.levels, expected.levels)


def test_more_levels_than_a_matrix_holds_are_refused():
    with pytest.raises(Rejected, match="E_LEVELS"):
        ranks.ranks_by_arrays(np.arange(1, ranks.MAX_LEVELS + 2).reshape(1, 1, -1))


@pytest.mark.parametrize("directions", [DIRECTIONS_2D, DIRECTIONS_3D], ids=["in slices", "in space"])
def test_pairs_runs_and_neighbourhoods_are_counted_alike(levels, at_once, directions):
    of = ranks_of(levels)
    given = {"n_levels": of.levels.size, "directions": directions}
    np.testing.assert_array_equal(pairs.cooccurrences(of.padded, **given), glcm.cooccurrences(of.padded, **given))
    np.testing.assert_array_equal(runs.run_lengths(of.padded, **given), glrlm.run_lengths(of.padded, **given))
    expected = neighbours.neighbourhoods(of.padded, of.levels, directions=directions)
    found = around.neighbourhoods(of.padded, of.levels, directions=directions)
    _same_neighbourhoods(found, expected)


def test_slices_are_counted_alike(levels, at_once):
    of = ranks_of(levels)
    given = {"n_levels": of.levels.size, "directions": DIRECTIONS_2D}
    planes = [of.padded[z : z + 1] for z in range(1, len(levels) + 1)]
    for plane, found in zip(planes, pairs.cooccurrences_by_slice(of.padded, **given), strict=True):
        np.testing.assert_array_equal(found, glcm.cooccurrences(plane, **given))
    for plane, (found, voxels) in zip(planes, runs.run_lengths_by_slice(of.padded, **given), strict=True):
        assert voxels == np.count_nonzero(plane)
        np.testing.assert_array_equal(found, glrlm.run_lengths(plane, **given))
    counted = around.neighbourhoods_by_slice(of.padded, of.levels, directions=DIRECTIONS_2D)
    for plane, found in zip(planes, counted, strict=True):
        _same_neighbourhoods(found, neighbours.neighbourhoods(plane, of.levels, directions=DIRECTIONS_2D))


def _same_neighbourhoods(found, expected):
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    np.testing.assert_array_equal(found.dependence, expected.dependence)
    np.testing.assert_allclose(found.difference, expected.difference, rtol=1e-12)


@pytest.mark.parametrize("in_slices", [False, True], ids=["in space", "in slices"])
def test_zones_are_counted_alike(levels, at_once, in_slices):
    of = ranks_of(levels)
    n_levels = of.levels.size
    # the region has more voxels than those whose intensity counts
    mask = (levels > 0) | (np.random.default_rng(3).random(levels.shape) < 0.4)
    expected = zones.zones_of(of.padded, mask, in_slices=in_slices)
    listed = labelled.zones_of(of.padded, mask, in_slices=in_slices)
    (found,) = labelled.matrices_of(listed, n_levels=n_levels, by_slice=False)
    for mine, theirs in zip(found, zones.zone_matrices(expected, n_levels=n_levels), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    if not in_slices:
        return
    every = list(zones._slices(expected, of.padded.shape))[1:-1]
    for one, found in zip(every, labelled.matrices_of(listed, n_levels=n_levels, by_slice=True), strict=True):
        _same_but_for_empty_columns(found, zones.zone_matrices(one, n_levels=n_levels))


def _same_but_for_empty_columns(found, expected):
    assert found.n_voxels == expected.n_voxels
    by_size = np.zeros_like(found.by_size)
    by_size[:, np.searchsorted(found.sizes, expected.sizes)] = expected.by_size
    np.testing.assert_array_equal(found.by_size, by_size)
    farthest = expected.by_distance.shape[1]
    np.testing.assert_array_equal(found.by_distance[:, :farthest], expected.by_distance)
    assert not found.by_distance[:, farthest:].any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 30, 41), (17, 16, 15), (40, 3, 9)])
def test_distances_are_those_of_scipy(shape):
    mask = np.random.default_rng(5).random(shape) < 0.97
    padded = np.pad(mask, 1)
    found = labelled.distances_out(mask, in_slices=False).reshape(padded.shape)
    np.testing.assert_array_equal(found, distance_transform_cdt(padded, metric="taxicab"))
    found = labelled.distances_out(mask, in_slices=True).reshape(padded.shape)
    for plane, expected in zip(found[1:-1], padded[1:-1], strict=True):
        np.testing.assert_array_equal(plane, distance_transform_cdt(expected, metric="taxicab"))


def test_a_zone_that_winds_through_a_box_is_one():
    levels = _corridor()
    listed = labelled.zones_of(ranks_of(levels).padded, levels > 0, in_slices=False)
    first = listed.sizes[listed.roots == listed.roots.min()]
    assert int(first[0]) == np.count_nonzero(levels == 3)


@pytest.mark.parametrize("shape", [(1, 6, 5), (7, 8, 9), (5, 1, 1), (3, 17, 4)])
def test_autocorrelation_agrees(shape, monkeypatch):
    monkeypatch.setattr(fourier, "CELLS_AT_ONCE", 500)
    rng = np.random.default_rng(6)
    image, mask = rng.normal(100, 20, shape).astype(np.float32), rng.random(shape) < 0.7
    expected = autocorrelation.moran_geary(image, mask, spacing_mm=SPACING_MM)
    assert fourier.moran_geary(image, mask, spacing_mm=SPACING_MM) == pytest.approx(expected, rel=1e-9)


def test_what_does_not_vary_has_no_autocorrelation():
    image, mask = np.full((3, 4, 5), 7.0, dtype=np.float32), np.ones((3, 4, 5), dtype=bool)
    assert np.isnan(fourier.moran_geary(image, mask, spacing_mm=SPACING_MM)).all()
    mask[:] = False
    mask[1, 1, 1] = True
    assert np.isnan(fourier.moran_geary(image, mask, spacing_mm=SPACING_MM)).all()


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [((1, 20, 22), (5.0, 1.0, 1.0)), ((12, 18, 20), (2.5, 1.0, 0.9)), ((6, 5, 7), (30.0, 30.0, 30.0))],
)
@pytest.mark.parametrize("share", [1, 3], ids=["all of it", "a part"])
def test_peaks_agree(shape, spacing_mm, share, monkeypatch):
    monkeypatch.setattr(peaks, "AT_ONCE", 100)
    rng = np.random.default_rng(7)
    image = rng.normal(100, 20, shape).astype(np.float32)
    image[rng.random(shape) < 0.05] = np.nan
    box = tuple(slice(size // 2 - size // 2 // share, size // 2 + 1) for size in shape)
    region = np.isfinite(image[box]) & (rng.random(image[box].shape) < 0.6)
    expected = local_intensity.intensity_peaks(image, region, box=box, spacing_mm=spacing_mm)
    lines = np.array(list(local_intensity._lines(spacing_mm)), dtype=np.int64)
    found = peaks.intensity_peaks(image, region, box=box, lines=lines)
    assert found == pytest.approx(tuple(expected.values()), rel=1e-12)


def test_sums_agree():
    values = np.random.default_rng(8).normal(1000, 30, 1000).astype(np.float32)
    assert sum_by_arrays(values) == pytest.approx(sum_of(values), rel=1e-14)
    assert sum_by_arrays(values, lambda x: x**2) == pytest.approx(sum_of(values, lambda x: x**2), rel=1e-14)


def test_a_long_way_takes_few_sweeps(monkeypatch):
    """Places are handed on: a way of a thousand voxels, whose ends know nothing of each other, takes no thousand sweeps."""
    way = np.zeros((1, 43, 43), dtype=int)
    way[0, ::2] = 1
    way[0, 1::4, -1] = way[0, 3::4, 0] = 1
    # against the order of places
    way = way[:, ::-1, ::-1].copy()
    sweeps = []
    real = labelled.Box.of

    def watched(padded):
        box = real(padded)
        some = type(box.whole).some
        monkeypatch.setattr(type(box.whole), "some", lambda self: sweeps.append(1) or some(self))
        return box

    monkeypatch.setattr(labelled.Box, "of", watched)
    listed = labelled.zones_of(ranks_of(way).padded, way > 0, in_slices=True)
    assert listed.sizes.tolist() == [np.count_nonzero(way)]
    # two rounds a sweep, one for the sizes
    assert len(sweeps) <= 2 * 16 + 1
