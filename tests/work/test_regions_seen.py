"""What a case makes of region sources that look at uptake, and of image ops that move regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medpipe.values import SuvScales
from medpipe.work.case import run_case
from tests.work.rooms import Room, a_volume, an_order, locked

BODY = '{ op = "body", opening_mm = 0.0 }'
UPTAKE = '{ op = "uptake", above = 3.0, after = [ { op = "suv" } ], then = [ { op = "keep_largest" } ] }'
RESAMPLED = ('op = "gaussian", sigma_mm = 1.0', 'op = "resample", spacing_mm = [ 1.0, 2.0, 2.0 ]')


def run(room, order=None):
    return run_case(order or an_order(), room, lambda stage, subject: None)


def of_kind(result, kind):
    return [record for record in result.products if record.kind == kind]


def a_pet(**by_kind):
    return replace(a_volume(), modality="PT", unit="BQML", suv=SuvScales(by_kind=by_kind))


def test_a_region_above_a_fixed_uptake_is_measured_on_the_original():
    result = run(Room(locked((BODY, UPTAKE)), volume=a_pet(bw=(0.01,))))
    (region,) = of_kind(result, "regions")[0].rows
    assert (region["name"], region["n_voxels"]) == ("uptake", int((a_volume().data >= 300.0).sum()))
    # in Bq/ml, as the image it is measured on
    values = of_kind(result, "features")[0].rows[0]["values"]
    assert values["stat_min"] >= 300.0


def test_other_factors_renew_the_regions_made_of_the_uptake_and_what_stands_on_them():
    lock = locked((BODY, f"{BODY}, {UPTAKE}"))
    before = run(Room(lock, volume=a_pet(bw=(0.01,), lbm=(0.008,))))
    same = run(Room(lock, volume=a_pet(bw=(0.01,), lbm=(0.009,))), an_order(committed=before.products))
    assert same.products == ()
    after = run(Room(lock, volume=a_pet(bw=(0.02,), lbm=(0.008,))), an_order(committed=before.products))
    assert after.case.content_digest == before.case.content_digest
    assert [record.kind for record in after.products] == ["regions", "features", "features", "scores"]


def test_without_factors_the_regions_say_why_there_are_none():
    result = run(Room(locked((BODY, UPTAKE)), volume=a_pet(bw="E_SUV_NO_WEIGHT")))
    assert result.case.status == "done"
    assert (of_kind(result, "regions")[0].code, of_kind(result, "regions")[0].rows) == ("E_SUV_NO_WEIGHT", ())


@pytest.mark.parametrize(
    ("spacing", "told"),
    [
        ("[ 1.0, 2.0, 2.0 ]", {"body": ("ok", None), "gtv": ("ok", None)}),
        # of slices 3 mm apart it lies in two
        ("[ 3.0, 0.7, 1.3 ]", {"body": ("ok", None), "gtv": ("flagged", "SMALL_ROI")}),
    ],
)
def test_regions_go_with_an_image_that_is_resampled_as_the_extractor_takes_them(spacing, told):
    first = 'op = "ibsi", families = ["statistics"]'
    measured = 'op = "ibsi", families = ["statistics", "morphology"]'
    lock = locked(
        (first, f"{measured}, resample_mm = {spacing}"),
        ('op = "lbp", image = "final"', f'{measured}, image = "final"'),
        ('op = "gaussian", sigma_mm = 1.0', f'op = "resample", spacing_mm = {spacing}'),
    )
    features = of_kind(run(Room(lock)), "features")
    for by_extractor, by_op in zip(features[:2], features[2:], strict=True):
        (expected,), (found,) = by_extractor.rows, by_op.rows
        assert found["region"] == expected["region"]
        assert (found["status"], found["code"]) == told[found["region"]]
        assert found["values"] == pytest.approx(expected["values"], rel=1e-5, nan_ok=True)


def test_what_is_measured_on_a_resampled_image_has_a_key_of_its_own():
    # regions did not go with it once: those rows said E_GRID, under a key that is not to be met again
    lock = locked(RESAMPLED)
    route = lock.recipe.routes[0]
    assert [op.get("carry") for op in route.measured_chain] == [1]
    assert all("carry" not in op for op in route.chain)
    plain = locked().recipe.routes[0]
    assert plain.measured_chain == plain.chain


def test_a_rough_region_flags_what_is_measured_of_it():
    head = np.zeros((8, 24, 24), np.float32)
    head[:, 2:22, 2:22] = 100.0
    head += np.random.default_rng(1).normal(0, 1, head.shape).astype(np.float32)
    room = Room(locked((BODY, '{ op = "brain", wear_mm = 1.0 }')), volume=replace(a_volume(), data=head))
    result = run(room)
    row = of_kind(result, "features")[0].rows[0]
    assert (row["region"], row["status"], row["code"]) == ("brain", "flagged", "W_APPROXIMATE")
    assert row["values"]["stat_mean"] == pytest.approx(100.0, abs=1.0)
    assert of_kind(result, "regions")[0].rows[0].get("code") is None
