"""Cases on a device: what they need of it by projection, and where those may go that it has no memory for."""

from __future__ import annotations

import tomllib

import pytest

from medpipe.plan.cases import Planner, Terms
from medpipe.plan.device import device_need
from medpipe.recipe.recipe import parse_recipe
from tests.plan.planning import Known, locked, volume

CUDA, CPU = "cuda-cc90", "cpu-x86-64-v3"
IMAGE = 4 * 20 * 64 * 64


def plan_of(*, history=None, retry=(), **terms):
    planner = Planner(locked(), Terms(**{"numeric_class": CUDA, **terms}, retry=frozenset(retry)))
    (case,) = planner.plan([volume("a")], {"a": "1"}, history or Known()).cases
    return case


def test_the_permit_is_part_of_no_key():
    strict, permitted = plan_of(), plan_of(fallback=CPU)
    assert strict.key == permitted.key
    assert (strict.work.fallback, permitted.work.fallback.numeric_class) == (None, CPU)


def test_the_key_of_a_fallback_is_neither_that_of_the_device_nor_that_of_the_cpu():
    fallback = plan_of(fallback=CPU).work.fallback
    others = [plan_of().key, plan_of(numeric_class=CPU).key, plan_of(fallback="cpu-aarch64").work.fallback.key]
    assert len({fallback.key, *others}) == 4
    assert plan_of(numeric_class="cuda-cc80", fallback=CPU).work.fallback.key != fallback.key


def test_what_fell_back_is_current_with_the_permit_and_runs_without_it():
    fallback = plan_of(fallback=CPU).work.fallback
    history = Known(cases={fallback.key: ""})
    case = plan_of(fallback=CPU, history=history)
    assert (case.work, case.key, case.numeric_class) == (None, fallback.key, CPU)
    strict = plan_of(history=history)
    assert (strict.key, strict.numeric_class) == (plan_of().key, CUDA)
    assert strict.work is not None
    # results planned for the CPU are none of the device's
    assert plan_of(fallback=CPU, history=Known(cases={plan_of(numeric_class=CPU).key: ""})).work is not None


def test_the_device_s_own_result_stands_before_a_fallback():
    fallback = plan_of(fallback=CPU).work.fallback
    case = plan_of(fallback=CPU, history=Known(cases={fallback.key: "", plan_of().key: ""}))
    assert (case.work, case.key, case.numeric_class) == (None, plan_of().key, CUDA)


def test_a_fallback_whose_product_is_gone_is_tried_on_the_device_first():
    fallback = plan_of(fallback=CPU).work.fallback
    history = Known(cases={fallback.key: ""}, stands_on={fallback.key: ("aa",)})
    case = plan_of(fallback=CPU, history=history)
    assert (case.key, case.work.fallback, case.work.why) == (plan_of().key, fallback, "product is gone")


def test_a_fallback_that_is_asked_for_again_says_so():
    history = Known(cases={plan_of(fallback=CPU).work.fallback.key: ""}, contents={("a", "1"): ("cd", "")})
    assert plan_of(fallback=CPU, history=history, retry=["W_ON_CPU"]).work.why == "tried again"


@pytest.mark.parametrize(
    ("code", "record", "terms", "is_pending"),
    [
        ("E_GPU_MEMORY", {}, {}, False),
        ("E_GPU_MEMORY", {}, {"fallback": CPU}, True),
        ("E_GPU_MEMORY", {}, {"conditions": "another share"}, True),
        ("E_DEVICE", {}, {"fallback": CPU}, False),
        ("E_OP_NONFINITE", {"device": "left"}, {"fallback": CPU}, False),
        ("E_OP_NONFINITE", {"device": "left"}, {}, True),
    ],
)
def test_an_end_stands_for_who_would_come_to_it_again(code, record, terms, is_pending):
    case = plan_of(**terms, history=Known(cases={plan_of().key: code}, record=record))
    assert (case.work is not None) == is_pending


# what a case needs ----------------------------------------------------------------------------


def route_of(text):
    return parse_recipe(tomllib.loads(f'name = "r"\n[[route]]\nname = "all"\n{text}')).routes[0]


FILTERED = 'image = [ { op = "median" }, { op = "clip", low = 0, high = 1 } ]\nkeep = ["original", "final"]'


def test_what_is_only_stored_needs_nothing_of_a_device():
    assert device_need(route_of(""), volume()) == (0, 0)
    assert plan_of(numeric_class=CPU).work.device == (0, 0)


def test_a_chain_has_the_image_what_it_is_given_and_what_it_makes_and_in_blocks_a_few_planes():
    whole, least = device_need(route_of(FILTERED), volume())
    assert whole == 3.25 * IMAGE
    assert least < IMAGE / 2


def test_an_op_without_a_halo_needs_the_whole_either_way():
    route = route_of('image = [ { op = "median" }, { op = "zscore" } ]\nkeep = ["original", "final"]')
    assert device_need(route, volume()).least >= 2 * IMAGE


def test_regions_and_views_need_the_whole_and_features_the_image():
    features = 'features = [ { name = "a", op = "ibsi", image = "final", bins = 32 } ]'
    found = 'regions = [ { op = "threshold", low = 0.5 } ]'
    bare, measured = (device_need(route_of(f"{FILTERED}\n{found}\n{more}"), volume()) for more in ("", features))
    assert bare.whole == measured.whole > 2 * IMAGE
    assert IMAGE < bare.least == measured.least < bare.whole


def test_companion_images_stay_beside_the_image():
    text = FILTERED + '\n[[route.companions]]\nname = "pet"\nwhere = { modality = "PT" }'
    alone = device_need(route_of(text), volume(), images=[None])
    beside = device_need(route_of(text), volume(), images=[volume("pet", shape=(20, 64, 64))])
    assert beside.whole == alone.whole + 2 * IMAGE
    assert beside.least == max(alone.least, 2 * IMAGE)


def test_a_volume_in_slabs_needs_a_slab():
    large = volume(shape=(1200, 512, 512))
    whole, least = device_need(route_of(FILTERED), large)
    assert least < whole < 4 * 1200 * 512 * 512 / 4
