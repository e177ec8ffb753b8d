"""Companion images in a plan: which volume is taken, and what it is planned for."""

from __future__ import annotations

import math
import random
import tomllib
from dataclasses import replace

import pytest

from medpipe.errors import ConfigError
from medpipe.ops.align.rigid import Rigid
from medpipe.plan import pairing
from medpipe.plan.cases import Planner, Terms
from medpipe.plan.choice import choose
from medpipe.plan.memory import goes_in_slabs, held_bytes, projected_bytes
from medpipe.plan.pairing import Pairings
from medpipe.recipe.lock import lock_recipe, read_lock
from medpipe.recipe.preferences import Preference
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Geometry
from tests.plan.planning import Known, pin, volume

TEXT = """
name = "pairs"

[[route]]
name = "ct"
where = { modality = "CT" }
views = [ { name = "mip", op = "projection", image = "pet" } ]

[[route.companions]]
name = "pet"
where = { modality = "PT", min_slices = 5 }
prefer = ["original", "thin"]
image = [ { op = "suv" } ]

[[route.companions]]
name = "mr"
where = { modality = "MR" }
align = { op = "rigid", max_rotation_deg = 20 }
"""
TERMS = Terms(numeric_class="cpu-x86-64-v3")


def parsed(*changes):
    text = TEXT
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return parse_recipe(tomllib.loads(text))


def row(key, modality="PT", **changes):
    given = {"study_key": "one", "frame_key": "f", "flags": [], "thickness_mm": 3.0, "derived": False, **changes}
    return volume(key, modality=modality, **given)


def pairs(*rows, own=None, recipe=None):
    """Return the volumes taken for the pet and the mr of a CT, or the codes."""
    own = own or row("ct", "CT")
    found = [own, *rows]
    random.Random(len(rows)).shuffle(found)
    pet, mr = Pairings(found).of((recipe or parsed()).routes[0], own)
    assert (pet.name, mr.name) == ("pet", "mr")
    return pet.code or pet.volume_key, mr.code or mr.volume_key


def test_none_that_fits_is_a_code():
    assert pairs() == ("S_NO_COMPANION", "S_NO_COMPANION")
    assert pairs(row("a", shape=(4, 8, 8)), row("b", study_key="two")) == ("S_NO_COMPANION", "S_NO_COMPANION")
    assert pairs(row("a", verdict="refused")) == ("S_NO_COMPANION", "S_NO_COMPANION")


def test_a_volume_is_no_companion_of_itself():
    recipe = parsed(('where = { modality = "PT", min_slices = 5 }', 'where = { modality = "CT" }'))
    assert pairs(recipe=recipe)[0] == "S_NO_COMPANION"
    assert pairs(row("other", "CT"), recipe=recipe)[0] == "other"


def test_one_frame_of_reference_comes_first_then_preferences_then_keys():
    assert pairs(row("a", frame_key="g", thickness_mm=1.0), row("b"))[0] == "b"
    assert pairs(row("a", derived=True, thickness_mm=1.0), row("b", thickness_mm=5.0))[0] == "b"
    assert pairs(row("a"), row("b", thickness_mm=2.0))[0] == "b"
    assert pairs(row("b"), row("a"))[0] == "a"
    # nobody knows the CT's frame: it is shared with none
    assert pairs(row("a", frame_key=None), row("b", thickness_mm=2.0), own=row("ct", "CT", frame_key=None))[0] == "b"
    # a localizer in the frame stands back
    assert pairs(row("a", flags=["W_LOCALIZER"]), row("b", frame_key="g"))[0] == "b"


def by_definition(companion, own, rows):
    """Return the companion of a volume by looking at all others, one preference after the other."""
    left = [
        one
        for one in rows
        if one["verdict"] != "refused" and one is not own and companion.selection.where.takes(one) is None
    ]
    localizers, *others = companion.selection.prefer
    frame = own["frame_key"]
    shared = Preference(label="", number=lambda one: float(frame is None or one["frame_key"] != frame))
    for preference in (localizers, shared, *others):
        best = preference.best([preference.number(one) for one in left])
        left = [one for one, is_best in zip(left, best, strict=True) if is_best]
    return min(left, key=lambda one: (one["series_key"], one["volume_key"]))["volume_key"] if left else ""


