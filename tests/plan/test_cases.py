from __future__ import annotations

import pytest

from medpipe.plan.cases import MOST_TRIES, Planner, Terms
from medpipe.plan.products import Content, wanted_products
from tests.plan.planning import Known, locked, volume

CLASS = "cpu-x86-64-v3"


def plan_of(*rows, lock=None, history=None, versions=None, chosen=None, **terms):
    known = {row["volume_key"]: "1" for row in rows} | (versions or {})
    planner = Planner(lock or locked(), Terms(**{"numeric_class": CLASS, **terms}))
    return planner.plan(rows, known, history or Known(), chosen=chosen)


def routes(plan):
    return {case.volume_key: case.route for case in plan.cases}


def test_the_first_route_that_fits_takes_the_volume():
    plan = plan_of(volume("a"), volume("b", shape=(2, 64, 64)), volume("c", kind="enhanced"))
    assert routes(plan) == {"a": "ct", "b": "thick", "c": "thick"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"modality": "US"}, "S_NO_ROUTE"),
        ({"modality": None}, "S_NO_ROUTE"),
        ({"modality": "PT", "shape": [7, 64, 64]}, "S_TOO_FEW_SLICES"),
        ({"kind": "enhanced", "shape": [51, 64, 64]}, "S_NO_ROUTE"),
    ],
)
def test_a_volume_no_route_takes_is_left_out_with_its_reason(changes, code):
    plan = plan_of(volume("a", **changes))
    assert plan.cases == ()
    assert plan.skipped == {"a": code}


def test_slices_of_a_series_in_time_are_counted_along_z():
    few = volume("a", modality="PT", shape=(30, 7, 64, 64), axes="tzyx")
    enough = volume("b", modality="PT", shape=(2, 8, 64, 64), axes="tzyx")
    plan = plan_of(few, enough)
    assert plan.skipped == {"a": "S_TOO_FEW_SLICES"}
    assert routes(plan) == {"b": "pet"}


def test_a_refused_volume_is_neither_planned_nor_left_out_by_a_rule():
    plan = plan_of(volume("a", verdict="refused", shape=[]), volume("b"))
    assert routes(plan) == {"b": "ct"}
    assert plan.skipped == {}


def test_a_choice_leaves_the_others_out_by_name():
    plan = plan_of(volume("a"), volume("b"), volume("c", modality="US"), chosen=frozenset({"a"}))
    assert routes(plan) == {"a": "ct"}
    assert plan.skipped == {"b": "S_LIMIT", "c": "S_NO_ROUTE"}


def test_every_volume_that_is_not_refused_is_accounted_for_once():
    rows = [volume("a"), volume("b", modality="US"), volume("c", verdict="refused"), volume("d", shape=(2, 4, 4))]
    plan = plan_of(*rows)
    assert sorted([case.volume_key for case in plan.cases] + list(plan.skipped)) == ["a", "b", "d"]


def test_the_plan_does_not_depend_on_the_order_of_the_index():
    rows = [volume(key) for key in "dbca"]
    assert plan_of(*rows) == plan_of(*reversed(rows))
    assert [case.volume_key for case in plan_of(*rows).cases] == ["a", "b", "c", "d"]


def test_a_case_that_ended_is_not_pending():
    (first,) = plan_of(volume("a")).cases
    plan = plan_of(volume("a"), volume("b"), history=Known(cases={first.key: ""}))
    assert [case.volume_key for case in plan.cases] == ["a", "b"]
    assert [case.volume_key for case in plan.pending] == ["b"]


def test_a_case_that_ended_is_pending_again_when_a_product_of_it_is_gone():
    (first,) = plan_of(volume("a")).cases
    stands_on = {"stands_on": {first.key: ("aa", "bb")}}
    assert plan_of(volume("a"), history=Known(cases={first.key: ""}, products=["aa", "bb"], **stands_on)).pending == ()
    assert len(plan_of(volume("a"), history=Known(cases={first.key: ""}, products=["aa"], **stands_on)).pending) == 1


@pytest.mark.parametrize(
    ("code", "pending"), [("E_CODEC_ERROR", 0), ("E_TIMEOUT", 0), ("E_CHANGED", 1), ("E_VANISHED", 1)]
)
def test_a_case_whose_files_were_not_as_scanned_is_pending_again(code, pending):
    (first,) = plan_of(volume("a")).cases
    assert len(plan_of(volume("a"), history=Known(cases={first.key: code})).pending) == pending


@pytest.mark.parametrize(
    "change",
    [
        {"versions": {"a": "2"}},
        {"numeric_class": "cuda-cc90"},
        {"lock": locked(("sigma_mm = 1.0", "sigma_mm = 2.0"))},
        {"lock": locked(('models = [ "nodule" ]', "models = []"))},
    ],
)
def test_a_case_is_another_when_what_it_depends_on_changes(change):
    assert plan_of(volume("a")).cases[0].key != plan_of(volume("a"), **change).cases[0].key


@pytest.mark.parametrize("change", [("min_slices = 3", "min_slices = 4"), ('name = "ct"', 'name = "chest"')])
def test_a_case_stays_the_same_when_only_its_choosing_changes(change):
    assert plan_of(volume("a")).cases[0].key == plan_of(volume("a"), lock=locked(change)).cases[0].key


