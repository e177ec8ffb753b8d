"""Perturbations in a recipe: what they key, and what is refused."""

from __future__ import annotations

import tomllib

import pytest

from medpipe.errors import ConfigError
from medpipe.plan.changes import recipe_changes
from medpipe.plan.memory import projected_bytes
from medpipe.plan.products import Content, wanted_products
from medpipe.recipe.lock import lock_recipe, read_lock
from medpipe.recipe.recipe import parse_recipe
from tests.plan.planning import pin, volume

TEXT = """
name = "mine"
[[route]]
name = "ct"
image = [ { op = "gaussian", sigma_mm = 1.0 } ]
regions = [ { op = "body" }, { op = "segmentation_objects" } ]
features = [
    { name = "radiomics", op = "ibsi", bins = 32 },
    { name = "coarse", op = "ibsi", bins = 8, image = "final" },
]
[[route.perturb]]
name = "moved"
times = 3
steps = [ { op = "rotate", degrees = [-3, 3] }, { op = "noise" } ]
[[route.perturb]]
name = "redrawn"
steps = [ { op = "contour" } ]
features = [ "coarse" ]
"""
CONTENT = Content(volume="ab" * 32, companions="cd" * 32, numeric_class="cpu")


def locked(*changes):
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return lock_recipe(parse_recipe(tomllib.loads(text)), pin)


def wanted(lock):
    return wanted_products(lock, lock.recipe.routes[0], CONTENT)


def keys(lock, kind):
    return [one.key for one in wanted(lock) if one.kind == kind]


def test_each_extraction_that_is_perturbed_has_a_product_for_each_source():
    found = [one for one in wanted(locked()) if one.kind == "perturbed"]
    named = [(one.perturbation.name, one.extraction.name, one.region_source) for one in found]
    assert named == [
        *(("moved", name, source) for name in ("radiomics", "coarse") for source in (0, 1)),
        *(("redrawn", "coarse", source) for source in (0, 1)),
    ]
    assert len({one.key for one in wanted(locked())}) == len(wanted(locked()))


def test_perturbations_change_no_key_of_anything_else():
    without = TEXT[: TEXT.index("[[route.perturb]]")]
    bare = lock_recipe(parse_recipe(tomllib.loads(without)), pin)
    assert "perturb" not in bare.recipe.routes[0].spec()
    for kind in ("volume", "regions", "features"):
        assert keys(bare, kind) == keys(locked(), kind)
    assert bare.digest != locked().digest


def test_only_what_depends_on_a_change_has_another_key():
    before = wanted(locked())
    after = wanted(locked(("times = 3", "times = 4")))
    changed = {one.perturbation.name for one, other in zip(before, after, strict=True) if one.key != other.key}
    assert changed == {"moved"}
    other = wanted(locked(("bins = 32", "bins = 16")))
    differ = {(a.kind, a.extraction.name) for a, b in zip(before, other, strict=True) if a.key != b.key}
    assert differ == {("features", "radiomics"), ("perturbed", "radiomics")}


def test_a_lock_is_read_as_it_was_written():
    lock = locked()
    assert read_lock(lock.to_toml()).digest == lock.digest


def test_changes_are_told_by_name():
    old = tomllib.loads(locked().to_toml())
    new = tomllib.loads(
        locked(("times = 3", "times = 4"), ("[-3, 3]", "[-2, 2]"), ('name = "redrawn"', 'name = "drawn"')).to_toml()
    )
    assert recipe_changes(old, new) == [
        "route ct, perturb drawn: new",
        "route ct, perturb redrawn: gone",
        "route ct, perturb moved, steps 0: rotate degrees [-3.0, 3.0] -> [-2.0, 2.0]",
        "route ct, perturb moved: times 3 -> 4",
    ]


def test_the_projection_has_room_for_a_perturbed_image():
    rows = volume(shape=(60, 256, 256))
    without = TEXT[: TEXT.index("[[route.perturb]]")]
    bare = parse_recipe(tomllib.loads(without)).routes[0]
    assert projected_bytes(locked().recipe.routes[0], rows) >= projected_bytes(bare, rows) + 4 * 60 * 256 * 256


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ('name = "redrawn"', 'name = "moved"', r"route\.0\.perturb: two perturbations bear one name"),
        ("times = 3", "times = 0", r"route\.0\.perturb\.0\.times"),
        ('op = "contour"', 'op = "blur"', r"route\.0\.perturb\.1\.steps\.0\.op"),
        ("[-3, 3]", "[3, -3]", r"route\.0\.perturb\.0\.steps\.0"),
        ('steps = [ { op = "contour" } ]', "steps = []", r"route\.0\.perturb\.1\.steps"),
        ('features = [ "coarse" ]', 'features = [ "fine" ]', r"route\.0\.perturb\.1\.features: .* 'fine'"),
        ("times = 3", "seed = 3", r"route\.0\.perturb\.0\.seed"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(before, after, path):
    with pytest.raises(ConfigError, match=path):
        locked((before, after))


def test_a_route_without_features_has_nothing_to_perturb():
    text = 'name = "m"\n[[route]]\nname = "a"\n[[route.perturb]]\nname = "p"\nsteps = [ { op = "noise" } ]\n'
    with pytest.raises(ConfigError, match=r"route\.0\.perturb\.0: the route has no features"):
        parse_recipe(tomllib.loads(text))
