"""Companion images and views within one case."""

from __future__ import annotations

import json
import tomllib
import weakref
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from medpipe.plan.products import Content, wanted_products
from medpipe.recipe.lock import lock_recipe
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Geometry, Volume
from medpipe.values import SuvScales
from medpipe.work import images as images_module
from medpipe.work.case import run_case
from tests.work.rooms import Room, an_order

TEXT = """
name = "pairs"

[[route]]
name = "mr"
regions = [ { op = "body", opening_mm = 0.0 } ]
views = [
    { name = "small", op = "thumbnail", size = 32 },
    { name = "hot", op = "projection", image = "pet", plane = "axial" },
    { name = "skin", op = "surface" },
]

[[route.companions]]
name = "pet"
where = { modality = "PT" }
image = [ { op = "suv" } ]
fuse = true

[[route.companions]]
name = "ct"
where = { modality = "CT" }
"""

SHAPE = (8, 24, 24)


def locked(text=TEXT):
    return lock_recipe(parse_recipe(tomllib.loads(text)), lambda name: None)


def placed(data, *, step=(2.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), frame="f" * 32, **changes):
    matrix = np.diag([*step[::-1], 1.0])
    matrix[:3, 3] = origin
    geometry = Geometry(
        shape=data.shape,
        spacing_mm=step,
        affine_lps=tuple(matrix.reshape(-1).tolist()),
        frame_of_reference_key=frame,
    )
    return Volume(data=data.astype(np.float32), geometry=geometry, **{"modality": "MR", **changes})


def an_image(**changes):
    z, y, x = np.indices(SHAPE)
    ball = (z - 4) ** 2 * 4 + (y - 12) ** 2 + (x - 12) ** 2 < 64
    noise = np.random.default_rng(1).normal(100, 10, SHAPE)
    return placed(noise + 400 * ball, **changes)


def a_pet(*, factor=0.5, seed=2, frame="f" * 32):
    data = np.random.default_rng(seed).integers(0, 1000, (5, 14, 12))
    scales = SuvScales(by_kind={"bw": (factor,)})
    return placed(data, step=(4.0, 2.0, 2.0), frame=frame, modality="PT", unit="BQML", suv=scales)


def room(lock=None, **images):
    return Room(lock or locked(), volume=an_image(), images={"pet": a_pet(), "ct": "S_NO_COMPANION", **images})


def run(given, **order):
    return run_case(an_order(**order), given, lambda stage, subject: None)


def row(result, kind, **equal):
    found = [one for record in result.products if record.kind == kind for one in record.rows]
    (one,) = [each for each in found if all(each[name] == value for name, value in equal.items())]
    return one


def kinds(result):
    return Counter(record.kind for record in result.products)


def test_a_case_yields_the_products_that_the_planner_names():
    given = room()
    result = run(given)
    assert result.case.status == "done"
    assert kinds(result) == {"volume": 1, "registrations": 2, "regions": 1, "views": 3}
    route = given.lock.recipe.routes[0]
    nothing = Content(volume="", companions="", numeric_class="")
    assert [record.kind for record in result.products] == [
        one.kind for one in wanted_products(given.lock, route, nothing)
    ]
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))
    again = run(room())
    assert again.case.result_digest == result.case.result_digest


def test_the_pet_is_fused_as_uptake_on_the_grid_of_the_image():
    given = room()
    result = run(given)
    told = row(result, "registrations", companion="pet")
    assert (told["status"], told["code"], told["method"], told["overlap"]) == ("ok", None, "frame", 1.0)
    np.testing.assert_array_equal(np.reshape(told["matrix_lps"], (4, 4)), np.eye(4))
    (key,) = [record.key for record in result.products if record.rows and record.rows[0] is told]
    fused, attrs = given.stored[key]
    assert (fused.data.shape, fused.geometry.axes, fused.unit) == ((2, *SHAPE), "czyx", "arbitrary")
    assert [one["unit"] for one in attrs["channels"]] == ["arbitrary", "g/mL"]
    np.testing.assert_array_equal(fused.data[0], an_image().data)
    # every second voxel lies on one of the PET
    pet = 0.5 * a_pet().data
    np.testing.assert_array_equal(fused.data[1, ::2, ::2, ::2], pet[:4, :12, :12])
    np.testing.assert_allclose(fused.data[1, 1, 2, 3], (pet[0:2, 1, 1:3]).mean(), rtol=1e-6)
    # half a voxel of it lies beyond its last centre
    assert np.isfinite(fused.data[1, :, :, 23]).all()


