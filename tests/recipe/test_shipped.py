from __future__ import annotations

import pytest

from medpipe.models.resolve import read_shipped, resolve
from medpipe.recipe.recipe import load_recipe, shipped_recipes

SHIPPED = sorted(shipped_recipes())


def test_the_whole_archive_recipe_is_shipped():
    assert "whole-archive" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_parses_under_its_own_name(name):
    assert load_recipe(name).name == name


def pairs():
    return [
        (name, route.name, reference)
        for name in SHIPPED
        for route in load_recipe(name).routes
        for reference in route.models
    ]


@pytest.mark.parametrize(("name", "route_name", "reference"), pairs())
def test_a_shipped_model_fits_the_route_that_names_it(name, route_name, reference):
    route = load_recipe(name).route(route_name)
    card = read_shipped(resolve(reference, [])).card
    entries = {(entry.image, entry.name): entry for entry in route.features}
    assert card.demonstration
    assert card.region in {op.name for op in route.regions}
    for item in card.inputs:
        entry = entries[item.place]
        assert item.extraction_digest == route.extraction_digest(entry)
        assert item.column in {column.name for column in entry.op.columns}


def test_ct_mr_and_pet_are_scored_by_a_shipped_recipe():
    scored = {route_name for name, route_name, _ in pairs() if name == "whole-archive"}
    assert scored == {"ct", "mr", "pet"}


def test_every_volume_finds_a_route_in_the_whole_archive_recipe():
    routes = load_recipe("whole-archive").routes
    odd = {"modality": None, "kind": "multiframe", "body_part": None, "verdict": "single", "shape": [1, 4, 4]}
    assert any(route.where.takes(odd) is None for route in routes)
