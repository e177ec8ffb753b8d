from __future__ import annotations

import gc
import json
import math
import weakref
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from medpipe.contracts.records import CaseResult
from medpipe.keys import array_digest, digest
from medpipe.plan.products import Content, wanted_products
from medpipe.reasons import REASONS
from medpipe.types import Companions, Geometry, Region, Shares, Structure, Volume
from medpipe.values import SuvScales
from medpipe.work.case import run_case
from medpipe.work.content import companions_digest, volume_digest
from medpipe.work.room import Reading
from tests.work.rooms import Room, a_volume, an_order, locked


def run(room=None, order=None):
    marks = []
    result = run_case(order or an_order(), room or Room(), lambda stage, subject: marks.append((stage, subject)))
    return result, marks


def products(result):
    return {(record.kind, place): record for place, record in enumerate(result.products)}


def rows(result, kind):
    return [row for record in result.products if record.kind == kind for row in record.rows]


def read_content(result):
    case = result.case
    return Content(volume=case.content_digest, companions=case.companions_digest, numeric_class=case.numeric_class)


def test_a_case_yields_every_product_under_the_key_the_planner_names():
    result, _ = run()
    room = Room()
    wanted = wanted_products(room.lock, room.lock.recipe.routes[0], read_content(result))
    assert result.case.status == "done"
    assert result.case.products == tuple(one.key for one in wanted)
    assert [record.key for record in result.products] == [one.key for one in wanted]


def test_the_voxels_are_read_and_stored_once():
    room = Room()
    run(room)
    assert room.asked == {"read": 1, "companions": 1, "store": 1, "scorer": 1}


def test_every_step_is_marked_before_it_is_done_and_names_only_the_key():
    _, marks = run()
    stages = list(dict.fromkeys(stage for stage, _ in marks))
    assert stages == ["read", "companions", "store", "regions", "features", "image", "scores", "done"]
    assert {subject for _, subject in marks} == {"v1"}


def test_two_runs_give_equal_results():
    first, second = run()[0], run()[0]
    assert first.case.result_digest == second.case.result_digest
    assert [one.content_digest for one in first.products] == [one.content_digest for one in second.products]


def test_a_result_survives_its_way_through_json():
    result, _ = run()
    text = json.dumps(result.to_json(), allow_nan=False)
    again = CaseResult.from_json(json.loads(text))
    assert again.case.result_digest == result.case.result_digest
    assert [one.content_digest for one in again.products] == [one.content_digest for one in result.products]


def test_no_text_of_a_companion_leaves_the_case():
    result, _ = run()
    assert "patient" not in json.dumps(result.to_json())
    assert [row["name"] for row in rows(result, "regions")] == ["body", "gtv"]


def test_the_frame_of_reference_does_not_enter_the_content():
    volume = a_volume()
    named = replace(volume, geometry=replace(volume.geometry, frame_of_reference_key="f" * 32))
    assert volume_digest(named) == volume_digest(volume)


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "HU"},
        {"modality": "CT"},
        {"verdict": "tilted"},
        {"geometry": Geometry(shape=(8, 24, 24), spacing_mm=(2.0, 1.0, 1.5))},
        {"data": a_volume(seed=2).data},
    ],
)
def test_the_content_changes_with_voxels_and_geometry(change):
    assert volume_digest(replace(a_volume(), **change)) != volume_digest(a_volume())


def test_equal_values_made_of_other_integers_are_other_content():
    halves = run(Room(quantization=(0.5, -100.0)))[0].case
    shifted = run(Room(quantization=(0.5, -1100.0)))[0].case
    assert halves.content_digest != shifted.content_digest
    assert not set(halves.products) & set(shifted.products)


# what is committed ----------------------------------------------------------------------------


def test_committed_products_are_taken_and_not_computed_again():
    before, _ = run()
    result, _ = run(order=an_order(committed=before.products))
    assert result.products == ()
    assert result.case.products == before.case.products


