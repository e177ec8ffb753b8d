from __future__ import annotations

import tomllib

import jsonschema
import pytest

from medpipe.errors import ConfigError
from medpipe.keys import digest
from medpipe.recipe.lock import ModelPin, lock_recipe, read_lock
from medpipe.recipe.preferences import named_preferences
from medpipe.recipe.recipe import load_recipe, parse_recipe
from medpipe.recipe.schema import recipe_schema

VALIDATOR = jsonschema.Draft202012Validator(recipe_schema())
ROUTES = '\n[[route]]\nname = "ct"\nwhere = { modality = "CT" }\n[[route]]\nname = "rest"\n'


def tables(select, routes=ROUTES):
    return tomllib.loads(f'name = "mine"\n{select}\n{routes}')


def pin(reference):
    return ModelPin(name=reference, digest="ab" * 32)


def lock(select, routes=ROUTES):
    return lock_recipe(parse_recipe(tables(select, routes)), pin)


@pytest.mark.parametrize(
    "select",
    [
        '[select]\none_per = "study"\nprefer = ["thin", "soft_kernel"]',
        (
            '[[select]]\none_per = ["patient", "modality"]\nwhere = { modality = "CT", route = "ct" }\nprefer = ["first_study"]\n'
            '[[select]]\nprefer = [ { thickness_mm = 2.5 }, "coverage" ]\nkeep = "series"'
        ),
        '[select]\nwhere = { kernel = ["soft", "unknown"], min_thickness_mm = 1, max_thickness_mm = 3.0 }\nprefer = ["thin"]',
        '[select]\nwhere = { contrast = true, derived = false, min_coverage_mm = 200 }\nprefer = ["complete"]',
    ],
)
def test_the_schema_and_the_parser_accept_the_same_selections(select):
    VALIDATOR.validate(tables(select))
    parse_recipe(tables(select))


@pytest.mark.parametrize(
    ("select", "path"),
    [
        ('[select]\none_per = "study"', "select.0.prefer"),
        ("[select]\nprefer = []", "select.0.prefer"),
        ('[select]\nprefer = ["thinnest"]', "select.0.prefer.0"),
        ('[select]\nprefer = ["thin", { thickness_mm = 0 }]', "select.0.prefer.1.thickness_mm"),
        ("[select]\nprefer = [ { thickness = 2 } ]", "select.0.prefer.0"),
        ('[select]\nprefer = ["thin"]\none_per = "series"', "select.0.one_per.0"),
        ('[select]\nprefer = ["thin"]\none_per = []', "select.0.one_per"),
        ('[select]\nprefer = ["thin"]\nkeep = "all"', "select.0.keep"),
        ('[select]\nprefer = ["thin"]\nwhere = { kernel = "hard" }', "select.0.where.kernel.0"),
        ('[select]\nprefer = ["thin"]\nwhere = { contrast = "yes" }', "select.0.where.contrast"),
        ('[select]\nprefer = ["thin"]\nby = "study"', "select.0.by"),
    ],
)
def test_the_schema_and_the_parser_refuse_the_same_selections(select, path):
    assert list(VALIDATOR.iter_errors(tables(select)))
    with pytest.raises(ConfigError) as error:
        parse_recipe(tables(select))
    assert str(error.value).startswith(f"{path}")


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ('[select]\nprefer = ["thin"]\none_per = "modality"', "either study or patient"),
        ('[select]\nprefer = ["thin"]\none_per = ["study", "patient"]', "either study or patient"),
        ('[select]\nprefer = ["thin", "thin"]', "twice"),
        ('[select]\nprefer = ["thin"]\nwhere = { route = "mr" }', "no route 'mr'"),
        ('[select]\nprefer = ["thin"]\nwhere = { min_thickness_mm = 2, max_thickness_mm = 1 }', "greater than"),
    ],
)
def test_what_makes_no_sense_together_is_refused(select, message):
    with pytest.raises(ConfigError, match=message):
        parse_recipe(tables(select))


def test_every_preference_is_in_the_schema_and_can_be_parsed():
    entries = recipe_schema()["$defs"]["SelectTable"]["properties"]["prefer"]["items"]["oneOf"]
    words = [entry["const"] for entry in entries if "const" in entry]
    assert words == list(named_preferences())
    for word in words:
        parse_recipe(tables(f'[select]\nprefer = ["{word}"]'))


def test_a_lock_with_selections_reads_back_and_routes_keep_their_digests():
    plain, chosen = lock(""), lock('[select]\nprefer = ["thin"]')
    assert read_lock(chosen.to_toml()).digest == chosen.digest != plain.digest
    for before, after in zip(plain.recipe.routes, chosen.recipe.routes, strict=True):
        assert plain.route_digest(before) == chosen.route_digest(after)


@pytest.mark.parametrize(
    "other",
    [
        '[select]\nprefer = ["thick"]',
        '[select]\nprefer = ["thin"]\none_per = "study"',
        '[select]\nprefer = ["thin"]\nkeep = "series"',
        '[select]\nprefer = ["thin"]\nwhere = { contrast = true }',
        "[select]\nprefer = [ { thickness_mm = 1 } ]",
    ],
)
def test_another_choice_is_another_recipe(other):
    assert lock(other).digest != lock('[select]\nprefer = ["thin"]').digest


def test_a_recipe_without_selections_has_the_digest_it_had():
    # as locks were made before there were selections: names, six conditions, route digests
    for recipe in (parse_recipe(tables("")), load_recipe("whole-archive")):
        locked = lock_recipe(recipe, pin)
        names = ("modality", "kind", "body_part", "verdict", "min_slices", "max_slices")
        routes = [
            [route.name, {name: getattr(route.where, name) for name in names}, locked.route_digest(route)]
            for route in recipe.routes
        ]
        assert locked.digest == digest(routes)


def row(**said):
    return {"modality": "CT", "kind": "volume", "verdict": "regular", "shape": [10, 8, 8], **said}


@pytest.mark.parametrize(
    ("where", "taken", "left"),
    [
        ('kernel = "soft"', row(kernel_class="soft"), row(kernel_class=None)),
        ('kernel = ["sharp", "unknown"]', row(), row(kernel_class="soft")),
        ("max_thickness_mm = 2", row(thickness_mm=2.0), row(thickness_mm=2.5)),
        ("min_thickness_mm = 2", row(spacing_mm=[2.0, 1, 1]), row()),
        (
            "min_coverage_mm = 30",
            row(spacing_mm=[3.0, 1, 1], affine_lps=[0.0] * 16),
            row(spacing_mm=[2.0, 1, 1], affine_lps=[0.0] * 16),
        ),
        ("contrast = false", row(contrast=False), row(contrast=None)),
        ("derived = true", row(derived=True), row(derived=False)),
    ],
)
def test_a_route_takes_by_what_the_headers_say(where, taken, left):
    recipe = parse_recipe(tables("", f'[[route]]\nname = "ct"\nwhere = {{ {where} }}\n'))
    assert recipe.routes[0].where.takes(taken) is None
    assert recipe.routes[0].where.takes(left) == "S_NO_ROUTE"
