from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest

import medpipe
from medpipe.app.case_rows import region_key
from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.quarantine import quarantine_row
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.contracts.tables import FEATURE_KEYS, SCHEMAS, TABLE_NAMES
from medpipe.errors import ConfigError
from medpipe.lake.arrow import IDENTIFYING
from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table, table_names
from medpipe.reasons import REASONS
from medpipe.recipe.recipe import load_recipe
from tests.app.phantom import published, rows
from tests.cli.commands import write_key


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return published(tmp_path_factory)


@pytest.fixture(scope="module")
def lake(given):
    return given[0]


def keys(lake, table, name):
    return [row[name] for row in rows(lake, table)]


def test_every_documented_table_is_published_and_no_other(lake):
    assert table_names(Lake.open(lake)) == sorted(TABLE_NAMES)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_table_has_the_documented_columns_in_order(lake, name):
    found = read_table(Lake.open(lake), name)
    assert found.column_names == [field.name for field in SCHEMAS[name].fields]
    assert found.num_rows > 0 or name in {"scores", "registrations", "views"}


def test_feature_columns_are_the_recipes_union_in_dictionary_order(lake):
    recipe = load_recipe(lake.parent / "everything.toml")
    names = read_table(Lake.open(lake), "features").column_names
    values = names[len(FEATURE_KEYS) :]
    assert names[: len(FEATURE_KEYS)] == [field.name for field in FEATURE_KEYS]
    assert tuple(values) == recipe.feature_columns()
    assert values == sorted(values)
    assert {"stat_mean", "lbp_0"} <= set(values)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("instances", ("instance_key",)),
        ("members", ("volume_key", "index")),
        ("series", ("series_key",)),
        ("volumes", ("volume_key",)),
        ("regions", ("region_key",)),
        ("features", ("region_key", "image", "extraction")),
        ("feature_dictionary", ("extraction_digest", "extraction", "name")),
        ("quarantine", ("subject", "stage", "code")),
        ("cases", ("case_key",)),
        ("runs", ("run",)),
    ],
)
def test_what_names_a_row_names_one_row(lake, table, columns):
    counted = Counter(tuple(row[name] for name in columns) for row in rows(lake, table))
    assert {key: count for key, count in counted.items() if count > 1} == {}


@pytest.mark.parametrize(
    ("table", "column", "home"),
    [
        ("members", "instance_key", "instances"),
        ("members", "volume_key", "volumes"),
        ("volumes", "series_key", "series"),
        ("regions", "volume_key", "volumes"),
        ("features", "region_key", "regions"),
        ("features", "extraction_digest", "feature_dictionary"),
        ("cases", "volume_key", "volumes"),
        ("cases", "run", "runs"),
    ],
)
def test_a_key_leads_to_a_row_of_its_table(lake, table, column, home):
    assert set(keys(lake, table, column)) <= set(keys(lake, home, column))


def test_every_file_has_one_row(given):
    lake, _, archive = given
    files = [path for path in archive.rglob("*") if path.is_symlink() or not path.is_dir()]
    assert len(keys(lake, "instances", "instance_key")) == len(files)


def test_every_used_instance_is_a_member_or_a_companion(lake):
    members = set(keys(lake, "members", "instance_key"))
    for row in rows(lake, "instances"):
        if row["outcome"] == "used":
            assert row["instance_key"] in members
        if row["outcome"] in {"skipped", "quarantined"}:
            assert row["code"] in REASONS


def test_no_identifier_is_in_a_pseudonymized_lake(lake):
    for name in table_names(Lake.open(lake)):
        table = read_table(Lake.open(lake), name)
        for column in IDENTIFYING & set(table.column_names):
            assert table[column].null_count == table.num_rows


def test_numbers_are_finite_or_undefined_and_never_infinite(lake):
    for name in table_names(Lake.open(lake)):
        for column in read_table(Lake.open(lake), name).columns:
            if pa.types.is_floating(column.type):
                assert not any(math.isinf(value) for value in column.to_pylist() if value is not None)


def test_a_part_of_a_table_is_read_by_modality_series_and_columns(lake):
    tables = medpipe.open_lake(lake)
    whole = rows(lake, "features")
    some = tables.table("features", ["region_key", "stat_mean"], modality="MR").to_pylist()
    assert [row["region_key"] for row in some] == [row["region_key"] for row in whole if row["modality"] == "MR"]
    assert some
    assert set(some[0]) == {"region_key", "stat_mean"}
    series = whole[0]["series_key"]
    expected = [row["region_key"] for row in whole if row["series_key"] == series]
    assert tables.table("features", series_key=series)["region_key"].to_pylist() == expected
    with pytest.raises(ConfigError, match="runs has no column 'modality'"):
        tables.table("runs", modality="MR")


