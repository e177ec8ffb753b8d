"""Whole cases on a device, and on the strict stand-in of one: the host's numbers, and each voxel there once."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from dataclasses import replace

import pytest

from medpipe.recipe.lock import lock_recipe
from medpipe.recipe.recipe import parse_recipe
from medpipe.work.case import run_case
from medpipe.xp import is_cupy, to_numpy
from tests.work.rooms import Room, an_order
from tests.work.test_images import SHAPE, a_pet, an_image

RECIPE = """
name = "whole"

[[route]]
name = "mr"
image = [ { op = "gaussian", sigma_mm = 1.0 }, { op = "percentile", low = 1, high = 99 } ]
regions = [ { op = "body", opening_mm = 0.0 }, { op = "otsu" }, { op = "canny" } ]
features = [
    { name = "first", op = "ibsi", families = ["statistics"] },
    { name = "slices", op = "fractal", image = "final" },
    { name = "quality", op = "quality" },
]
views = [
    { name = "small", op = "thumbnail", size = 32 },
    { name = "hot", op = "projection", image = "pet", plane = "axial" },
    { name = "mip", op = "projection", image = "final", plane = "coronal" },
    { name = "skin", op = "surface" },
]
keep = ["original", "final"]

[[route.companions]]
name = "pet"
where = { modality = "PT" }
image = [ { op = "suv" } ]
fuse = true

[[route.perturb]]
name = "moved"
times = 2
steps = [ { op = "rotate" }, { op = "shift" } ]
features = [ "first" ]
"""
VOXELS = math.prod(SHAPE)


def worked(device):
    """Return the result of a case and its room."""
    lock = lock_recipe(parse_recipe(tomllib.loads(RECIPE)), lambda name: None)
    room = Room(lock, volume=an_image(), images={"pet": a_pet()})
    room.device = device
    order = replace(an_order(), numeric_class="cuda-cc00" if device == "cuda" else "cpu-x86-64-v3")
    return run_case(order, room, lambda stage, subject: None), room


def assert_alike(one, other):
    """Hold two JSON values against each other, numbers within a hundred-thousandth."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            # keys of products and paths of what is stored name the class
            if name not in {"store", "final_store"}:
                assert_alike(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for part, same in zip(one, other, strict=True):
            assert_alike(part, same)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-5, nan_ok=True)
    else:
        assert one == other


@pytest.fixture(scope="module")
def on_device(cuda):
    import cupy

    if cuda == "device":
        return *worked("cuda"), None
    cupy.standin.reset()
    before = cupy.standin.live()
    result, room = worked("cuda")
    return result, room, (list(cupy.standin.counts().transfers), cupy.standin.live() - before)


@pytest.fixture(scope="module")
def on_host():
    return worked("cpu")


def test_the_rows_are_those_of_the_host_and_the_keys_are_not(on_device, on_host):
    result, _, _ = on_device
    expected, _ = on_host
    assert result.case.status == expected.case.status == "done"
    assert len(result.products) == len(expected.products) == 21
    assert not set(result.case.products) & set(expected.case.products)
    for one, other in zip(result.products, expected.products, strict=True):
        assert (one.kind, one.code) == (other.kind, other.code)
        assert_alike(one.rows, other.rows)


def test_pictures_and_surfaces_have_the_bytes_of_the_host(on_device, on_host):
    files = [[made for made in room.stored.values() if isinstance(made, dict)] for _, room, *_ in (on_device, on_host)]
    assert files[0] == files[1]
    assert sum(map(len, files[0])) >= 5


def test_what_is_stored_is_brought_back_when_it_is_stored(on_device):
    _, room, _ = on_device
    (final,) = [made for made in room.stored.values() if hasattr(made, "geometry")]
    assert is_cupy(final.data)
    assert to_numpy(final.data).shape == SHAPE


def test_nothing_but_what_is_stored_stays_on_the_device(on_device):
    _, room, counted = on_device
    if counted is None:
        pytest.skip("a real device does not count")
    (final,) = [made.data for made in room.stored.values() if hasattr(made, "geometry")]
    assert counted[1] == final._block.nbytes


def test_voxels_go_to_the_device_once_and_come_back_as_what_is_stored_or_asked_for(on_device):
    *_, counted = on_device
    if counted is None:
        pytest.skip("a real device does not count")
    transfers = counted[0]
    sent = Counter(tuple(one["shape"]) for one in transfers if one["way"] == "to_device" and one["dtype"] == "<f4")
    assert sent[SHAPE] == 1
    assert sent[a_pet().data.shape] == 1
    wholes = [one for one in transfers if one["way"] == "to_host" and math.prod(one["shape"]) >= VOXELS]
    by_case = Counter((one["where"].split("/medpipe/")[1].partition(":")[0], one["dtype"]) for one in wholes)
    # the companion where both are fused, and a mask for each region
    assert by_case.pop(("work/images.py", "<f4")) == 1
    assert by_case.pop(("ops/regions/voxels.py", "|b1")) == 3
    assert all(place.startswith("ops/") for place, _ in by_case), by_case
