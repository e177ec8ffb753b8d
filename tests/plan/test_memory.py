from __future__ import annotations

import math
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.plan.memory import BASE_BYTES, MOST_BYTES, projected_bytes
from medpipe.recipe.recipe import load_recipe, parse_recipe
from tests.plan.planning import volume

ROUTES = load_recipe("whole-archive").routes
SIZES = st.integers(1, 400)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@given(shape=st.tuples(SIZES, SIZES, SIZES), axis=st.integers(0, 2), more=st.integers(1, 100))
def test_the_projection_grows_with_every_axis(route, shape, axis, more):
    larger = tuple(size + more * (place == axis) for place, size in enumerate(shape))
    small = projected_bytes(route, volume(shape=shape))
    assert BASE_BYTES + 12 * shape[0] * shape[1] * shape[2] <= small
    assert small < projected_bytes(route, volume(shape=larger))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_projection_takes_volumes_without_spacing_and_with_a_leading_axis(route):
    for row in (volume(shape=(20, 64, 64), spacing_mm=None), volume(shape=(5, 20, 64, 64), axes="tzyx")):
        voxels = math.prod(row["shape"])
        assert projected_bytes(route, row) >= BASE_BYTES + 12 * voxels


def test_an_op_more_never_lowers_the_projection():
    def route(*ops):
        tables = tomllib.loads('name = "r"\n[[route]]\nname = "a"\n')
        tables["route"][0]["image"] = [{"op": "gaussian", "sigma_mm": 1.0}, *ops]
        return parse_recipe(tables).routes[0]

    assert projected_bytes(route(), volume()) <= projected_bytes(route({"op": "median"}), volume())


def test_a_need_beyond_every_host_still_fits_the_plan():
    assert projected_bytes(ROUTES[0], volume(spacing_mm=[1e40, 1e40, 1e40])) == MOST_BYTES < 2**63
