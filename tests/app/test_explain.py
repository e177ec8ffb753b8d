from __future__ import annotations

import shutil

import pytest

from medpipe.app.explain import explain_key
from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import begin_run, run_archive
from medpipe.app.site import Site
from medpipe.errors import ConfigError
from tests.app.phantom import noise_archive, published, rows
from tests.app.reconstructions import Place, write_series
from tests.cli.commands import write_key


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return published(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def measured(lake):
    """Return a row of features of a CT body."""
    regions = {row["region_key"] for row in rows(lake, "regions") if row["name"] == "body"}
    return next(row for row in rows(lake, "features") if row["region_key"] in regions and row["extraction"] == "lbp")


def test_a_region_leads_to_its_instances_parameters_code_and_libraries(lake, measured):
    facts = explain_key(lake, measured["region_key"])
    computed = facts["computed by"]
    members = [row for row in rows(lake, "members") if row["volume_key"] == measured["volume_key"]]
    assert facts["volume"]["volume_key"] == measured["volume_key"]
    assert facts["region"]["name"] == "body"
    assert facts["read from"]["instances"] == len({row["instance_key"] for row in members})
    assert computed["route"] == "ct"
    assert computed["image ops"] == [{"op": "window", "version": 1, "preset": "soft_tissue"}]
    assert [op["op"] for op in computed["regions"]] == ["body", "segmentation_objects"]
    assert {entry["name"] for entry in computed["extractions"]} == {"first", "lbp"}
    assert "numpy" in computed["libraries"]
    assert computed["numeric class"].startswith("cpu-")
    assert {"first", "lbp"} == set(facts["features"])


def test_instances_are_listed_in_the_order_of_the_slices(lake, measured):
    order = [row for row in rows(lake, "members") if row["volume_key"] == measured["volume_key"]]
    keys = [row["instance_key"] for row in sorted(order, key=lambda row: row["index"])]
    shown = explain_key(lake, measured["volume_key"])["read from"]["in order"]
    assert shown[:6] == keys[:6]
    assert shown[-6:] == keys[-6:]


def test_a_column_leads_to_its_value_and_its_meaning(lake, measured):
    facts = explain_key(lake, measured["region_key"], column="lbp_3")["features"]["lbp"]
    assert facts["value"] == measured["lbp_3"]
    assert facts["dictionary"]["family"] == "lbp"
    assert facts["extraction_digest"] == measured["extraction_digest"]


def test_a_column_the_region_does_not_have_is_refused(lake, measured):
    with pytest.raises(ConfigError, match="no extraction of this region has it"):
        explain_key(lake, measured["region_key"], column="cm_contrast_3D_avg")


def test_the_first_digits_of_a_key_are_enough(lake, measured):
    assert explain_key(lake, measured["region_key"][:12])["region_key"] == measured["region_key"]


def test_a_series_and_an_instance_lead_to_their_volumes(lake, measured):
    assert measured["volume_key"] in explain_key(lake, measured["series_key"])["volumes"]
    instance = next(row for row in rows(lake, "members") if row["volume_key"] == measured["volume_key"])
    assert measured["volume_key"] in explain_key(lake, instance["instance_key"])["volumes"]


def test_a_volume_that_was_left_out_says_so(lake):
    left = next(row for row in rows(lake, "volumes") if row["code"] == "S_NO_ROUTE")
    assert explain_key(lake, left["volume_key"])["computed by"] == {"case": "none: the volume was left out or refused"}


@pytest.mark.parametrize("key", ["", "abc", "XYZ123", "../../etc", "0" * 65])
def test_what_is_no_key_is_refused(lake, key):
    with pytest.raises(ConfigError, match="is no key"):
        explain_key(lake, key)


def test_a_key_nobody_has_is_refused(lake):
    with pytest.raises(ConfigError, match="has this key"):
        explain_key(lake, "0" * 32)


RECIPE = """
name = "{name}"
[[route]]
name = "{route}"
regions = [ {{ op = "body", opening_mm = 0.0 }} ]
features = [ {{ name = "lbp", op = "lbp" }} ]
models = [ "phantom-ct-noise" ]
"""


@pytest.fixture
def request_of(tmp_path):
    """Return a maker of requests over three stacks of noise."""
    archive = noise_archive(tmp_path / "archive")
    key = write_key(tmp_path / "home")

    def make(name, route, **site):
        recipe = tmp_path / f"{name}.toml"
        recipe.write_text(RECIPE.format(name=name, route=route))
        settings = Site(engine="serial", workers=2, key_file=key, **site)
        return RunRequest(recipe=str(recipe), archives=(archive,), lake=tmp_path / "lake", site=settings)

    return make


def test_a_number_of_a_run_that_was_killed_is_explained(request_of):
    request = request_of("mine", "ct")
    with begin_run(request, Silent()) as active:
        killed = active.name
        active.run_shard(0)  # every case is committed, and nothing is published
    assert run_archive(request, Silent()).executed == 0
    assert {row["run"] for row in rows(request.lake, "cases")} == {killed}
    volume = rows(request.lake, "volumes")[0]["volume_key"]
    computed = explain_key(request.lake, volume)["computed by"]
    assert computed["run"] == killed
    assert computed["route"] == "ct"
    assert "numpy" in computed["libraries"]


def test_a_number_another_recipe_computed_is_explained(request_of):
    first = request_of("mine", "ct")
    run_archive(first, Silent())
    second = request_of("yours", "chest")
    report = run_archive(second, Silent())
    assert report.executed == 0
    row = rows(second.lake, "regions")[0]
    facts = explain_key(second.lake, row["region_key"])
    assert facts["computed by"]["route"] == "chest"
    assert facts["computed by"]["recipe"].startswith("yours (")
    assert facts["computed by"]["run"] != report.run


def test_a_score_names_its_model(request_of):
    request = request_of("mine", "ct")
    run_archive(request, Silent())
    score = rows(request.lake, "scores")[0]
    facts = explain_key(request.lake, score["region_key"])
    assert facts["scores"][0].startswith(f"phantom-ct-noise ({score['model_digest'][:16]}) ")
    (model,) = facts["computed by"]["models"]
    assert (model["name"], model["digest"]) == ("phantom-ct-noise", score["model_digest"])


def test_an_identified_lake_shows_paths(request_of):
    request = request_of("mine", "ct", privacy="identified")
    run_archive(request, Silent())
    volume = rows(request.lake, "volumes")[0]["volume_key"]
    shown = explain_key(request.lake, volume)["read from"]["in order"]
    assert shown == [f"{shown[0][0]}/{place}.dcm" for place in range(6)]
    shutil.rmtree(request.lake)


def test_of_a_chain_that_cannot_be_worked_the_op_is_named(tmp_path):
    write_series(tmp_path / "archive", "a")
    place = Place(folder=tmp_path, key=write_key(tmp_path / "home"))
    text = """
name = "refused"

[[route]]
name = "ct"
where = { modality = "CT" }
image = [ { op = "median" }, { op = "lee" }, { op = "clip", low = 0.0, high = 1.0 } ]
regions = [
    { op = "whole" },
    { op = "brain", name = "head", after = [ { op = "srad" } ] },
    { op = "bone", after = [ { op = "zscore" } ] },
]
features = [ { name = "first", op = "ibsi", image = "final", families = ["statistics"] } ]
keep = [ "original", "final" ]
"""
    place.run(tmp_path / "archive", recipe=text)
    told = {(row["stage"], row["code"], row["message"].rpartition(" (")[2]) for row in rows(place.lake, "quarantine")}
    assert told == {
        ("image", "E_NEGATIVE", "lee)"),
        ("features", "E_NEGATIVE", "lee)"),
        ("regions", "E_NEGATIVE", "srad)"),
        ("regions", "E_UNIT", "bone)"),
    }
    (volume,) = rows(place.lake, "volumes")
    aside = explain_key(place.lake, volume["volume_key"])["set aside"]
    assert sorted(aside) == ["features, E_NEGATIVE", "image, E_NEGATIVE", "regions, E_NEGATIVE", "regions, E_UNIT"]
    assert aside["image, E_NEGATIVE"].endswith("(lee)")
