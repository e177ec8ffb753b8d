"""Plan and run against the least there is to do, worked out from the recipe and the members table."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, fields, make_dataclass, replace
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from medpipe.app.models import put_package
from medpipe.app.prepare import plan_run
from medpipe.app.progress import Silent
from medpipe.lake.lake import Lake
from medpipe.models.package import Package
from medpipe.models.resolve import read_shipped, shipped
from medpipe.ops.register import REGISTERED
from medpipe.ops.registry import registered
from medpipe.recipe.recipe import load_recipe
from tests.app.runs import Bench, rows, tables_of

UNUSED = """name = "ultrasound"
where = { modality = "US", kind = ["volume"] }
regions = [ { op = "body" } ]
features = [ { name = "shape", op = "ibsi", families = ["morphology"] } ]

[[route]]
name = "store\""""

KINDS = ("volume", "regions", "features", "scores")


@dataclass(frozen=True)
class Done:
    """What a plan promised and what the run after it did."""

    planned: dict
    report: object
    made: Counter
    volumes: set


@pytest.fixture
def first(ran):
    """Return a bench whose archive was run once."""
    return ran[0]


def run(bench: Bench, **how) -> Done:
    planned = plan_run(bench.request(**how), Silent())
    report = bench.run(**how)
    cases = [row for row in rows(bench.lake, "cases") if report.run and row["run"] == report.run]
    made: Counter[str] = Counter()
    for row in cases:
        made.update({kind: row[f"{kind if kind != 'volume' else 'volumes'}_made"] for kind in KINDS})
    return Done(planned, report, +made, {row["volume_key"] for row in cases})


def whole(bench: Bench, volumes: set[str], *, recipe: Path | None = None) -> Counter[str]:
    """Return the products of volumes when all of them are computed: what the recipe says, counted by hand."""
    routes = {route.name: route for route in load_recipe(recipe or bench.recipe).routes}
    found: Counter[str] = Counter()
    for row in rows(bench.lake, "volumes"):
        if row["volume_key"] in volumes:
            route = routes[row["route"]]
            regions = len(route.regions)
            found.update(
                {
                    "volume": 1,
                    "regions": regions,
                    "features": regions * len(route.features),
                    "scores": len(route.models),
                }
            )
    return +found


def assert_least(done: Done, cases: int, products: dict[str, int]) -> None:
    assert done.planned["cases"]["to run"] == done.report.executed == cases
    assert done.planned["products to compute (at most)"] == dict(sorted(products.items()))
    assert done.made == Counter(products)


def stacks(bench: Bench, modality: str) -> list[list[Path]]:
    """Return the files of each series of a modality, by position."""
    found: dict[str, list[tuple[float, Path]]] = {}
    for path in bench.archive.rglob("*"):
        if path.is_file() and path.parent.name != "incoming":
            header = pydicom.dcmread(path, stop_before_pixels=True)
            if header.Modality == modality:
                place = float(header.get("ImagePositionPatient", [0, 0, 0])[2])
                found.setdefault(header.SeriesInstanceUID, []).append((place, path))
    return [[path for _, path in sorted(found[uid])] for uid in sorted(found)]


def change_voxel(path: Path) -> None:
    image = pydicom.dcmread(path)
    pixels = image.pixel_array.copy()
    pixels[10, 10] += 1
    image.PixelData = pixels.tobytes()
    image.save_as(path)


# files ------------------------------------------------------------------------------------------


def test_an_unchanged_archive_is_planned_and_run_in_no_case(first):
    assert_least(run(first), 0, {})


