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


PAIRED = """name = "ct"
views = [ { name = "small", op = "thumbnail", size = 32 }, { name = "hot", op = "projection", image = "pet" } ]
"""
COMPANION = """
[[route.companions]]
name = "pet"
where = { modality = "PT" }
image = [ { op = "suv" } ]

[[route]]
name = "thick"
"""


def told_of_pairs(*changes):
    paired = (('name = "ct"\n', PAIRED), ('[[route]]\nname = "thick"\n', COMPANION))
    return recipe_changes(spec(locked(*paired)), spec(locked(*paired, *changes)))


def test_changed_companions_and_views_are_named():
    assert told_of_pairs() == []
    assert told_of_pairs(("size = 32", "size = 48")) == ["route ct, views small: thumbnail size 32 -> 48"]
    assert told_of_pairs(('image = "pet"', 'image = "final"')) == ["route ct, views hot: image pet -> final"]
    other = ('image = [ { op = "suv" } ]', 'align = { op = "rigid" }\nfuse = true')
    lines = told_of_pairs(other)
    assert lines[:3] == [
        "route ct, companions pet, image 0: gone",
        "route ct, companions pet, align: same_frame -> rigid",
        "route ct, companions pet: fuse False -> True",
    ]
    kind = ('{ op = "suv" }', '{ op = "suv", kind = "lbm" }')
    assert told_of_pairs(kind) == ["route ct, companions pet, image 0: suv kind default -> lbm"]
    where = ('where = { modality = "PT" }\nimage', 'where = { modality = "PT", min_slices = 9 }\nimage')
    assert told_of_pairs(where) == ["route ct, companions pet: where changed"]


def test_companions_and_views_that_come_and_go_are_named():
    paired = (('name = "ct"\n', PAIRED), ('[[route]]\nname = "thick"\n', COMPANION))
    come = ["companions pet: new", "views hot: new", "views small: new"]
    assert told(*paired) == [f"route ct, {line}" for line in come]
    gone = recipe_changes(spec(locked(*paired)), spec(locked()))
    assert gone == [f"route ct, {line.replace('new', 'gone')}" for line in come]


def test_another_image_that_is_measured_or_looked_at_is_named():
    paired = ('name = "ct"\n', PAIRED), ('[[route]]\nname = "thick"\n', COMPANION)
    measured = ("bins = 32 }", 'bins = 32, image = "pet" }')
    looked = ('{ op = "body" }', '{ op = "body", image = "pet" }')
    before = spec(locked(*paired))
    assert recipe_changes(before, spec(locked(*paired, measured, looked))) == [
        "route ct, regions body: body image default -> pet",
        "route ct, features radiomics: image original -> pet",
    ]
    own_grid = (measured[0], 'bins = 32, image = "pet", grid = "companion" }')
    assert recipe_changes(spec(locked(*paired, measured)), spec(locked(*paired, own_grid))) == [
        "route ct, features radiomics: image pet -> pet on its own grid"
    ]
