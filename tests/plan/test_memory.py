from __future__ import annotations

import math
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.plan.memory import (
    MOST_BYTES,
    SLABS_ABOVE_VOXELS,
    context_planes,
    geometry_of,
    goes_in_slabs,
    held_bytes,
    projected_bytes,
    slab_planes,
)
from medpipe.recipe.recipe import load_recipe, parse_recipe
from tests.plan.planning import volume

ROUTES = load_recipe("whole-archive").routes
SIZES = st.integers(1, 400)
LARGE = (2048, 1024, 1024)
GIB = 1 << 30


def route_of(*ops, keep=("original", "final"), regions=()):
    tables = tomllib.loads('name = "r"\n[[route]]\nname = "a"\n')
    tables["route"][0] |= {"image": list(ops), "keep": list(keep), "regions": list(regions)}
    return parse_recipe(tables).routes[0]


MEDIAN = {"op": "median"}
GAUSSIAN = {"op": "gaussian", "sigma_mm": 1.0}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@given(shape=st.tuples(SIZES, SIZES, SIZES), axis=st.integers(0, 2), more=st.integers(1, 100))
def test_the_projection_grows_with_every_axis(route, shape, axis, more):
    larger = tuple(size + more * (place == axis) for place, size in enumerate(shape))
    held = {shape: goes_in_slabs(route, "volume", geometry_of(volume(shape=shape))) for shape in (shape, larger)}
    small = projected_bytes(route, volume(shape=shape))
    if held[shape] == held[larger]:
        assert small <= projected_bytes(route, volume(shape=larger))
    if not held[shape]:
        assert held_bytes([route]) + 4 * math.prod(shape) < small


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_projection_takes_volumes_without_spacing_and_with_a_leading_axis(route):
    for row in (volume(shape=(20, 64, 64), spacing_mm=None), volume(shape=(5, 20, 64, 64), axes="tzyx")):
        assert projected_bytes(route, row) >= held_bytes([route]) + 4 * math.prod(row["shape"])


def test_an_op_more_never_lowers_the_projection():
    assert projected_bytes(route_of(GAUSSIAN), volume()) <= projected_bytes(route_of(GAUSSIAN, MEDIAN), volume())


def test_image_ops_whose_result_nobody_wants_cost_nothing():
    idle = route_of(GAUSSIAN, keep=("original",))
    assert projected_bytes(idle, volume()) == projected_bytes(route_of(keep=("original",)), volume())


def test_a_need_beyond_every_host_still_fits_the_plan():
    assert projected_bytes(ROUTES[0], volume(spacing_mm=[1e40, 1e40, 1e40])) == MOST_BYTES < 2**63


def test_what_the_other_routes_load_is_held_as_well():
    plain = route_of(keep=("original",))
    alone = projected_bytes(plain, volume(), beside=())
    assert alone < projected_bytes(plain, volume(), beside=ROUTES) == projected_bytes(plain, volume())
    assert held_bytes(ROUTES) == held_bytes([*ROUTES, plain]) > held_bytes([plain])


def test_the_library_of_an_op_is_held_once_by_all_routes_where_the_op_runs():
    plain, n4 = route_of(GAUSSIAN), {"op": "n4"}
    library = held_bytes([plain, route_of(n4)]) - held_bytes([plain])
    assert (
        library == held_bytes([route_of(n4), route_of(n4, {"op": "n4", "shrink": 2})]) - held_bytes([plain]) > 50 << 20
    )
    assert held_bytes([route_of(n4, keep=("original",))]) == held_bytes([plain])


def test_each_network_is_held_once_by_all_routes_that_ask_it():
    one, other = ({"op": "learned", "model": name, "memory_mb": size} for name, size in (("a", 100), ("b", 300)))
    plain = held_bytes([route_of(GAUSSIAN)])
    assert held_bytes([route_of(one, one), route_of(one)]) == plain + (100 << 20)
    assert held_bytes([route_of(one, other)]) == plain + (400 << 20)
    assert held_bytes([route_of(one, keep=("original",))]) == held_bytes([route_of(keep=("original",))])
    tables = tomllib.loads('name = "r"\n[[route]]\nname = "a"\nregions = [ { op = "body" } ]\n')
    tables["route"][0]["features"] = [{"name": "f", "op": "deep", "model": "c", "numbers": 4, "memory_mb": 200}]
    (measuring,) = parse_recipe(tables).routes
    assert held_bytes([measuring]) > held_bytes([route_of(keep=("original",))]) + (200 << 20)


@pytest.mark.parametrize("ops", [(), (MEDIAN,), (MEDIAN, GAUSSIAN, {"op": "window", "preset": "lung"})])
def test_a_large_volume_goes_in_slabs_and_fits_two_gibibytes(ops):
    row = volume(shape=LARGE)
    assert goes_in_slabs(route_of(*ops), "volume", geometry_of(row))
    assert projected_bytes(route_of(*ops), row) < 2 * GIB < 4 * math.prod(LARGE)


@pytest.mark.parametrize(
    ("route", "changes"),
    [
        (route_of({"op": "zscore"}), {}),
        (route_of({"op": "resample", "spacing_mm": [2.0, 2.0, 2.0]}), {}),
        (route_of(keep=("original",), regions=[{"op": "body"}]), {}),
        (route_of(GAUSSIAN), {"spacing_mm": None}),
        (route_of(), {"shape": (40, 512, 512)}),
        (route_of(), {"shape": (8, 256, 1024, 1024), "axes": "tzyx", "kind": "series4d"}),
        (route_of(), {"kind": "mosaic"}),
    ],
)
def test_a_volume_goes_whole_if_it_is_small_or_a_step_needs_all_of_it(route, changes):
    row = {**volume(shape=LARGE), **changes}
    assert not goes_in_slabs(route, row["kind"], geometry_of(row))


def test_reading_large_companions_is_projected_where_regions_are_taken_from_them():
    row = volume(shape=(200, 512, 512))
    takes, ignores = (route_of(keep=("original",), regions=[{"op": name}]) for name in ("segmentation_objects", "body"))
    alone, beside = (projected_bytes(takes, {**row, "companion_bytes": size}) for size in (0, GIB))
    assert alone == projected_bytes(takes, row)
    assert beside - alone > 0.9 * GIB
    assert projected_bytes(ignores, {**row, "companion_bytes": GIB}) == projected_bytes(ignores, row)


def test_the_rule_is_a_number_of_voxels():
    just = replace(geometry_of(volume()), shape=(256, 512, 512))
    assert math.prod(just.shape) == SLABS_ABOVE_VOXELS
    assert not goes_in_slabs(route_of(), "volume", just)
    assert goes_in_slabs(route_of(), "volume", replace(just, shape=(257, 512, 512)))


def test_a_slab_is_never_empty_and_its_context_is_that_of_the_whole_chain():
    assert slab_planes((10, 60_000, 60_000)) == 1
    assert slab_planes((10, 512, 512)) == 32
    geometry = geometry_of(volume(spacing_mm=[2.0, 1.0, 1.0]))
    assert context_planes(route_of(MEDIAN, GAUSSIAN).image, geometry) == 1 + 2


def test_a_file_of_many_frames_is_held_whole_while_it_is_read():
    route = route_of()
    one, many = (projected_bytes(route, {**volume(shape=LARGE), "kind": kind}) for kind in ("volume", "enhanced"))
    assert many > one + 4 * math.prod(LARGE)
