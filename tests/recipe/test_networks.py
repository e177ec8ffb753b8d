"""Networks in recipes: pinned wherever an op may name one, and by their content alone in keys."""

from __future__ import annotations

import tomllib

import pytest

from medpipe.contracts.networks import NetworkPin
from medpipe.errors import ConfigError
from medpipe.recipe.lock import lock_recipe, read_lock
from medpipe.recipe.recipe import parse_recipe
from medpipe.recipe.standards import Standard
from medpipe.work.networks import with_networks

TEXT = """
name = "mine"

[[route]]
name = "ct"
image = [ { op = "median", size = 3 }, { op = "learned", model = "clean" } ]
regions = [ { op = "body" }, { op = "otsu", after = [ { op = "learned", model = "clean" } ] } ]
features = [
    { name = "first", op = "ibsi", families = ["statistics"] },
    { name = "deep", op = "deep", model = "code", image = "final" },
]
keep = [ "original", "final" ]

[[route.companions]]
name = "other"
image = [ { op = "learned", model = "clean@latest" } ]
"""
PINS = {
    "clean": NetworkPin(name="clean", digest="ab" * 32, kind="image", numbers=0, memory_mb=128),
    "code": NetworkPin(name="code", digest="cd" * 32, kind="encoder", numbers=3, memory_mb=256),
}


def locked(text=TEXT, pins=PINS, standard=None):
    def resolve(reference):
        name = reference.partition("@")[0]
        if name not in pins:
            raise ConfigError(f"model {name!r}: no such model")
        return pins[name]

    return lock_recipe(
        parse_recipe(tomllib.loads(text)),
        lambda _: pytest.fail("no model"),
        lambda _: (f"t1@{standard.digest}", standard),
        resolve,
    )


def test_networks_are_pinned_wherever_an_op_names_one():
    lock = read_lock(locked().to_toml())
    (route,) = lock.recipe.routes
    for op in (route.image[1], route.regions[1].after[0], route.companions[0].image[0]):
        assert (op.model, op.memory_mb) == (f"clean@{'ab' * 32}", 128)
    deep = route.features[1].op
    assert (deep.model, deep.numbers, deep.memory_mb) == (f"code@{'cd' * 32}", 3, 256)
    assert {"deep_000", "deep_001", "deep_002"} < set(lock.recipe.feature_columns())
    assert lock.digest == locked().digest


def test_keys_know_a_network_by_its_digest_not_by_its_name():
    renamed = locked(TEXT.replace('"clean', '"tidy'), {**PINS, "tidy": PINS["clean"]})
    assert renamed.digest == locked().digest
    other = NetworkPin(name="clean", digest="ef" * 32, kind="image", numbers=0, memory_mb=128)
    assert locked(pins={**PINS, "clean": other}).digest != locked().digest


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"clean" } ]\nregions', '"dirty" } ]\nregions', r"^route\.0\.image\.1\.model: model 'dirty': no such model"),
        (
            '"clean" } ]\nregions',
            '"code" } ]\nregions',
            r"route\.0\.image\.1\.model: network code is an encoder, and learned",
        ),
        (
            '"code"',
            '"clean"',
            r"route\.0\.features\.1\.model: network clean is from image to image, and deep takes an enc",
        ),
        (
            '"code"',
            '"code", numbers = 5',
            r"route\.0\.features\.1\.model: network code gives 3 numbers, and the recipe",
        ),
        ('"clean@latest"', '"none"', r"route\.0\.companions\.0\.image\.0\.model: "),
    ],
)
def test_a_network_that_is_not_for_the_place_is_refused_with_its_path(before, after, message):
    assert before in TEXT
    with pytest.raises(ConfigError, match=message):
        locked(TEXT.replace(before, after))


def test_without_a_lake_no_name_means_anything():
    with pytest.raises(ConfigError, match=r"route\.0\.image\.1\.model: .*no lake"):
        lock_recipe(parse_recipe(tomllib.loads(TEXT)), lambda _: pytest.fail("no model"))


def test_a_standard_behind_a_network_is_of_images_behind_that_network():
    chain = [{"op": "learned", "version": 1, "model": f"@{'ab' * 32}", "memory_mb": 128}]
    text = TEXT.replace(
        '{ op = "median", size = 3 }, { op = "learned", model = "clean" }',
        '{ op = "learned", model = "clean" }, { op = "nyul", standard = "t1" }',
    )
    fitted = Standard(kind="nyul", percentiles=(1.0, 99.0), values=(1.0, 100.0), count=1, cohort="", chain=tuple(chain))
    lock = locked(text, standard=fitted)
    assert lock.recipe.routes[0].image[1].values == (1.0, 100.0)


def test_binding_gives_each_op_its_network_and_changes_no_key():
    lock = locked()
    bound = with_networks(lock, lambda digest: lambda: digest)
    (route,) = bound.recipe.routes
    ops = (route.image[1], route.regions[1].after[0], route.companions[0].image[0], route.features[1].op)
    assert [op.network() for op in ops] == ["ab" * 32] * 3 + ["cd" * 32]
    assert bound.digest == lock.digest
    assert bound == lock
    assert lock.recipe.routes[0].image[1].network is None


def test_a_recipe_without_networks_is_left_as_it_is():
    text = 'name = "plain"\n[[route]]\nname = "ct"\nimage = [ { op = "median" } ]\nkeep = [ "original", "final" ]'
    lock = locked(text)
    assert with_networks(lock, lambda _: pytest.fail("asked")) is lock
