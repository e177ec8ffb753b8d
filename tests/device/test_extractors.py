"""Extractors whole, on a device and on the strict stand-in of one: their numbers, what goes to and fro, and memory."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.kernels.device import places
from medpipe.ops.ibsi_columns import FAMILIES
from medpipe.ops.registry import make
from medpipe.types import Geometry, Region
from medpipe.xp import to_device
from tests.ops.test_conformance import FEATURES, ball_region, op_of, volume

AGGREGATIONS = ["2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb"]
SHAPE_FAMILIES = {"morphology", "enclosing"}
EVERYTHING = {"families": list(FAMILIES), "aggregations": AGGREGATIONS}
IBSI = {
    "bins of a width": {**EVERYTHING, "bin_width": 25.0, "range": [-1000.0, 400.0], "ivh_bin_width": 5.0},
    "a number of bins": {**EVERYTHING, "bins": 40, "outlier_sigma": 2.0, "ivh_bins": 100},
    "interpolated": {**EVERYTHING, "bins": 16, "resample_mm": [2.0, 1.5, 1.5], "order": 3, "round": True},
    "filters": {
        "families": ["statistics"],
        "filters": [{"op": "laplacian_of_gaussian", "sigma_mm": 1.5}, {"op": "mean_filter", "size": 3}],
        "filter_families": ["statistics", "intensity_histogram", "intensity_volume_histogram", "glcm", "glszm"],
        "filter_bins": 16,
    },
}
SMALL = (6, 17, 18)

ON_THE_HOST = {"deep", "edge_density", "lbp", "pyradiomics"}
"""Extractors that take the region's box to the host."""

REGIONS = {
    "empty": [],
    "one voxel": [np.s_[5, 11, 14]],
    "two voxels": [np.s_[2, 3, 4], np.s_[8, 3, 20]],
    "a plane": [np.s_[5, 4:20, 5:21]],
    "a corner": [np.s_[:4, :7, :8]],
    "two bodies": [np.s_[1:4, 2:9, 3:9], np.s_[6:9, 14:21, 12:24]],
    "nothing finite": [np.s_[5, 12:14, 11:19]],
}
"""Parts of the image, of regions that are seldom as they should be."""


def ibsi(parameters):
    return make("features", {"op": "ibsi", **parameters}, "route.0.features.0")


def close(op, values):
    return pytest.approx(values, rel=getattr(op, "device_tolerance", 1e-6), abs=1e-12, nan_ok=True)


def moved(given):
    return given.with_data(to_device(given.data, device="cuda"))


def with_holes(given):
    data = given.data.copy()
    data[5, 12:14, 10:20] = np.nan
    return given.with_data(data)


@pytest.mark.parametrize("settings", IBSI)
def test_the_features_of_the_standard_agree(cuda, settings):
    op, given = ibsi(IBSI[settings]), with_holes(volume())
    region = ball_region(volume())
    assert op(moved(given), region) == close(op, op(given, region))


@pytest.mark.parametrize("name", REGIONS)
def test_regions_that_are_seldom_as_they_should_be_agree(cuda, name):
    given = with_holes(volume())
    mask = np.zeros(given.data.shape, dtype=bool)
    for part in REGIONS[name]:
        mask[part] = True
    region = Region(mask=mask, name="roi_1")
    op = ibsi({**EVERYTHING, "families": sorted(set(FAMILIES) - {"enclosing"}), "bins": 7})
    assert op(moved(given), region) == close(op, op(given, region))


def test_levels_in_the_hundreds_agree(cuda):
    given = volume("PT")
    op = ibsi(
        {**EVERYTHING, "bin_width": 0.5, "range": [0.0, 400.0], "families": sorted(set(FAMILIES) - SHAPE_FAMILIES)}
    )
    region = ball_region(given.with_data(given.data - 100.0))
    assert op(moved(given), region) == close(op, op(given, region))


def test_too_many_levels_are_refused_there_too(cuda):
    op = ibsi({"families": ["glrlm"], "bin_width": 1e-3, "range": [-2000.0, 400.0]})
    with pytest.raises(Rejected, match="E_LEVELS"):
        op(moved(volume()), Region(mask=np.ones(volume().data.shape, dtype=bool), name="whole"))


def kinds():
    """Yield small images as they come: whole, with holes, of frames, a slice, of one value, without a spacing."""
    whole = volume("PT", shape=SMALL)
    yield whole
    data = whole.data.copy()
    data[3, 9, 10] = data[0] = np.nan
    yield whole.with_data(data)
    yield volume("MR", shape=(2, 4, 12, 14), axes="tzyx")
    yield volume("PT", shape=(1, 18, 20))
    yield whole.with_data(np.full(SMALL, 7.0, np.float32))
    yield whole.with_data(whole.data, geometry=Geometry(shape=SMALL))


def measured(op, given, region):
    try:
        return op(given, region)
    except Rejected as rejected:
        return {rejected.code: 0.0}