@pytest.mark.parametrize("seed", range(40))
def test_pairs_of_a_study_are_those_that_comparing_all_with_all_gives(seed):
    rng = random.Random(seed)
    recipe = parsed(
        ('where = { modality = "PT", min_slices = 5 }', 'where = { modality = ["CT", "PT"] }'),
        ('prefer = ["original", "thin"]', f"prefer = {rng.sample(['original', 'thin', 'coverage', 'contrast'], 3)}"),
    )
    rows = [
        row(
            f"v{place}",
            rng.choice(["CT", "CT", "PT", "MR"]),
            series_key=f"s{rng.randrange(6)}",
            frame_key=rng.choice(["f", "g", "h", None]),
            flags=rng.choice([[], [], ["W_LOCALIZER"]]),
            thickness_mm=rng.choice([1.0, 1.005, 1.01, 3.0, None]),
            contrast=rng.choice([True, False, None]),
            verdict=rng.choice(["regular", "regular", "refused"]),
        )
        for place in range(rng.choice([1, 2, 3, 12]))
    ]
    pairings = Pairings(rows)
    for own in rows:
        found = pairings.of(recipe.routes[0], own)
        expected = [by_definition(one, own, rows) for one in recipe.routes[0].companions]
        assert [one.volume_key for one in found] == expected
        assert [one.code for one in found] == ["" if key else "S_NO_COMPANION" for key in expected]


@pytest.mark.parametrize("frames", [1, 4])
def test_the_work_grows_with_the_study_and_not_with_its_square(monkeypatch, frames):
    chosen_among = []
    monkeypatch.setattr(
        pairing, "choose", lambda found, selection: chosen_among.append(len(found)) or choose(found, selection)
    )
    route = parsed(('where = { modality = "PT", min_slices = 5 }', 'where = { modality = "CT" }')).routes[0]
    looked = {}
    for count in (200, 800):
        rows = [row(f"v{place:04}", "CT", frame_key=place % frames, thickness_mm=1 + place) for place in range(count)]
        chosen_among.clear()
        pairings = Pairings(rows)
        assert all(pairings.of(route, own)[0].volume_key for own in rows)
        looked[count] = sum(chosen_among)
    assert looked[800] < 4.1 * looked[200]


def planned(rows, versions, *, recipe=None):
    planner = Planner(lock_recipe(recipe or parsed(), pin), TERMS)
    plan = planner.plan(rows, versions, Known())
    return {case.volume_key: case for case in plan.cases}


def test_a_case_is_another_when_the_files_or_the_uptake_of_its_companion_are():
    rows = [row("ct", "CT"), row("pet", suv_factor=[0.5], suv_code=None), row("alone", "CT", study_key="two")]
    versions = {"ct": "1", "pet": "1", "alone": "1"}
    before = planned(rows, versions)
    assert [one.volume_key for one in before["ct"].paired] == ["pet", ""]
    assert before["ct"].work.content is None
    assert planned(rows, versions)["ct"].key == before["ct"].key
    touched = planned(rows, {**versions, "pet": "2"})
    assert touched["ct"].key != before["ct"].key
    assert touched["alone"].key == before["alone"].key
    heavier = [rows[0], {**rows[1], "suv_factor": [0.25]}, rows[2]]
    assert planned(heavier, versions)["ct"].key != before["ct"].key
    # another volume with the same content: nothing changes
    renamed = [rows[0], {**rows[1], "volume_key": "zzz"}, rows[2]]
    assert planned(renamed, {**versions, "zzz": "1"})["ct"].key == before["ct"].key


def test_a_companion_is_planned_for_in_memory_and_needs_the_whole_volume():
    route, own, other = parsed().routes[0], row("ct", "CT", shape=(40, 256, 256)), row("pet", shape=(80, 256, 256))
    alone = projected_bytes(route, own, beside=(), images=(None, None))
    both = projected_bytes(route, own, beside=(), images=(other, None))
    voxels = 4 * 256 * 256
    assert both - alone >= (40 + 80) * voxels
    large = Geometry(shape=(400, 512, 512), spacing_mm=(1.0, 1.0, 1.0))
    assert not goes_in_slabs(route, "volume", large)
    assert goes_in_slabs(replace(route, companions=(), views=()), "volume", large)
    assert held_bytes([route]) == held_bytes([replace(route, companions=route.companions[:1])]) + Rigid.library_bytes