def test_only_scores_are_computed_when_only_the_model_changed():
    before, _ = run()
    room = Room(locked(model="cd" * 32))
    kept = [record for record in before.products if record.kind != "scores"]
    result, marks = run(room, an_order(committed=kept, content=read_content(before)))
    assert room.asked == {"scorer": 1}
    assert [record.kind for record in result.products] == ["scores"]
    assert [stage for stage, _ in marks] == ["scores", "done"]
    assert {row["model_digest"] for row in rows(result, "scores")} == {"cd" * 32}
    assert read_content(result) == read_content(before)


def test_a_new_extraction_computes_itself_and_the_scores():
    before, _ = run()
    room = Room(locked(("features = [", 'features = [ { name = "more", op = "lbp" },')))
    result, _ = run(room, an_order(committed=before.products, content=read_content(before)))
    assert [record.kind for record in result.products] == ["features", "features", "scores"]
    assert "store" not in room.asked


def test_another_filter_leaves_the_volume_its_regions_and_the_features_of_the_original():
    before, _ = run()
    room = Room(locked(("sigma_mm = 1.0", "sigma_mm = 2.0")))
    result, _ = run(room, an_order(committed=before.products, content=read_content(before)))
    extractions = [set(record.rows[0]["values"]) for record in result.products if record.kind == "features"]
    assert [record.kind for record in result.products] == ["features", "features", "scores"]
    assert all("lbp_0" in names for names in extractions)


def test_what_is_read_counts_and_not_the_hint_about_it():
    before, _ = run()
    hint = Content(volume="00" * 32, companions="", numeric_class="cpu-x86-64-v3")
    result, _ = run(order=an_order(committed=before.products, content=hint))
    assert result.case.content_digest == before.case.content_digest
    assert result.products == ()


# what cannot be used --------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "stage"), [("read", "read"), ("store", "store")])
def test_data_that_cannot_be_used_ends_the_case_with_stage_and_code(what, stage):
    result, _ = run(Room(refuse={what: "E_CODEC_ERROR"}))
    case = result.case
    assert (case.status, case.stage, case.code) == ("rejected", stage, "E_CODEC_ERROR")
    assert (case.products, case.content_digest) == ((), "")
    assert case.code in REASONS


def test_companions_that_cannot_be_read_cost_their_regions_only():
    result, _ = run(Room(refuse={"companions": "E_GRID"}))
    codes = [(record.kind, record.code, len(record.rows)) for record in result.products]
    assert result.case.status == "done"
    assert codes[:3] == [("volume", "", 1), ("regions", "", 1), ("regions", "E_GRID", 0)]
    assert {row["region"] for row in rows(result, "features")} == {"body"}
    assert {row["region"] for row in rows(result, "scores")} == {"body"}


def test_a_companion_that_cannot_be_used_does_not_cost_the_others():
    good = Room()
    companions = replace(good.companions(a_volume()), problems=("E_CONTOUR",))
    result, _ = run(Room(companions=companions))
    found = [(record.code, len(record.rows)) for record in result.products if record.kind == "regions"]
    assert found == [("", 1), ("E_CONTOUR", 1)]


def test_a_case_without_companions_has_no_regions_of_theirs():
    result, _ = run(Room(companions=Companions()))
    assert result.case.companions_digest  # looked for, and none found
    assert {row["region"] for row in rows(result, "features")} == {"body"}


def test_the_masks_of_companions_enter_the_keys_of_their_regions():
    with_mask, without = run()[0], run(Room(companions=Companions()))[0]
    changed = [
        place
        for place, keys in enumerate(zip(with_mask.case.products, without.case.products, strict=True))
        if len(set(keys)) == 2
    ]
    kinds = [record.kind for record in with_mask.products]
    assert [kinds[place] for place in changed] == ["regions", "features", "features", "scores"]


