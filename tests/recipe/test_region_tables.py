"""What a recipe puts around a region source."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from medpipe.ops.regions import Composed, Dilate, Hot, Uptake
from medpipe.ops.suv import Suv
from medpipe.recipe.recipe import parse_recipe
from medpipe.recipe.schema import recipe_schema
from tests.recipe.test_parsing import recipe, refusal

LESIONS = {
    "op": "uptake",
    "name": "lesion",
    "above": 2.5,
    "after": [{"op": "suv"}, {"op": "gaussian", "sigma_mm": 2.0}],
    "then": [{"op": "drop_below", "ml": 0.5}, {"op": "fill_holes", "of": "volume"}],
}


def test_a_source_is_parsed_with_what_is_around_it():
    plain, source = parse_recipe(recipe(regions=[{"op": "hot"}, LESIONS])).routes[0].regions
    assert plain == Hot()
    assert isinstance(source, Composed)
    assert (source.name, source.source, source.suv) == ("lesion", Uptake(above=2.5), Suv())
    assert [op.name for op in source.after] == ["suv", "gaussian"]
    assert [step.name for step in source.then] == ["drop_below", "fill_holes"]


def test_one_op_may_be_there_twice_under_two_names():
    rim = {"op": "hot", "name": "rim", "then": [{"op": "dilate", "radius_mm": 5}]}
    found = parse_recipe(recipe(regions=[{"op": "hot"}, rim])).routes[0].regions
    assert [op.name for op in found] == ["hot", "rim"]
    assert found[1].then == (Dilate(radius_mm=5.0),)
    assert "give it a name" in refusal(recipe(regions=[{"op": "hot"}, {"op": "hot"}]))
    assert "give it a name" in refusal(recipe(regions=[{"op": "hot"}, {"op": "body", "name": "hot"}]))


@pytest.mark.parametrize(
    ("source", "path", "why"),
    [
        ({"op": "hot", "then": [{"op": "dilate"}]}, "route.0.regions.0.then.0.radius_mm", "required"),
        ({"op": "hot", "then": [{"op": "body"}]}, "route.0.regions.0.then.0.op", "no steps op"),
        ({"op": "hot", "then": {"op": "open"}}, "route.0.regions.0.then", "list"),
        ({"op": "hot", "after": [{"op": "dilate"}]}, "route.0.regions.0.after.0.op", "no image op"),
        ({"op": "hot", "after": [{"op": "median"}, {"op": "suv"}]}, "route.0.regions.0.after.1", "must come first"),
        ({"op": "hot", "after": [{"op": "straighten"}]}, "route.0.regions.0.after.0", "another grid"),
        ({"op": "hot", "name": "Hot spot"}, "route.0.regions.0.name", "no name"),
        ({"op": "hot", "name": 3}, "route.0.regions.0.name", "string"),
        ({"op": "segmentation_objects", "name": "gtv"}, "route.0.regions.0.name", "from objects"),
        ({"op": "hot", "then": [{"op": "open", "radius_mm": 0}]}, "route.0.regions.0.then.0.radius_mm", "not above"),
        ({"op": "otsu", "classes": 9}, "route.0.regions.0.classes", "above 5"),
    ],
)
def test_a_wrong_field_is_named_with_its_path(source, path, why):
    message = refusal(recipe(regions=[source]))
    assert message.startswith(f"{path}: ")
    assert why in message


def test_the_schema_takes_what_the_parser_takes():
    validator = Draft202012Validator(recipe_schema())
    validator.validate(recipe(regions=[LESIONS]))
    drawn = {"op": "segmentation_objects", "then": [{"op": "dilate", "radius_mm": 3}]}
    validator.validate(recipe(regions=[drawn]))
    for wrong in ({**LESIONS, "then": [{"op": "suv"}]}, {**drawn, "name": "gtv"}):
        assert not validator.is_valid(recipe(regions=[wrong]))