def test_the_lock_keeps_which_volumes_companions_are_and_reads_itself_back():
    lock = lock_recipe(parsed(), pin)
    assert read_lock(lock.to_toml()).digest == lock.digest
    other = lock_recipe(parsed(('prefer = ["original", "thin"]', 'prefer = ["original"]')), pin)
    assert other.digest != lock.digest
    assert other.route_digest(other.recipe.routes[0]) == lock.route_digest(lock.recipe.routes[0])


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ('name = "mr"', 'name = "pet"', "route.0.companions: two companions"),
        ('name = "mr"', 'name = "final"', "route.0.companions.1.name"),
        ('op = "rigid"', 'op = "affine"', "route.0.companions.1.align.op"),
        ("max_rotation_deg = 20", "max_rotation_deg = 200", "route.0.companions.1.align.max_rotation_deg"),
        ('"original", "thin"', '"original", "thinnest"', "route.0.companions.0.prefer.1"),
        ('"original", "thin"', '"thin", "thin"', "route.0.companions.0.prefer"),
        ('{ op = "suv" }', '{ op = "median" }, { op = "suv" }', "route.0.companions.0.image.1: suv"),
        ('image = "pet"', 'image = "us"', "route.0.views.0.image"),
        ('image = "pet"', 'image = "final"', "route.0.views.0.image"),
        ('image = "pet"', 'image = "pet", plane = "oblique"', "route.0.views.0.plane"),
        ('op = "projection", image = "pet"', 'op = "surface"', "route.0.views.0: surface shows regions"),
        ('op = "projection"', 'op = "film"', "route.0.views.0.op"),
        ('name = "mip"', 'name = "a mip"', "route.0.views.0.name"),
        ('image = "pet" }', 'image = "pet" }, { name = "mip", op = "thumbnail" }', "route.0.views: two views"),
        ("min_slices = 5", "min_slices = 0", "route.0.companions.0.where.min_slices"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(before, after, path):
    with pytest.raises(ConfigError) as refused:
        parsed((before, after))
    assert str(refused.value).startswith(path)


ON_PET = '{ name = "uptake", op = "ibsi", image = "pet", bins = 32 }'
MEASURED = (
    'views = [ { name = "mip", op = "projection", image = "pet" } ]',
    f'regions = [ {{ op = "body" }}, {{ op = "hot", image = "pet" }} ]\nfeatures = [ {ON_PET} ]',
)


def test_what_is_measured_of_a_companion_is_planned_for_on_the_grid_it_is_measured_on():
    own, pet = row("ct", "CT", shape=(40, 256, 256)), row("pet", shape=(60, 128, 128))
    on_ct = parsed(MEASURED).routes[0]
    on_pet = parsed((MEASURED[0], MEASURED[1].replace('"pet", bins', '"pet", grid = "companion", bins'))).routes[0]
    original = parsed((MEASURED[0], MEASURED[1].replace('image = "pet", bins', "bins"))).routes[0]
    voxels = math.prod(own["shape"])
    needs = [projected_bytes(one, own, beside=(), images=[pet, None]) for one in (original, on_ct, on_pet)]
    # both images are held from when they are read, whoever measures them
    assert needs[0] == needs[1] >= needs[2] >= held_bytes([on_pet]) + 4 * (2 * voxels + math.prod(pet["shape"]))
    assert projected_bytes(on_ct, own, beside=(), images=[None, None]) < needs[1]
    larger = row("pet", shape=(120, 256, 256))
    assert projected_bytes(on_pet, own, beside=(), images=[larger, None]) > needs[1]


def test_a_companion_that_its_ops_bring_onto_a_finer_grid_is_planned_for_as_it_is_there():
    own, pet = row("ct", "CT", shape=(40, 256, 256)), row("pet", shape=(60, 128, 128))
    z, y, x = pet["spacing_mm"]
    half = f'{{ op = "resample", spacing_mm = [{z / 2}, {y / 2}, {x / 2}] }}'
    same = f'{{ op = "resample", spacing_mm = [{z}, {y}, {x}] }}'
    features = MEASURED[1].replace('"pet", bins', '"pet", grid = "companion", bins')

    def need(op):
        route = parsed(
            (MEASURED[0], features), ('prefer = ["original", "thin"]\nimage = [ { op = "suv" } ]', op)
        ).routes[0]
        return projected_bytes(route, own, beside=(), images=[pet, None])

    whole, finer = (need(f"image = [ {op} ]") for op in (same, half))
    # beside what is held, the extractor needs as much as for a PET of that size
    assert finer - whole > 7 * 4 * math.prod(pet["shape"])
    extractor = parsed((MEASURED[0], features)).routes[0].features[0].op
    fine = Geometry(shape=(120, 256, 256), spacing_mm=(z / 2, y / 2, x / 2))
    assert finer > 4 * math.prod(fine.shape) + extractor.memory(fine)
    nowhere = {**pet, "spacing_mm": None, "affine_lps": None}
    route = parsed((MEASURED[0], features), ('image = [ { op = "suv" } ]', f"image = [ {half} ]")).routes[0]
    assert projected_bytes(route, own, beside=(), images=[nowhere, None]) > 0


def test_what_a_companion_is_measured_for_is_counted():
    extraction = ON_PET.replace('"uptake"', '"own"').replace('image = "pet", ', "")
    lock = lock_recipe(parsed((MEASURED[0], MEASURED[1].replace(ON_PET, f"{ON_PET}, {extraction}"))), pin)
    rows = [row("ct", "CT"), row("pet", shape=(30, 64, 64))]
    plan = Planner(lock, TERMS).plan(rows, {"ct": "1", "pet": "1"}, Known())
    assert plan.counts() == {"features": 4, "regions": 2, "registrations": 2, "volume": 1}
