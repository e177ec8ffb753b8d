"""What a recipe says of features and regions of companion images."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from medpipe.ops.regions import Composed, Hot
from medpipe.recipe.asked import Asked, asked_of_case, asked_of_companion
from medpipe.recipe.recipe import parse_recipe
from medpipe.recipe.schema import recipe_schema
from medpipe.recipe.standards import named_standards
from tests.recipe.test_parsing import recipe, refusal

PET = {"name": "pet", "image": [{"op": "suv"}]}
ON_PET = {"name": "uptake", "op": "ibsi", "families": ["statistics"], "image": "pet"}
STANDARD = {"op": "nyul", "standard": "brain@" + "0" * 64, "percentiles": [1, 50, 99], "values": [0, 50, 100]}


def route_of(**changes):
    return parse_recipe(recipe(companions=[PET], **changes)).routes[0]


def test_an_extraction_and_a_region_source_name_a_companion_image():
    own_grid = {**ON_PET, "name": "voxels", "grid": "companion"}
    tables = recipe(companions=[PET], features=[ON_PET, own_grid], regions=[{"op": "hot", "image": "pet"}])
    Draft202012Validator(recipe_schema()).validate(tables)
    (route,) = parse_recipe(tables).routes
    (companion,) = route.companions
    assert [(one.image, one.beside, one.grid) for one in route.features] == [
        ("pet", companion, "image"),
        ("pet", companion, "companion"),
    ]
    assert route.regions == (Composed(source=Hot(), image="pet"),)
    assert companion.unit == "g/mL"
    digests = {route.extraction_digest(one) for one in route.features}
    original = parse_recipe(recipe(features=[{**ON_PET, "image": "original"}])).routes[0]
    assert len(digests | {original.extraction_digest(original.features[0])}) == 3


def test_what_is_said_of_the_original_anyway_makes_no_other_recipe():
    plain = parse_recipe(recipe(features=[{**ON_PET, "image": "original"}], regions=[{"op": "hot"}])).routes[0]
    said = parse_recipe(
        recipe(
            features=[{**ON_PET, "image": "original", "grid": "image"}], regions=[{"op": "hot", "image": "original"}]
        )
    ).routes[0]
    assert plain == said
    assert "companion" not in plain.spec()["features"][0]


@pytest.mark.parametrize(
    ("changes", "path", "why"),
    [
        ({"features": [{**ON_PET, "image": "mr"}]}, "route.0.features.0.image", "no image 'mr' (final, original, pet)"),
        ({"features": [{**ON_PET, "grid": "own"}]}, "route.0.features.0.grid", "'image' or"),
        (
            {"features": [{**ON_PET, "image": "final", "grid": "companion"}]},
            "route.0.features.0.grid",
            "no companion image",
        ),
        ({"regions": [{"op": "hot", "image": "final"}]}, "route.0.regions.0.image", "no image 'final' (original, pet)"),
        ({"regions": [{"op": "segmentation_objects", "image": "pet"}]}, "route.0.regions.0.image", "from objects"),
        (
            {"regions": [{"op": "hot", "image": "pet", "padding": "exclude"}]},
            "route.0.regions.0.padding",
            "as they were",
        ),
        (
            {"regions": [{"op": "uptake", "image": "pet", "after": [{"op": "suv"}]}]},
            "route.0.regions.0.after.0",
            "in the image of the companion",
        ),
    ],
)
def test_a_wrong_image_is_named_with_its_path(changes, path, why):
    message = refusal(recipe(companions=[PET], **changes))
    assert message.startswith(f"{path}: ")
    assert why in message


def test_only_who_looks_at_an_image_asks_anything_of_it():
    nothing = Asked(padding=False, quantity=False, file_order=False)
    marks = {"name": "marks", "op": "landmarks", "image": "pet"}
    scaled = {"op": "otsu", "image": "pet", "after": [{"op": "zscore"}]}
    theirs = {"name": "theirs", "op": "pyradiomics", "bins": 32, "image": "pet"}
    quality = {"name": "quality", "op": "quality", "image": "pet"}
    for changes in ({"features": [marks]}, {"features": [ON_PET], "regions": [scaled]}):
        route = route_of(image=[], **changes)
        assert asked_of_case(route) == nothing
        assert asked_of_companion(route, route.companions[0]) == Asked(padding=False, quantity=True, file_order=False)
    route = route_of(image=[], features=[theirs, quality])
    assert asked_of_case(route) == Asked(padding=False, quantity=False, file_order=True)
    assert asked_of_companion(route, route.companions[0]) == nothing
    route = route_of(image=[], features=[{**theirs, "grid": "companion"}])
    assert asked_of_case(route) == nothing
    assert asked_of_companion(route, route.companions[0]) == Asked(padding=False, quantity=False, file_order=True)


def test_a_standard_for_what_a_region_source_sees_of_a_companion_comes_after_the_ops_of_that():
    scaled = {"op": "otsu", "image": "pet", "after": [{"op": "median"}, STANDARD]}
    (named,) = named_standards(parse_recipe(recipe(companions=[PET], regions=[scaled])))
    assert [op.name for op in named.before] == ["suv", "median"]
    plain = {name: value for name, value in scaled.items() if name != "image"}
    (named,) = named_standards(parse_recipe(recipe(companions=[PET], regions=[plain])))
    assert [op.name for op in named.before] == ["median"]


@pytest.mark.parametrize(
    ("ops", "unit"),
    [
        ([{"op": "suv", "kind": "bsa"}], "cm2/mL"),
        ([{"op": "suv"}, {"op": "straighten"}, {"op": "gaussian", "sigma_mm": 2.0}], "g/mL"),
        ([{"op": "suv"}, {"op": "percentile"}], None),
        ([], None),
    ],
)
def test_the_unit_of_a_companion_is_told_where_its_ops_say_it(ops, unit):
    (companion,) = parse_recipe(recipe(companions=[{"name": "pet", "image": ops}])).routes[0].companions
    assert companion.unit == unit