def test_a_column_of_another_extraction_is_undefined(lake):
    names = {}
    for row in rows(lake, "feature_dictionary"):
        names.setdefault(row["extraction_digest"], set()).add(row["name"])
    values = read_table(Lake.open(lake), "features").column_names[len(FEATURE_KEYS) :]
    for row in rows(lake, "features"):
        own = names[row["extraction_digest"]]
        assert all(row[name] is None or math.isnan(row[name]) for name in set(values) - own)
        assert any(not math.isnan(row[name]) for name in own)


def test_volumes_of_a_case_have_their_route_and_their_store(lake):
    cases = {row["volume_key"]: row for row in rows(lake, "cases")}
    volumes = {row["volume_key"]: row for row in rows(lake, "volumes")}
    assert set(cases) < set(volumes)
    for key, row in volumes.items():
        if key in cases:
            assert row["route"] == cases[key]["route"]
            assert (lake / row["store"] / "zarr.json").is_file()
        else:
            assert row["store"] is None
            assert row["code"] in REASONS
    assert {row["route"] for row in cases.values()} == {"ct", "mr", "rest"}


def test_a_volume_no_route_takes_explains_its_instances(lake):
    volumes = {row["volume_key"]: row for row in rows(lake, "volumes")}
    left = {key for key, row in volumes.items() if row["code"] == "S_NO_ROUTE"}
    members = {row["instance_key"] for row in rows(lake, "members") if row["volume_key"] in left}
    codes = {(row["outcome"], row["code"]) for row in rows(lake, "instances") if row["instance_key"] in members}
    assert left
    assert codes == {("skipped", "S_NO_ROUTE")}


def test_quarantine_holds_templates_and_what_to_do(lake):
    found = rows(lake, "quarantine")
    assert {row["severity"] for row in found} <= {"warning", "error"}
    for row in found:
        assert row["message"] == REASONS[row["code"]].message
        assert row["remedy"] == REASONS[row["code"]].remedy
    assert quarantine_row("s", "case", "read", "E_OOM")["message"] == REASONS["E_OOM"].message


def test_masks_of_companions_are_regions_under_closed_names(lake):
    names = Counter((row["name"], row["source"]) for row in rows(lake, "regions"))
    assert names["body", "body"] >= 2
    assert any(source in {"seg", "rtstruct"} for _, source in names)


def test_a_region_key_tells_source_name_and_label_apart():
    row = {"source": "seg", "name": "gtv", "label": 1}
    others = [{**row, **change} for change in ({"source": "rtstruct"}, {"name": "roi_1"}, {"label": 2})]
    found = {region_key("v", row), region_key("w", row), *(region_key("v", other) for other in others)}
    assert len(found) == 5
    assert region_key("v", {"source": "seg", "region": "gtv", "label": 1}) == region_key("v", row)


def test_what_a_condition_leaves_out_is_said_of_volume_and_file(given, tmp_path):
    _, _, archive = given
    site = Site(engine="serial", workers=2, key_file=write_key(tmp_path / "home"))
    recipe = tmp_path / "r.toml"
    recipe.write_text('name = "r"\n[[route]]\nname = "all"\n')
    lake = tmp_path / "lake"
    request = RunRequest(recipe=str(recipe), archives=(archive,), lake=lake, site=site, only="modality = 'PT'", limit=1)
    report = run_archive(request, Silent())
    volumes = rows(lake, "volumes")
    assert report.planned == 1
    assert [row["modality"] for row in volumes if row["store"]] == ["PT"]
    left = [row for row in volumes if not row["store"] and row["verdict"] == "regular"]
    assert {row["code"] for row in left} == {"S_LIMIT"}
    outcomes = Counter((row["outcome"], row["code"]) for row in rows(lake, "instances"))
    assert outcomes["skipped", "S_LIMIT"] > 0


def test_a_condition_that_fits_no_volume_is_refused_and_readers_keep_their_tables(given, tmp_path):
    _, _, archive = given
    site = Site(engine="serial", workers=2, key_file=write_key(tmp_path / "home"))
    recipe = tmp_path / "r.toml"
    recipe.write_text('name = "r"\n[[route]]\nname = "plain"\nwhere = { modality = ["CR", "DX"] }\n')
    lake = tmp_path / "lake"
    request = RunRequest(recipe=str(recipe), archives=(archive,), lake=lake, site=site, limit=1)
    run_archive(request, Silent())
    before = rows(lake, "volumes"), rows(lake, "cases")
    with pytest.raises(ConfigError, match=r"no volume fits --only .* the tables are as they were"):
        run_archive(replace(request, only="modality = 'XX'", limit=None), Silent())
    with pytest.raises(ConfigError, match="no volume that the recipe takes fits --only"):
        run_archive(replace(request, only="modality = 'PT'", sample=2, limit=None), Silent())
    assert (rows(lake, "volumes"), rows(lake, "cases")) == before