def test_an_unknown_content_plans_everything_as_an_upper_bound():
    plan = plan_of(volume("a"))
    assert plan.counts() == {"features": 4, "regions": 2, "scores": 1, "volume": 1}
    assert plan.cases[0].work.content is None


def test_a_known_content_plans_what_is_missing_exactly():
    lock = locked(("bins = 32", "bins = 64"))
    read = ("11" * 32, "22" * 32)
    content = Content(volume=read[0], companions=read[1], numeric_class=CLASS)
    before = locked()
    done = [one.key for one in wanted_products(before, before.recipe.routes[0], content)]
    plan = plan_of(volume("a"), lock=lock, history=Known(products=done, contents={("a", "1"): read}))
    assert plan.counts() == {"features": 2, "scores": 1}
    assert plan.cases[0].work.content == content


def test_only_scores_are_made_without_opening_a_file():
    lock = locked()
    read = ("11" * 32, "22" * 32)
    content = Content(volume=read[0], companions=read[1], numeric_class=CLASS)
    wanted = wanted_products(lock, lock.recipe.routes[0], content)
    done = [one.key for one in wanted if one.kind != "scores"]
    contents = {("a", "1"): read}
    assert not plan_of(volume("a"), history=Known(products=done, contents=contents)).cases[0].work.opens_files
    assert plan_of(volume("a"), history=Known(products=done[1:], contents=contents)).cases[0].work.opens_files
    assert plan_of(volume("a"), history=Known(products=done)).cases[0].work.opens_files


SUV = ("image = [ {", 'image = [ { op = "suv" }, {')


def test_other_factors_to_uptake_are_another_case_only_where_they_are_used():
    rows = [volume("a", suv_factor=factor, suv_code=None) for factor in ([0.1], [0.2])]
    for lock, count in ((locked(), 1), (locked(SUV), 2)):
        assert len({plan_of(row, lock=lock).cases[0].key for row in rows}) == count


def test_content_is_never_known_to_a_route_that_makes_uptake():
    history = Known(contents={("a", "1"): ("11" * 32, "22" * 32)})
    assert plan_of(volume("a"), history=history).cases[0].work.content is not None
    assert plan_of(volume("a"), lock=locked(SUV), history=history).cases[0].work.content is None


def test_content_read_without_a_look_at_companions_is_none_for_who_uses_them():
    history = Known(contents={("a", "1"): ("11" * 32, "")})
    assert plan_of(volume("a"), history=history).cases[0].work.content is None
    thick = plan_of(volume("a", shape=(2, 64, 64)), history=history).cases[0]
    assert thick.route == "thick"
    assert thick.work.content is not None


def test_content_read_at_another_version_says_nothing():
    history = Known(contents={("a", "1"): ("11" * 32, "")})
    assert plan_of(volume("a"), versions={"a": "2"}, history=history).cases[0].work.content is None


def test_only_cases_of_the_codes_to_retry_are_pending_again():
    first, second = plan_of(volume("a"), volume("b")).cases
    history = Known(cases={first.key: "E_OOM", second.key: "E_TIMEOUT"})
    plan = plan_of(volume("a"), volume("b"), history=history, retry=frozenset({"E_OOM"}))
    assert [case.volume_key for case in plan.pending] == ["a"]
    assert len(plan.cases) == 2


@pytest.mark.parametrize(("code", "pending"), [("E_CODEC_ERROR", 1), ("E_TIMEOUT", 1), ("", 0)])
def test_a_failure_stands_only_under_the_conditions_it_happened_under(code, pending):
    (first,) = plan_of(volume("a")).cases
    history = Known(cases={first.key: code}, record={"conditions": "before"})
    assert len(plan_of(volume("a"), history=history, conditions="now").pending) == pending
    assert plan_of(volume("a"), history=history, conditions="before").pending == ()


def test_a_code_that_may_pass_is_tried_in_a_bounded_number_of_runs():
    (first,) = plan_of(volume("a")).cases
    for tries in range(1, MOST_TRIES):
        history = Known(cases={first.key: "E_VANISHED"}, record={"tries": tries})
        (again,) = plan_of(volume("a"), history=history).pending
        assert again.work.tries == tries + 1
    last = Known(cases={first.key: "E_VANISHED"}, record={"tries": MOST_TRIES})
    assert plan_of(volume("a"), history=last).pending == ()
    (asked,) = plan_of(volume("a"), history=last, retry=frozenset({"E_VANISHED"})).pending
    assert asked.work.tries == 1


def test_a_pending_case_says_why_it_has_to_run():
    (first,) = plan_of(volume("a")).cases
    read = {"contents": {("a", "1"): ("11" * 32, "22" * 32)}}
    gone = Known(cases={first.key: ""}, stands_on={first.key: ("aa",)})
    for history, why in [
        (Known(), "new"),
        (Known(of_volume={"a": ("aa",)}), "files changed"),
        (Known(of_volume={"a": ("aa",)}, **read), "recipe changed"),
        (Known(cases={first.key: "E_CHANGED"}), "tried again"),
        (gone, "product is gone"),
    ]:
        (case,) = plan_of(volume("a"), history=history).pending
        assert case.work.why == why