def test_what_is_beyond_the_companion_image_is_missing():
    small = replace(a_pet(), data=a_pet().data[:, :5, :5])
    small = replace(small, geometry=replace(small.geometry, shape=(5, 5, 5)))
    given = room(pet=small)
    result = run(given)
    (fused,) = [one[0] for one in given.stored.values() if isinstance(one, tuple)]
    assert np.isnan(fused.data[1, :, 10:, 10:]).all()
    assert np.isfinite(fused.data[1, :, :10, :10]).all()
    # along z a fifth of it lies beyond the image, along y and x a twentieth
    assert row(result, "registrations", companion="pet")["overlap"] == pytest.approx(0.8 * 0.95**2, abs=0.02)


def test_a_pair_that_is_measured_and_refused_tells_what_was_measured():
    away = a_pet()
    matrix = away.geometry.matrix
    matrix[0, 3] = 500.0
    away = replace(away, geometry=replace(away.geometry, affine_lps=tuple(matrix.reshape(-1).tolist())))
    result = run(room(pet=away))
    told = row(result, "registrations", companion="pet")
    assert (told["status"], told["code"], told["overlap"], told["store"]) == ("refused", "E_OVERLAP", 0.0, None)
    assert len(told["matrix_lps"]) == 16
    assert row(result, "views", view="hot")["code"] == "E_OVERLAP"


def test_a_companion_that_is_not_there_costs_only_its_own_row():
    given = room(pet="S_NO_COMPANION")
    result = run(given)
    assert result.case.status == "done"
    for name in ("pet", "ct"):
        told = row(result, "registrations", companion=name)
        assert (told["status"], told["code"], told["matrix_lps"], told["store"]) == (
            "refused",
            "S_NO_COMPANION",
            None,
            None,
        )
    assert row(result, "views", view="hot")["code"] == "S_NO_COMPANION"
    assert row(result, "views", view="small")["code"] is None


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("E_CODEC_ERROR", "E_CODEC_ERROR"),
        (a_pet(frame="0" * 32), "E_FRAME"),
        (replace(a_pet(), suv=None), "E_SUV_UNITS"),
        (replace(a_pet(), geometry=replace(a_pet().geometry, affine_lps=None)), "W_UNPLACED"),
    ],
    ids=["unreadable", "other frame", "no uptake", "no place"],
)
def test_a_companion_that_cannot_be_used_is_a_row_with_its_code(image, code):
    result = run(room(pet=image))
    assert result.case.status == "done"
    assert row(result, "registrations", companion="pet")["code"] == code
    assert row(result, "views", view="hot")["code"] == code
    codes = {record.code for record in result.products if record.kind == "registrations"}
    assert codes == {code, "S_NO_COMPANION"}


@pytest.mark.parametrize("code", ["E_CHANGED", "E_VANISHED", "E_UNREADABLE"])
def test_a_companion_file_that_is_not_as_it_was_scanned_ends_the_case_for_now(code):
    result = run(room(pet=code))
    assert (result.case.status, result.case.code) == ("rejected", code)


class OneTime(Room):
    """Makes its companion images when they are asked for, and keeps none."""

    def image(self, name):
        if name != "pet":
            return super().image(name)
        made = a_pet()
        self.read_once = weakref.ref(made.data)
        return made


