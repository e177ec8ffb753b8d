from __future__ import annotations

import copy
import tomllib

import jsonschema
import pytest

from medpipe.errors import ConfigError
from medpipe.ops.registry import registered
from medpipe.recipe.recipe import parse_recipe, shipped_recipes
from medpipe.recipe.schema import recipe_schema

VALIDATOR = jsonschema.Draft202012Validator(recipe_schema())
SHIPPED = {name: tomllib.loads(text) for name, text in shipped_recipes().items()}


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(recipe_schema())


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_the_schema_accepts_the_shipped_recipes(name):
    VALIDATOR.validate(SHIPPED[name])


def change(path, value):
    tables = copy.deepcopy(SHIPPED["whole-archive"])
    *way, last = path
    place = tables
    for step in way:
        place = place[step]
    place[last] = value
    return tables


WRONG = [
    (("engine",), "dask"),
    (("route", 0, "workers"), 4),
    (("route", 0, "where", "modalities"), ["CT"]),
    (("route", 0, "where", "min_slices"), 0),
    (("route", 0, "image", 0, "op"), "sharpen"),
    (("route", 0, "image", 0, "size"), "3"),
    (("route", 0, "image", 0, "radius"), 3),
    (("route", 0, "image", 1, "preset"), "soft"),
    (("route", 0, "regions", 0, "op"), "median"),
    (("route", 0, "features", 0, "bin_width"), 0),
    (("route", 0, "features", 0, "image"), "Last"),
    (("route", 0, "features", 0, "range"), [1, 2, 3]),
    (("route", 0, "features", 0, "families"), ["zones"]),
    (("route", 0, "name"), "A b"),
    (("route",), []),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_the_schema_and_the_parser_refuse_the_same(path, value):
    tables = change(path, value)
    assert list(VALIDATOR.iter_errors(tables))
    with pytest.raises(ConfigError):
        parse_recipe(tables)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("route", 0, "where", "modality"), "MR"),
        (("route", 0, "where", "modality"), ["MR", "CT"]),
        (("route", 0, "where", "max_slices"), 10),
        (("route", 0, "image", 0, "size"), 5),
        (("route", 0, "image", 0), {"op": "gaussian", "sigma_mm": 1}),
        (("route", 0, "regions", 0), {"op": "lungs"}),
        (("route", 0, "keep"), ["original", "final"]),
    ],
)
def test_the_schema_and_the_parser_accept_the_same(path, value):
    tables = change(path, value)
    VALIDATOR.validate(tables)
    parse_recipe(tables)


def test_every_registered_op_is_in_the_schema():
    definitions = recipe_schema()["$defs"]
    for family in ("image", "regions", "steps", "features"):
        found = {option["properties"]["op"]["const"] for option in definitions[f"{family}_op"]["oneOf"]}
        assert found == set(registered(family))