def test_a_structure_that_could_not_be_drawn_is_a_row_with_its_code():
    good = Room().companions(a_volume())
    empty = Region(mask=np.zeros((8, 24, 24), bool), name="roi_2", label=2, source="rtstruct", code="W_OUTSIDE")
    companions = replace(good, regions=(*good.regions, empty), original_names={**good.original_names, "roi_2": "x"})
    result, _ = run(Room(companions=companions))
    found = {row["name"]: row for row in rows(result, "regions")}
    assert (found["roi_2"]["code"], found["roi_2"]["n_voxels"]) == ("W_OUTSIDE", 0)
    assert "code" not in found["gtv"]
    features = [row for row in rows(result, "features") if row["region"] == "roi_2"]
    assert {(row["status"], row["code"]) for row in features} == {("empty", "W_OUTSIDE")}
    assert set(features[0]["values"].values()) == {None}


def test_the_threshold_of_a_fractional_segment_is_told_in_its_row():
    good = Room().companions(a_volume())
    told = replace(good, regions=(replace(good.regions[0], threshold=0.5),))
    assert [row.get("threshold") for row in rows(run(Room(companions=told))[0], "regions")] == [None, 0.5]


def test_the_keys_of_plain_companions_are_those_of_their_names_and_masks():
    companions = Room().companions(a_volume())
    (region,) = companions.regions
    by_hand = digest([[["roi_1", "GTV of a patient", 1, "seg", array_digest(region.mask)]], []])
    plain = replace(companions, structures={"roi_1": Structure(codes=("SCT:1",), number=4)})
    assert companions_digest(companions) == companions_digest(plain) == by_hand


@pytest.mark.parametrize(
    "structure",
    [
        Structure(resampled=True),
        Structure(shares=Shares(values=np.ones((1, 2, 3), np.uint8), start=(0, 0, 0), maximum=2)),
        Structure(shares=Shares(values=np.ones((1, 2, 3), np.uint8), start=(0, 0, 1), maximum=2)),
    ],
)
def test_what_a_recipe_may_decide_otherwise_enters_the_keys(structure):
    companions = Room().companions(a_volume())
    told = replace(companions, structures={"roi_1": structure})
    assert companions_digest(told) != companions_digest(companions)


def test_codes_and_numbers_count_only_where_a_rule_asks_for_them():
    companions = Room().companions(a_volume())
    one, other = (replace(companions, structures={"roi_1": Structure(number=number)}) for number in (1, 2))
    asking = locked(('map = { gtv = "(?i)gtv" }', 'numbers = { liver = "2" }'))
    plain = {run(Room(companions=each))[0].case.companions_digest for each in (one, other)}
    asked = {run(Room(asking, companions=each))[0].case.companions_digest for each in (one, other)}
    assert (len(plain), len(asked), len(plain & asked)) == (1, 2, 0)
    assert [row["name"] for row in rows(run(Room(asking, companions=other))[0], "regions")] == ["body", "liver"]


def test_a_filter_that_refuses_costs_the_features_of_its_image_only():
    given = a_volume()
    bare = Volume(data=given.data, geometry=Geometry(shape=given.data.shape), modality="MR")
    result, _ = run(Room(volume=bare))
    assert result.case.status == "done"
    found = [record for record in result.products if record.kind == "features"]
    assert [record.code for record in found] == ["", "", "E_SPACING", "E_SPACING"]
    assert [len(record.rows) for record in found] == [1, 1, 0, 0]


SUV = ("image = [ {", 'image = [ { op = "suv" }, {')
KEPT = ('models = [ "nodule" ]', 'models = [ "nodule" ]\nkeep = [ "original", "final" ]')


def a_pet(**by_kind):
    return replace(a_volume(), modality="PT", unit="BQML", suv=SuvScales(by_kind=by_kind))


def test_a_corrected_weight_costs_what_is_made_of_the_uptake_and_no_more():
    lock = locked(SUV, KEPT)
    before, _ = run(Room(lock, volume=a_pet(bw=(0.01,), lbm=(0.008,))))
    same, _ = run(Room(lock, volume=a_pet(bw=(0.01,), lbm=(0.009,))), an_order(committed=before.products))
    assert same.products == ()
    room = Room(lock, volume=a_pet(bw=(0.02,), lbm=(0.016,)))
    after, _ = run(room, an_order(committed=before.products))
    assert after.case.content_digest == before.case.content_digest
    assert Counter(record.kind for record in after.products) == {"volume": 1, "features": 2, "scores": 1}
    (final,) = room.stored.values()
    assert final.unit == "g/mL"


