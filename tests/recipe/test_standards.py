from __future__ import annotations

import tomllib

import pytest

from medpipe.errors import ConfigError
from medpipe.recipe.lock import lock_recipe, read_lock
from medpipe.recipe.recipe import parse_recipe
from medpipe.recipe.standards import Standard

TEXT = """
name = "mine"

[[route]]
name = "mr"
image = [ { op = "gaussian", sigma_mm = 1.0 }, { op = "nyul", standard = "t1" } ]
keep = [ "original", "final" ]
"""
BEFORE = ({"op": "gaussian", "version": 2, "sigma_mm": 1.0},)
FITTED = Standard(
    kind="nyul", percentiles=(1.0, 50.0, 99.0), values=(1.0, 30.5, 100.0), count=3, cohort="ab", chain=BEFORE
)


def locked(text=TEXT, standard=FITTED):
    def resolve(reference):
        if reference.partition("@")[0] != "t1":
            raise ConfigError(f"fit {reference!r}: there is none")
        return f"t1@{standard.digest}", standard

    return lock_recipe(parse_recipe(tomllib.loads(text)), lambda _: pytest.fail("no model"), resolve)


def test_a_lock_states_the_standard_and_needs_no_lake_to_be_read():
    lock = locked()
    op = read_lock(lock.to_toml()).recipe.routes[0].image[1]
    assert op.standard == f"t1@{FITTED.digest}"
    assert (op.percentiles, op.values) == (FITTED.percentiles, FITTED.values)
    assert read_lock(lock.to_toml()).digest == lock.digest


def test_another_way_to_name_the_same_fit_makes_the_same_keys_and_another_fit_others():
    assert locked(TEXT.replace('"t1"', '"t1@latest"')).digest == locked().digest
    other = Standard.from_json({**FITTED.to_json(), "values": [1.0, 31.0, 100.0]})
    assert locked(standard=other).digest != locked().digest


def test_a_standard_through_json_is_the_same():
    assert Standard.from_json(FITTED.to_json()) == FITTED
    with pytest.raises(ConfigError, match="another version"):
        Standard.from_json({**FITTED.to_json(), "format": 99})


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('standard = "t1"', 'standard = "t2"', r"route\.0\.image\.1\.standard: fit 't2': there is none"),
        ("sigma_mm = 1.0", "sigma_mm = 1.5", r"route\.0\.image\.1\.standard: fitted on images after gaussian"),
        ('{ op = "gaussian", sigma_mm = 1.0 }, ', "", r"route\.0\.image\.0\.standard: .* stands after no op"),
        ('op = "nyul"', 'op = "match"', r"of the kind 'nyul', which is not for the op match"),
    ],
)
def test_a_standard_that_is_not_for_the_place_is_refused_with_its_path(before, after, message):
    assert before in TEXT
    with pytest.raises(ConfigError, match=message):
        locked(TEXT.replace(before, after))


def test_two_standards_in_a_row_are_pinned_in_order():
    text = TEXT.replace('standard = "t1" }', 'standard = "t1" }, { op = "nyul", standard = "t1" }')
    first = locked().recipe.routes[0].chain
    second = Standard.from_json({**FITTED.to_json(), "chain": first})
    given = iter([FITTED, second])

    def resolve(reference):
        standard = next(given)
        return f"t1@{standard.digest}", standard

    lock = lock_recipe(parse_recipe(tomllib.loads(text)), lambda _: pytest.fail("no model"), resolve)
    assert [op.standard for op in lock.recipe.routes[0].image[1:]] == [f"t1@{FITTED.digest}", f"t1@{second.digest}"]


def test_without_a_lake_no_name_means_anything():
    with pytest.raises(ConfigError, match=r"image\.1\.standard: .*no lake"):
        lock_recipe(parse_recipe(tomllib.loads(TEXT)), lambda _: pytest.fail("no model"))
    values = "values = [1.0, 2.0, 3.0], percentiles = [1.0, 50.0, 99.0]"
    plain = lock_recipe(parse_recipe(tomllib.loads(TEXT.replace('standard = "t1"', values))), lambda _: None)
    assert plain.recipe.routes[0].image[1].values == (1.0, 2.0, 3.0)


ELSEWHERE = """
name = "mine"

[[route]]
name = "mr"
image = [ { op = "gaussian", sigma_mm = 1.0 } ]
regions = [
    { op = "otsu", name = "plain" },
    { op = "otsu", after = [ { op = "gaussian", sigma_mm = 1.0 }, { op = "nyul", standard = "t1" } ] },
]

[[route.companions]]
name = "t2"
image = [ { op = "gaussian", sigma_mm = 1.0 }, { op = "nyul", standard = "t1" } ]
"""


def test_standards_are_pinned_wherever_image_ops_stand():
    route = read_lock(locked(ELSEWHERE).to_toml()).recipe.routes[0]
    for op in (route.regions[1].after[1], route.companions[0].image[1]):
        assert (op.standard, op.values) == (f"t1@{FITTED.digest}", FITTED.values)
    other = ELSEWHERE.replace('{ op = "gaussian", sigma_mm = 1.0 }, { op = "nyul", standard = "t1" } ] },', "] },")
    for text, path in ((ELSEWHERE, r"regions\.1\.after\.1"), (other, r"companions\.0\.image\.1")):
        with pytest.raises(ConfigError, match=rf"route\.0\.{path}\.standard: fitted on images after no op"):
            locked(text, Standard.from_json({**FITTED.to_json(), "chain": []}))


def test_keys_know_a_standard_by_its_digest_not_by_its_name():
    def resolve(reference):
        return f"{reference}@{FITTED.digest}", FITTED

    def lock(text):
        return lock_recipe(parse_recipe(tomllib.loads(text)), lambda _: None, resolve)

    one, other = lock(TEXT), lock(TEXT.replace('"t1"', '"brains"'))
    assert other.recipe.routes[0].image[1].standard == f"brains@{FITTED.digest}"
    assert other.digest == one.digest
    assert one.recipe.routes[0].chain[1]["standard"] == f"@{FITTED.digest}"