def test_changed_added_and_deleted_files_cost_their_volumes_and_what_depends_on_them(first):
    before = {row["volume_key"]: row["content_digest"] for row in rows(first.lake, "volumes")}
    pet, mr = stacks(first, "PT")[0], stacks(first, "MR")[0]
    change_voxel(pet[3])
    change_voxel(pet[5])
    mr[len(mr) // 2].unlink()
    (xray,) = stacks(first, "DX")[0]
    copy = pydicom.dcmread(xray)
    copy.SeriesInstanceUID, copy.SOPInstanceUID = generate_uid(), generate_uid()
    copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    copy.save_as(xray.with_name("added"))
    done = run(first)
    after = {row["volume_key"]: row["content_digest"] for row in rows(first.lake, "volumes")}
    changed = {key for key in after if before.get(key) != after[key]}
    assert len(changed) == 3
    assert done.volumes == changed
    assert_least(done, 3, whole(first, changed))
    assert done.planned["why they run"] == {"files changed": 2, "new": 1}
    assert_least(run(first), 0, {})


def test_moved_files_cost_no_case_and_touched_or_reencoded_ones_stop_after_decoding(first):
    for path in stacks(first, "CT")[0]:
        os.utime(path, (1_000_000_000, 1_000_000_000))
    done = run(first)
    assert done.planned["why they run"] == {"files changed": 1}
    assert (done.report.executed, done.made) == (1, Counter())
    stacks(first, "MR")[0][0].parent.rename(first.archive / "moved")
    assert_least(run(first), 0, {})
    for path in stacks(first, "PT")[0]:
        image = pydicom.dcmread(path)
        image.compress(pydicom.uid.RLELossless)
        image.save_as(path, implicit_vr=False, little_endian=True)
    done = run(first)
    # that the content is the same is known only once it is decoded: the plan is an upper bound here, and says why
    assert done.planned["cases"]["to run"] == done.report.executed == 1
    assert done.planned["why they run"] == {"files changed": 1}
    assert done.made == Counter()


def test_a_corrected_header_is_decoded_and_costs_no_product(first):
    patients = {row["patient_key"] for row in rows(first.lake, "series")}
    for path in stacks(first, "PT")[0]:
        image = pydicom.dcmread(path)
        image.PatientID = "merged"
        image.save_as(path)
    done = run(first)
    assert done.report.executed == 1
    assert done.made == Counter()
    assert len({row["patient_key"] for row in rows(first.lake, "series")} - patients) == 1


# recipes ----------------------------------------------------------------------------------------


def test_a_changed_parameter_of_an_extraction_costs_that_extraction_alone(first):
    recipe = first.recipe_with({'families = ["statistics"]': 'families = ["morphology"]'})
    done = run(first, recipe=recipe)
    taken = [row for row in rows(first.lake, "volumes") if row["route"] == "ct"]
    assert_least(done, len(taken), {"features": 2 * len(taken)})
    assert done.planned["features to compute (at most)"] == {"ct first": 2 * len(taken)}
    (line,) = done.planned["changed in the recipe"]
    assert line.startswith("route ct, features first: ibsi families [statistics] -> [morphology]")


def test_a_changed_model_costs_scores_alone(first):
    (known,) = (read_shipped(found) for found in shipped() if found.name == "phantom-pet-noise")
    card = known.files["card.json"].replace(b'"description":"', b'"description":"Changed. ')
    put_package(Lake.open(first.lake), Package({**known.files, "card.json": card}))
    done = run(first)
    taken = [row for row in rows(first.lake, "volumes") if row["route"] == "pet"]
    assert_least(done, len(taken), {"scores": len(taken)})
    (line,) = done.planned["changed in the recipe"]
    assert line.startswith("route pet, models phantom-pet-noise: ")


def test_a_raised_version_of_an_op_costs_that_op_alone_and_the_plan_says_so(first, monkeypatch):
    lbp = registered("features")["lbp"]
    monkeypatch.setattr(lbp, "version", lbp.version + 1)
    done = run(first)
    taken = [row for row in rows(first.lake, "volumes") if row["route"] == "ct"]
    assert_least(done, len(taken), {"features": 2 * len(taken)})
    assert done.planned["changed in the recipe"] == [
        f"route ct, features lbp: lbp version {lbp.version - 1} -> {lbp.version}"
    ]
    assert done.planned["why they run"] == {"recipe changed": len(taken)}


def test_a_parameter_added_later_with_its_default_costs_nothing(first, monkeypatch):
    old = registered("features")["lbp"]
    new = make_dataclass(old.__name__, [("added_later", int, 3)], bases=(old,), frozen=True, kw_only=True)
    assert len(fields(new)) == len(fields(old)) + 1
    monkeypatch.setitem(REGISTERED["features"], "lbp", new)
    registered.cache_clear()
    try:
        assert registered("features")["lbp"] is new
        assert_least(run(first), 0, {})
    finally:
        monkeypatch.undo()
        registered.cache_clear()


def test_new_data_never_trains_a_model_again(first):
    before = {(row["model"], row["model_digest"]) for row in rows(first.lake, "scores")}
    models = sorted(path.name for path in (first.lake / "models").iterdir())
    change_voxel(stacks(first, "PT")[0][4])
    done = run(first)
    assert done.made["scores"] == 1
    assert {(row["model"], row["model_digest"]) for row in rows(first.lake, "scores")} == before
    assert sorted(path.name for path in (first.lake / "models").iterdir()) == models


@pytest.mark.parametrize(
    "changes",
    [
        {'name = "store"': 'name = "other"'},
        {'name = "store"': UNUSED},
    ],
    ids=["a route renamed", "columns of a route that takes nothing"],
)
def test_what_no_key_holds_is_in_the_tables_all_the_same(first, changes, tmp_path):
    recipe = first.recipe_with(changes)
    assert first.run(recipe=recipe).executed == 0
    fresh = replace(first, lake=tmp_path / "fresh")
    fresh.run(recipe=recipe)
    assert tables_of(first.lake) == tables_of(fresh.lake)


# parts of an archive ----------------------------------------------------------------------------


def test_a_sample_is_the_same_each_time_and_what_it_computed_is_not_computed_again(bench):
    request = bench.request()
    sampled = type(request)(**{field.name: getattr(request, field.name) for field in fields(request)} | {"sample": 3})
    assert plan_run(sampled, Silent())["cases"]["to run"] == 3
    from medpipe.app.run import run_archive

    report = run_archive(sampled, Silent())
    assert report.executed == 3
    chosen = {row["volume_key"] for row in rows(bench.lake, "cases")}
    assert run_archive(sampled, Silent()).executed == 0
    assert {row["volume_key"] for row in rows(bench.lake, "cases")} == chosen
    rest = run(bench)
    assert rest.report.executed == len(rows(bench.lake, "cases")) - 3
    assert not rest.volumes & chosen
