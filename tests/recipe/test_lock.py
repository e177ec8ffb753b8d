from __future__ import annotations

import tomllib

import pytest

from medpipe.errors import ConfigError, IntegrityError
from medpipe.recipe.lock import ModelPin, lock_recipe, read_lock
from medpipe.recipe.recipe import load_recipe, parse_recipe

TEXT = """
name = "mine"
description = "two routes"

[[route]]
name = "ct"
where = { modality = ["CT"], min_slices = 3 }
image = [ { op = "gaussian", sigma_mm = 1.0 }, { op = "window", preset = "soft_tissue" } ]
regions = [ { op = "body" }, { op = "segmentation_objects", map = { z = "(?i)z", a = "(?i)a" } } ]
features = [ { name = "radiomics", op = "ibsi", bins = 32 }, { name = "lbp", op = "lbp", image = "final" } ]
models = [ "nodule@latest" ]

[[route]]
name = "store"
"""


def pin(reference):
    return ModelPin(name=reference.partition("@")[0], digest="ab" * 32)


def locked(text=TEXT, resolve=pin):
    return lock_recipe(parse_recipe(tomllib.loads(text)), resolve)


def test_a_lock_read_back_has_the_same_digests():
    lock = locked()
    again = read_lock(lock.to_toml())
    assert again.digest == lock.digest
    assert again.models == lock.models
    assert [again.route_digest(route) for route in again.recipe.routes] == [
        lock.route_digest(route) for route in lock.recipe.routes
    ]


def test_a_lock_of_every_shipped_recipe_reads_back():
    lock = lock_recipe(load_recipe("whole-archive"), pin)
    assert read_lock(lock.to_toml()).digest == lock.digest


def test_the_order_of_a_map_is_kept_since_the_first_rule_counts():
    lock = read_lock(locked().to_toml())
    assert lock.recipe.routes[0].regions[1].map == (("z", "(?i)z"), ("a", "(?i)a"))
    assert locked(TEXT.replace('z = "(?i)z", a = "(?i)a"', 'a = "(?i)a", z = "(?i)z"')).digest != lock.digest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{ op = "body" }', '{ op = "body", ct_above_hu = -500.0 }'),  # a default, written out
        ("sigma_mm = 1.0", "sigma_mm = 1"),  # a whole number where any will do
        ('modality = ["CT"]', 'modality = "CT"'),  # one instead of a list of one
        ('where = { modality = ["CT"], min_slices = 3 }', 'where = { min_slices = 3, modality = ["CT"] }'),
        ('{ op = "gaussian", sigma_mm = 1.0 }', '{ sigma_mm = 1.0, op = "gaussian" }'),
        ('{ name = "lbp", op = "lbp", image = "final" }', '{ image = "final", op = "lbp", name = "lbp" }'),
        ('models = [ "nodule@latest" ]', 'models = [ "nodule" ]'),  # another way to say the same package
        ('models = [ "nodule@latest" ]', 'models = [ "nodule@latest" ]\nkeep = [ "original" ]'),
        ('description = "two routes"', 'description = "the same science"'),
        ('name = "mine"', 'name = "yours"'),
    ],
)
def test_the_digest_does_not_depend_on_how_a_recipe_is_written(before, after):
    assert before in TEXT
    assert locked(TEXT.replace(before, after, 1)).digest == locked().digest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sigma_mm = 1.0", "sigma_mm = 1.5"),
        ("bins = 32", "bins = 64"),
        ('{ op = "body" }', '{ op = "body", opening_mm = 0.0 }'),
        ('preset = "soft_tissue"', 'preset = "lung"'),
        ("min_slices = 3", "min_slices = 4"),
        ('image = "final"', 'image = "original"'),
        ('models = [ "nodule@latest" ]', "models = []"),
        ('models = [ "nodule@latest" ]', 'models = [ "nodule" ]\nkeep = [ "original", "final" ]'),
        ('name = "radiomics"', 'name = "texture"'),
    ],
)
def test_the_digest_changes_with_the_science(before, after):
    assert before in TEXT
    assert locked(TEXT.replace(before, after, 1)).digest != locked().digest


def test_the_digest_changes_with_the_package_behind_a_name():
    other = locked(resolve=lambda reference: ModelPin(name="nodule", digest="cd" * 32))
    assert other.digest != locked().digest


def test_the_order_of_routes_counts():
    first, *routes = TEXT.split("[[route]]")
    swapped = "[[route]]".join([first, *reversed(routes)])
    assert locked(swapped).digest != locked().digest


def test_a_lock_that_was_altered_is_refused():
    text = locked().to_toml()
    assert "sigma_mm = 1.0" in text
    with pytest.raises(IntegrityError, match="digest differs"):
        read_lock(text.replace("sigma_mm = 1.0", "sigma_mm = 2.0"))


def test_one_model_under_two_references_is_refused():
    with pytest.raises(ConfigError, match=r"^route\.0\.models: one model is named twice"):
        locked(TEXT.replace('"nodule@latest"', '"nodule", "nodule@latest"'))


def test_a_lock_tells_what_was_resolved():
    lock = tomllib.loads(locked().to_toml())
    assert lock["models"]["ct"] == [{"name": "nodule", "digest": "ab" * 32, "extractions": []}]
    assert [op["op"] for op in lock["resolved"]["ct"]["image"]] == ["gaussian", "window"]
    assert all("version" in op for op in lock["resolved"]["ct"]["image"])