def test_a_pet_without_factors_is_stored_and_measured_as_it_is_and_says_why_there_is_no_uptake():
    lock = locked(SUV, KEPT)
    room = Room(lock, volume=a_pet(bw="E_SUV_NO_WEIGHT"))
    result, _ = run(room)
    assert result.case.status == "done"
    assert list(room.stored.values()) == [None]
    codes = [(record.kind, record.code, len(record.rows)) for record in result.products]
    assert codes[0] == ("volume", "E_SUV_NO_WEIGHT", 1)
    assert codes[3:7] == [
        *[("features", "", 1)] * 2,
        *[("features", "E_SUV_NO_WEIGHT", 0)] * 2,
    ]


def test_a_constant_image_is_no_bug():
    given = a_volume()
    flat = replace(given, data=np.zeros_like(given.data))
    result, _ = run(Room(volume=flat))
    assert result.case.status == "done"
    assert next(record.code for record in result.products if record.kind == "regions") == "E_CONSTANT"


def test_scores_hold_numbers_or_nothing():
    result, _ = run()
    found = rows(result, "scores")
    assert all(math.isfinite(row["value"]) for row in found)
    assert {row["lower"] for row in found} == {None}


def test_a_final_image_is_stored_where_the_recipe_keeps_it():
    room = Room(locked(('models = [ "nodule" ]', 'keep = [ "original", "final" ]')))
    run(room)
    (final,) = room.stored.values()
    assert final.data.std() < a_volume().data.std()
    plain = Room()
    run(plain)
    assert list(plain.stored.values()) == [None]


def test_a_final_image_that_is_to_be_kept_and_cannot_be_made_says_why():
    lock = locked(
        ('op = "gaussian", sigma_mm = 1.0', 'op = "real_world"'),
        ('models = [ "nodule" ]', 'models = [ "nodule" ]\nkeep = [ "original", "final" ]'),
    )
    result, _ = run(Room(lock))
    (stored,) = (record for record in result.products if record.kind == "volume")
    assert (result.case.status, stored.code) == ("done", "E_REAL_WORLD")


def test_regions_go_with_an_image_that_is_straightened_and_its_features_say_so():
    lock = locked(
        ('op = "gaussian", sigma_mm = 1.0', 'op = "straighten"'),
        ('families = ["statistics"] }', 'families = ["statistics"], image = "final" }'),
    )
    volume = a_volume()
    affine = np.array([[1.0, 0, 0, 0], [0, 1.0, 1.0, 0], [0, 0, 2.0, 0], [0, 0, 0, 1.0]])
    geometry = replace(volume.geometry, affine_lps=tuple(affine.ravel().tolist()))
    tilted = volume.with_data(volume.data, geometry=geometry, verdict="tilted")
    room = Room(lock, volume=tilted)
    result, _ = run(room)
    features = [row for row in rows(result, "features") if "stat_mean" in row["values"]]
    assert {row["region"] for row in features} == {"body", "gtv"}
    assert {(row["status"], row["code"]) for row in features} == {("flagged", "W_STRAIGHTENED")}
    (drawn,) = (row["values"]["stat_mean"] for row in features if row["region"] == "gtv")
    mask = room.companions(tilted).regions[0].mask
    # whole pixels a slice: nothing is between pixels, so the same voxels are measured
    assert drawn == pytest.approx(float(tilted.data[mask].mean()), rel=1e-6)


@pytest.mark.parametrize("refuse", [{}, {"companions": "E_GRID"}])
def test_a_case_that_ended_holds_nothing_of_what_it_read(refuse):
    class Read(Room):
        def read(self):
            volume = a_volume()
            held.append(weakref.ref(volume.data))
            return Reading(volume=volume, quantization=None)

    held = []
    gc.collect()
    gc.disable()
    try:
        # a refusal that is kept, or a step that knows the case, would leave it to the collector
        run_case(an_order(), Read(refuse=refuse), lambda stage, subject: None)
        assert [array() is None for array in held] == [True]
    finally:
        gc.enable()
