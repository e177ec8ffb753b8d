"""Perturbed measurements of a case: rows, refusals, and draws that only the content decides."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from medpipe.recipe.lock import lock_recipe
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Companions, Geometry, Region, Volume
from medpipe.work.case import run_case
from tests.work.rooms import Room, a_companion, a_volume, an_order

TEXT = """
name = "mine"
[[route]]
name = "mr"
image = [ { op = "gaussian", sigma_mm = 1.0 } ]
regions = [ { op = "whole" }, { op = "segmentation_objects" } ]
features = [
    { name = "plain", op = "ibsi", families = ["statistics"] },
    { name = "smooth", op = "ibsi", families = ["statistics"], image = "final" },
]
[[route.perturb]]
name = "moved"
times = 2
steps = [ { op = "rotate" }, { op = "noise" }, { op = "grow" } ]
"""


def measured(room):
    marks = []
    result = run_case(an_order(), room, lambda stage, _: marks.append(stage))
    return result, marks


def room_of(*changes, volume=None, companions=None):
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return Room(lock_recipe(parse_recipe(tomllib.loads(text)), None), volume=volume, companions=companions)


def rows(result, kind="perturbed"):
    return [row for record in result.products if record.kind == kind for row in record.rows]


def test_every_extraction_and_region_is_measured_every_time():
    result, marks = measured(room_of())
    assert [(row["region"], row["number"]) for row in rows(result)] == 2 * [
        ("whole", 1), ("whole", 2), ("roi_1", 1), ("roi_1", 2)
    ]  # fmt: skip
    assert {row["perturbation"] for row in rows(result)} == {"moved"}
    assert marks.index("perturbed") > marks.index("features")
    plain = rows(result, "features")
    assert len(plain) == 4
    assert all("number" not in row for row in plain)
    values = {row["values"]["stat_mean"] for row in [*plain, *rows(result)]}
    assert len(values) == 12


def test_a_case_is_measured_the_same_again_and_other_content_otherwise():
    first, again, other = (rows(measured(room_of(volume=a_volume(seed)))[0]) for seed in (1, 1, 2))
    assert first == again != other


def test_a_region_has_the_same_draws_whatever_others_there_are():
    alone = a_companion(a_volume())
    more = np.zeros(a_volume().data.shape, bool)
    more[1:3, 2:7, 2:7] = True
    both = Companions(
        regions=(*alone.regions, Region(mask=more, name="roi_2", label=2, source="seg")),
        original_names={"roi_1": "one", "roi_2": "two"},
    )
    found = [
        [row for row in rows(measured(room_of(companions=one))[0]) if row["region"] == "roi_1"] for one in (alone, both)
    ]
    assert found[0] == found[1]


def test_what_could_not_be_drawn_is_not_measured_and_the_rest_is():
    companions = a_companion(a_volume())
    gone = Region(mask=np.zeros(a_volume().data.shape, bool), name="roi_2", label=2, source="seg", code="S_NO_AREA")
    room = room_of(companions=replace(companions, regions=(*companions.regions, gone)))
    assert {row["region"] for row in rows(measured(room)[0])} == {"whole", "roi_1"}


@pytest.mark.parametrize("step", ["noise", "rotate"])
def test_an_image_that_a_step_refuses_has_rows_with_its_code(step):
    data = np.random.default_rng(1).normal(size=(2, 4, 12, 13)).astype(np.float32)
    series = Volume(data=data, geometry=Geometry(shape=data.shape, axes="tzyx", spacing_mm=(2.0, 1.0, 1.0)))
    steps = 'steps = [ { op = "rotate" }, { op = "noise" }, { op = "grow" } ]'
    room = room_of((steps, f'steps = [ {{ op = "{step}" }} ]'), volume=series, companions=Companions())
    found = rows(measured(room)[0])
    assert [row["number"] for row in found] == [1, 2, 1, 2]
    assert {(row["status"], row["code"], row["values"]["stat_mean"]) for row in found} == {("empty", "E_AXES", None)}


def test_a_region_that_is_turned_out_of_the_image_is_empty():
    mask = np.zeros(a_volume().data.shape, bool)
    mask[4, 0, 0] = True
    companions = Companions(
        regions=(Region(mask=mask, name="roi_1", source="seg"),), original_names={"roi_1": "corner"}
    )
    room = room_of(('{ op = "rotate" }', '{ op = "rotate", degrees = [45, 45] }'), companions=companions)
    corner = [row for row in rows(measured(room)[0]) if row["region"] == "roi_1"]
    assert {(row["status"], row["code"]) for row in corner} == {("empty", "EMPTY_ROI")}


def test_all_of_an_image_is_no_outline_that_could_be_drawn_otherwise():
    steps = 'steps = [ { op = "rotate" }, { op = "noise" }, { op = "grow" } ]'
    turned = (
        'steps = [ { op = "rotate", degrees = [30, 30] }, { op = "grow", share = [-0.5, -0.5] }, { op = "contour" } ]'
    )
    extra = 'features = [ { name = "shape", op = "fractal" }, { name = "quality", op = "quality" },'
    result, _ = measured(room_of(("features = [", extra), (steps, turned)))
    plain, again = (
        [row["values"] for row in rows(result, kind) if row["region"] == "whole"] for kind in ("features", "perturbed")
    )
    shape = next(values for values in plain if "fractal_region" in values)
    quality = [values for values in again if "qc_missing" in values]
    for values in again:
        if "fractal_region" in values:
            assert values["fractal_region"] == shape["fractal_region"]
    # what was turned out of the image is missing, and the foreground is found as in any image
    assert all(0.0 < values["qc_missing"] < 0.5 and values["qc_fg_share"] < 0.9 for values in quality)
    assert len(quality) == 2


def test_padding_is_in_the_keys_of_a_case_whose_quality_is_measured():
    padded = replace(a_volume(), padding=(-1000.0, -900.0))
    extra = ("features = [", 'features = [ { name = "quality", op = "quality" },')
    with_quality = [measured(room_of(extra, volume=one))[0].case.content_digest for one in (a_volume(), padded)]
    without = [measured(room_of(volume=one))[0].case.content_digest for one in (a_volume(), padded)]
    assert with_quality[0] != with_quality[1]
    assert without[0] == without[1]


def test_what_a_header_calls_padding_is_none_of_the_final_image():
    # after the op no voxel has the value that was read, but some may have one that looks like padding
    padded = replace(a_volume(), padding=(-1.0, 1e9))
    extra = 'features = [ { name = "read", op = "quality" }, { name = "made", op = "quality", image = "final" },'
    result, _ = measured(room_of(("features = [", extra), volume=padded))
    shares = [row["values"]["qc_padding"] for row in rows(result, "features") if "qc_padding" in row["values"]]
    assert shares == [1.0, 1.0, 0.0, 0.0]
