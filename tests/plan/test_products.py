from __future__ import annotations

from dataclasses import replace

import pytest

from medpipe.plan.products import Content, wanted_products
from medpipe.recipe.lock import ModelPin
from tests.plan.planning import locked

CONTENT = Content(volume="11" * 32, companions="22" * 32, numeric_class="cpu-x86-64-v3")

NAMES = (
    "volume",
    "regions body",
    "regions objects",
    "radiomics body",
    "radiomics objects",
    "lbp body",
    "lbp objects",
    "scores",
)
EVERYTHING = set(NAMES)
NOTHING: set[str] = set()
OF_BODY = {"regions body", "radiomics body", "lbp body", "scores"}
OF_OBJECTS = {"regions objects", "radiomics objects", "lbp objects", "scores"}


def keys(lock, content=CONTENT):
    route = lock.recipe.routes[0]
    return dict(zip(NAMES, (one.key for one in wanted_products(lock, route, content)), strict=True))


def renewed(lock, content=CONTENT):
    before, after = keys(locked()), keys(lock, content)
    return {name for name in NAMES if before[name] != after[name]}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("sigma_mm = 1.0", "sigma_mm = 2.0", {"lbp body", "lbp objects", "scores"}),
        ("image = [ {", 'image = [ { op = "median" }, {', {"lbp body", "lbp objects", "scores"}),
        ('{ op = "body" }', '{ op = "body", opening_mm = 0.0 }', OF_BODY),
        ('{ op = "body" }', '{ op = "body", ct_above_hu = -500.0 }', NOTHING),
        ('"segmentation_objects" }', '"segmentation_objects", map = { gtv = "gtv" } }', OF_OBJECTS),
        ("bins = 32", "bins = 64", {"radiomics body", "radiomics objects", "scores"}),
        ('name = "radiomics"', 'name = "texture"', {"scores"}),
        ('image = "final"', 'image = "original"', {"lbp body", "lbp objects", "scores"}),
        ('models = [ "nodule" ]', 'models = [ "nodule" ]\nkeep = [ "original", "final" ]', {"volume"}),
        ("min_slices = 3", "min_slices = 4", NOTHING),
        ('name = "ct"', 'name = "chest"', NOTHING),
        ('name = "mine"', 'name = "yours"', NOTHING),
    ],
)
def test_a_change_of_the_recipe_renews_what_depends_on_it_and_no_more(before, after, expected):
    assert renewed(locked((before, after))) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"volume": "33" * 32}, EVERYTHING),
        ({"companions": "33" * 32}, OF_OBJECTS),
        ({"companions": ""}, OF_OBJECTS),
        ({"numeric_class": "cuda-cc90"}, EVERYTHING - {"volume"}),
    ],
)
def test_a_change_of_what_was_read_renews_what_depends_on_it_and_no_more(change, expected):
    assert renewed(locked(), replace(CONTENT, **change)) == expected


def test_another_package_renews_the_scores_alone():
    other = locked(resolve=lambda reference: ModelPin(name=reference, digest="cd" * 32))
    assert renewed(other) == {"scores"}


def test_the_scores_of_a_model_that_reads_one_extraction_outlive_a_change_of_the_other():
    def reads_one(reference):
        return ModelPin(name=reference, digest="ab" * 32, extractions=("radiomics",))

    before = keys(locked(resolve=reads_one))
    filtered = keys(locked(("sigma_mm = 1.0", "sigma_mm = 2.0"), resolve=reads_one))
    binned = keys(locked(("bins = 32", "bins = 64"), resolve=reads_one))
    assert filtered["scores"] == before["scores"] != binned["scores"]


def test_a_stored_final_image_depends_on_chain_and_class():
    kept = ('models = [ "nodule" ]', 'keep = [ "original", "final" ]')
    first = wanted_products(locked(kept), locked(kept).recipe.routes[0], CONTENT)[0]
    chain = locked(kept, ("sigma_mm = 1.0", "sigma_mm = 2.0"))
    other_chain = wanted_products(chain, chain.recipe.routes[0], CONTENT)[0]
    other_class = wanted_products(
        locked(kept), locked(kept).recipe.routes[0], replace(CONTENT, numeric_class="cuda-cc90")
    )[0]
    assert len({first.key, other_chain.key, other_class.key}) == 3


SUV = ("image = [ {", 'image = [ { op = "suv" }, {')


@pytest.mark.parametrize(
    ("keep", "expected"), [("", NOTHING), ('\nkeep = [ "original", "final" ]', {"volume"})], ids=["plain", "kept"]
)
def test_other_factors_to_uptake_renew_what_is_made_of_the_uptake_and_no_more(keep, expected):
    kept = ('models = [ "nodule" ]', f'models = [ "nodule" ]{keep}')
    lock = locked(SUV, kept)
    one, other = (keys(lock, replace(CONTENT, suv=suv * 32)) for suv in ("44", "55"))
    assert {name for name in NAMES if one[name] != other[name]} == {"lbp body", "lbp objects", "scores"} | expected
    plain = locked(kept)
    assert keys(plain, replace(CONTENT, suv="44" * 32)) == keys(plain)


def test_no_two_products_of_a_case_share_a_key():
    assert len(set(keys(locked()).values())) == len(NAMES)


def test_products_come_in_the_order_they_are_made_in():
    kinds = [one.kind for one in wanted_products(locked(), locked().recipe.routes[0], CONTENT)]
    assert kinds == ["volume", "regions", "regions", *["features"] * 4, "scores"]