@pytest.mark.parametrize("name", FEATURES)
def test_every_extractor_agrees_on_images_as_they_come(cuda, name):
    op = op_of("features", name)
    for given in kinds():
        mask = np.zeros(given.geometry.spatial_shape, dtype=bool)
        mask[:5, 2:15, 1:13] = True
        region = Region(mask=mask, name="box")
        assert measured(op, moved(given), region) == close(op, measured(op, given, region))


def test_a_normalized_image_of_pyradiomics_agrees(cuda):
    settings = {"normalize": True, "normalize_scale": 100.0, "resample_mm": [2.0, 2.0, 2.0]}
    op, given = make("features", {"op": "pyradiomics", **settings}, "route.0.features.0"), volume()
    region = ball_region(given)
    assert op(moved(given), region) == close(op, op(given, region))


def test_the_same_bytes_come_twice(cuda):
    given = moved(volume())
    region = ball_region(volume())
    for op in (ibsi(IBSI["a number of bins"]), *map(partial(op_of, "features"), ("haralick", "fractal", "hog"))):
        first, second = (np.array(list(op(given, region).values())) for _ in range(2))
        assert first.tobytes() == second.tobytes(), op.name


@pytest.fixture
def counters(cuda):
    if cuda != "stand-in":
        pytest.skip("a device does not count")
    import cupy

    return cupy.standin


@pytest.mark.parametrize("family", FAMILIES)
def test_matrices_and_numbers_come_back(counters, family):
    """What comes to the host does not grow with the region; what goes there is its mask."""
    op = ibsi({"families": [family], "bins": 8})
    came = []
    for size in (16, 32):
        given = volume(shape=(size, size, size))
        region = Region(mask=np.ones(given.data.shape, dtype=bool), name="whole")
        on_device = moved(given)
        counters.reset()
        op(on_device, region)
        counts = counters.counts()
        assert counts.to_device_bytes <= region.mask.nbytes + 400 * size
        came.append(counts.to_host_bytes)
    # lengths of runs go as far as the box, zones have more sizes in a larger one
    assert came[1] <= came[0] * (4 if family in {"glszm", "gldzm"} else 2) + 1000
    assert came[1] < 32**3


@pytest.mark.parametrize("name", sorted(ON_THE_HOST))
def test_the_others_take_the_box_and_what_lies_around(counters, name):
    given = volume(shape=(16, 60, 60))
    mask = np.zeros(given.data.shape, dtype=bool)
    mask[6:9, 20:30, 25:35] = True
    on_device = moved(given)
    counters.reset()
    op_of("features", name)(on_device, Region(mask=mask, name="small"))
    counts = counters.counts()
    assert counts.to_device_bytes == 0
    assert counts.to_host_bytes <= given.data.nbytes / 3
    assert counts.to_host == 1


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"enclosing"}))
def test_the_stated_memory_of_the_device_is_enough(counters, monkeypatch, family):
    # as of a region of many times what is worked on at a time
    for module in (places, *loaded_with("AT_ONCE")):
        monkeypatch.setattr(module, "AT_ONCE", 1 << 10)
    shape = (12, 20, 22)
    data = np.random.default_rng(1).normal(0, 100, shape).astype(np.float32)
    given = volume(shape=shape).with_data(data)
    region = Region(mask=np.ones(shape, dtype=bool), name="whole")
    on_device = moved(given)
    op = ibsi({"families": [family], "bins": 100, "aggregations": AGGREGATIONS})
    before = counters.live()
    counters.reset()
    op(on_device, region)
    assert counters.counts().peak - before <= op.device_memory(given.geometry)


def loaded_with(name):
    from medpipe.kernels.device import peaks, runs, zones
    from medpipe.ops import ibsi_device

    return [module for module in (peaks, runs, zones, ibsi_device) if hasattr(module, name)]


def test_more_voxels_never_need_less_of_the_device():
    op = ibsi({**EVERYTHING, "bins": 32})
    needs = [op.device_memory(volume(shape=(planes, 26, 29)).geometry) for planes in (1, 2, 11, 40, 400)]
    assert needs == sorted(needs)
    assert min(needs) > 0
    assert math.isfinite(max(needs))


def test_a_box_that_is_too_large_to_count_there_is_measured_on_the_host(counters, monkeypatch):
    monkeypatch.setattr(places, "_MOST_PLACES", 1 << 12)
    given = volume()
    region, on_device = ball_region(given), moved(given)
    for op in (ibsi(IBSI["a number of bins"]), op_of("features", "haralick")):
        counters.reset()
        assert op(on_device, region) == pytest.approx(op(given, region), rel=0, abs=0, nan_ok=True)
        assert counters.counts().to_host == 1
    # the box is not, but it is with a border as wide as the largest distance
    monkeypatch.setattr(places, "_MOST_PLACES", 1 << 13)
    assert op(on_device, region) == close(op, op(given, region))
    assert counters.counts().to_host > 1