def test_a_companion_image_is_not_kept_as_it_was_read_once_its_ops_were_worked(monkeypatch):
    given = OneTime(locked(), volume=an_image(), images={"ct": "S_NO_COMPANION"})
    is_kept = []

    def watched(*parts):
        is_kept.append(given.read_once() is not None)
        return on_grid(*parts)

    on_grid = images_module.on_grid
    monkeypatch.setattr(images_module, "on_grid", watched)
    assert row(run(given), "registrations", companion="pet")["status"] == "ok"
    assert is_kept == [False]


def test_on_the_grid_of_the_image_values_are_still_those_of_the_companion():
    own = replace(an_image(), quantity="ADC", padding=(0.0, 0.0), display=(), real_world=())
    found = images_module.on_grid(replace(a_pet(), quantity="T1"), own, np.eye(4))
    assert (found.quantity, found.modality, found.unit) == ("T1", "PT", "BQML")
    assert found.padding is found.display is found.real_world is found.suv is None


def test_a_surface_of_named_regions_is_keyed_by_their_sources_alone():
    text = TEXT.replace('{ name = "skin", op = "surface" }', '{ name = "skin", op = "surface", regions = ["body"] }')
    more = text.replace("opening_mm = 0.0 } ]", 'opening_mm = 0.0 }, { op = "otsu" } ]')
    assert more != text

    def view_keys(lock):
        wanted = wanted_products(
            lock, lock.recipe.routes[0], Content(volume="11" * 32, companions="", numeric_class="x")
        )
        return {one.view.name: one.key for one in wanted if one.view is not None}

    assert view_keys(locked(more)) == view_keys(locked(text))
    every = more.replace(', regions = ["body"]', "")
    assert view_keys(locked(every))["skin"] != view_keys(locked(TEXT))["skin"]
    assert (
        view_keys(locked(text))["skin"]
        != view_keys(locked(text.replace("opening_mm = 0.0", "opening_mm = 1.0")))["skin"]
    )


def made_anew(before, given):
    return kinds(run(given, committed=before.products))


def test_only_what_stands_on_a_companion_is_made_anew_when_it_changes():
    before = run(room())
    assert made_anew(before, room()) == {}
    assert made_anew(before, room(pet=a_pet(seed=3))) == {"registrations": 1, "views": 1}
    assert made_anew(before, room(pet=a_pet(factor=0.25))) == {"registrations": 1, "views": 1}
    assert made_anew(before, room(pet=a_pet(frame="0" * 32))) == {"registrations": 1, "views": 1}
    assert made_anew(before, room(ct=an_image(modality="CT"))) == {"registrations": 1}


def test_a_changed_view_makes_only_itself_anew():
    before = run(room())
    changed = locked(TEXT.replace("size = 32", "size = 33"))
    assert made_anew(before, room(changed)) == {"views": 1}


def test_equal_content_gives_equal_rows_whatever_it_is_called():
    one, other = run(room()), run(room(pet=replace(a_pet(), padding=(0.0, 0.0))))
    assert one.case.products == other.case.products


def test_views_are_told_with_sizes_and_digests_and_regions():
    given = room()
    result = run(given)
    small, skin = row(result, "views", view="small"), row(result, "views", view="skin")
    assert (small["file"], small["width"], small["height"]) == ("picture.png", 32, 32)
    assert (skin["file"], skin["region"], skin["source"], skin["label"]) == ("body-body-1.stl", "body", "body", 1)
    for told in (small, skin):
        data = given.stored[told["store"].removeprefix("objects/")][told["file"]]
        assert told["bytes"] == len(data)
    region = next(record for record in result.products if record.kind == "regions").rows[0]
    assert skin["volume_mm3"] == pytest.approx(region["volume_mm3"], rel=0.05)


def test_companions_and_views_enter_no_key_of_a_recipe_without_them():
    plain = locked('name = "pairs"\n[[route]]\nname = "mr"\n')
    assert "companions" not in plain.recipe.routes[0].spec()
    assert "views" not in plain.recipe.routes[0].spec()
    assert plain.digest == "f1e27025c386e4eeba06a56dcb386811f4bf895f963892ad349808a30b0df2f7"
