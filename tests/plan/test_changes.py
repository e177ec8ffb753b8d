from __future__ import annotations

import tomllib

from medpipe.plan.changes import recipe_changes
from medpipe.recipe.lock import ModelPin
from tests.plan.planning import locked


def spec(lock):
    return tomllib.loads(lock.to_toml())


def told(*changes, **how):
    return recipe_changes(spec(locked()), spec(locked(*changes, **how)))


def test_equal_recipes_have_no_change_to_tell():
    assert told() == []
    assert told(("min_slices = 3", "min_slices = 4")) == []  # it chooses volumes and makes no other key


def test_a_changed_parameter_is_named_with_both_values():
    assert told(("bins = 32", "bins = 64")) == ["route ct, features radiomics: ibsi bins 32 -> 64"]
    lines = told(("sigma_mm = 1.0", "sigma_mm = 2.0"))
    assert "route ct, image 0: gaussian sigma_mm 1.0 -> 2.0" in lines


def test_a_raised_version_of_an_op_is_named():
    before = spec(locked())
    after = spec(locked())
    after["resolved"]["ct"]["features"][1]["op"]["version"] += 1
    version = before["resolved"]["ct"]["features"][1]["op"]["version"]
    assert recipe_changes(before, after) == [f"route ct, features lbp: lbp version {version} -> {version + 1}"]


def test_what_is_new_and_what_is_gone_is_named():
    lbp = '    { name = "lbp", op = "lbp", image = "final" },\n'
    assert told((lbp, "")) == ["route ct, features lbp: gone"]
    assert told(('{ op = "body" }, ', "")) == ["route ct, regions body: gone"]
    assert told(('name = "thick"', 'name = "flat"')) == ["route flat: new", "route thick: gone"]
    assert told(('image = "final"', 'image = "original"')) == ["route ct, features lbp: image final -> original"]


def test_another_package_of_a_model_is_named_by_its_digests():
    lines = told(resolve=lambda reference: ModelPin(name=reference, digest="cd" * 32))
    assert lines == [f"route ct, models nodule: {'ab' * 8} -> {'cd' * 8}"]
