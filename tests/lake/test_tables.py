import math
import random

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.contracts.tables import SCHEMAS, VOLUMES, features_schema
from medpipe.errors import IntegrityError, SecurityError
from medpipe.lake.arrow import parquet_bytes, to_table
from medpipe.lake.manifest import verify_folder
from medpipe.lake.tables import latest_publication, published_state, set_published_state
from tests.lake.at_once import publish_tables

SNAPSHOT = "ab" * 16
FEATURES = features_schema(("stat_mean", "stat_var"))


def rows(count=50):
    made = random.Random(5)
    return [
        {
            "series_key": f"s{made.randrange(5)}",
            "volume_key": f"v{number // 3}",
            "region_key": None if number % 7 == 0 else f"r{number}",
            "image": "original",
            "extraction": "radiomics",
            "status": "ok",
            "stat_mean": made.choice([math.nan, None, made.random(), -0.0]),
            "stat_var": number,
        }
        for number in range(count)
    ]


def publish(lake, found, *, recipe="demo", snapshot=SNAPSHOT, schema=FEATURES):
    return publish_tables(lake, recipe_name=recipe, snapshot=snapshot, tables={"features": (schema, found)})


def files(lake, publication):
    root = lake.store.absolute(publication.path)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_tables_are_the_same_bytes_whatever_order_rows_come_in(lake):
    found = rows() + rows(3)
    first = publish(lake, found)
    for seed in range(5):
        mixed = random.Random(seed).sample(found, len(found))
        again = publish(lake, [dict(reversed(row.items())) for row in mixed])
        assert again == first._replace(new=False, written=())
    assert first.new
    names = [path.rpartition("/")[2] for path in lake.store.list("published")]
    assert names == ["LATEST", "part-NA-0000-ffff.parquet", "manifest.json", "parts.json"]


@given(st.permutations(range(6)))
def test_rows_equal_in_their_order_are_told_apart_by_the_rest(order):
    made = [{"series_key": "s", "stat_mean": value} for value in (None, math.nan, 0.0, -0.0, 1.0, 1.0)]
    assert parquet_bytes(to_table(FEATURES, [made[place] for place in order])) == parquet_bytes(
        to_table(FEATURES, made)
    )


def test_nan_stays_nan_and_none_stays_null(lake):
    publication = publish(lake, rows())
    table = pq.read_table(lake.store.absolute(publication.path) / "features")
    means = table["stat_mean"]
    given_rows = rows()
    assert means.null_count == sum(row["stat_mean"] is None for row in given_rows)
    values = means.drop_null().to_numpy()
    assert np.isnan(values).sum() == sum(
        row["stat_mean"] is not None and math.isnan(row["stat_mean"]) for row in given_rows
    )
    assert table["stat_var"].type == pa.float64()


def test_every_nan_is_one_nan():
    odd = np.array([0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    made = [
        parquet_bytes(to_table(FEATURES, [{"series_key": "s", "stat_mean": float(nan)}])) for nan in (*odd, math.nan)
    ]
    assert len(set(made)) == 1


def test_rows_are_sorted_by_the_schemas_order_with_nulls_first(lake):
    table = pq.read_table(lake.store.absolute(publish(lake, rows()).path) / "features")
    keys = [[(row[name] is not None, row[name] or "") for name in FEATURES.order] for row in table.to_pylist()]
    assert keys == sorted(keys)


def test_an_empty_table_still_has_a_part_with_its_schema(lake):
    tables = {name: (schema, []) for name, schema in SCHEMAS.items()}
    publication = publish_tables(lake, recipe_name="demo", snapshot=SNAPSHOT, tables=tables)
    for name, schema in SCHEMAS.items():
        part = pq.ParquetFile(lake.store.absolute(publication.path) / name / "part-00000.parquet")
        assert part.metadata.num_rows == 0
        assert part.schema_arrow.names == [field.name for field in schema.fields]
        assert part.schema_arrow.metadata[b"medpipe.version"] == str(schema.version).encode()
        assert b"pandas" not in part.schema_arrow.metadata


def test_lists_come_back_through_the_documented_link(lake):
    row = {"volume_key": "v", "modality": "CT", "shape": [3, 4, 5], "spacing_mm": [1.0, 0.5, 0.5], "affine_lps": None}
    publish_tables(lake, recipe_name="demo", snapshot=SNAPSHOT, tables={"volumes": (VOLUMES, [row])})
    (back,) = ds.dataset((lake.root / "tables" / "volumes").resolve()).to_table().to_pylist()
    assert {name: back[name] for name in row} == row


def test_floats_are_byte_stream_split_and_only_text_has_a_dictionary(lake):
    part = pq.ParquetFile(lake.store.absolute(publish(lake, rows()).path) / "features" / "part-NA-0000-ffff.parquet")
    group = part.metadata.row_group(0)
    for place in range(group.num_columns):
        column = group.column(place)
        assert column.compression == "ZSTD"
        numeric = column.physical_type == "DOUBLE"
        assert ("BYTE_STREAM_SPLIT" in column.encodings) == numeric
        assert ("RLE_DICTIONARY" in column.encodings) != numeric


def test_readers_follow_the_latest_and_each_recipe_keeps_its_own(lake):
    one = publish(lake, rows(3), recipe="one")
    two = publish(lake, rows(4), recipe="two", snapshot="cd" * 16)
    assert (lake.root / "tables").resolve() == lake.store.absolute(two.path)
    assert not (lake.root / "tables").readlink().is_absolute()
    assert latest_publication(lake, "one") == one.path
    publish(lake, rows(3), recipe="one")
    assert (lake.root / "tables").resolve() == lake.store.absolute(one.path)


def test_what_tables_were_derived_from_is_remembered_by_recipe(lake):
    assert published_state(lake, "demo") is None
    for state in ("ab", "cd"):
        set_published_state(lake, "demo", state)
        assert published_state(lake, "demo") == state
    assert published_state(lake, "other") is None
    assert latest_publication(lake, "demo") is None


def test_unchanged_parts_are_linked_and_one_that_was_cut_off_is_not(lake):
    tables = {"features": (FEATURES, rows()), "volumes": (VOLUMES, [{"volume_key": "v", "modality": "CT"}])}
    first = publish_tables(lake, recipe_name="demo", snapshot=SNAPSHOT, tables=tables)
    tables["features"] = (FEATURES, rows(20))
    second = publish_tables(lake, recipe_name="demo", snapshot=SNAPSHOT, tables=tables)
    part = lake.store.absolute(second.path) / "volumes" / "part-CT-0000-ffff.parquet"
    assert part.samefile(lake.store.absolute(first.path) / "volumes" / "part-CT-0000-ffff.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    tables["features"] = (FEATURES, rows(10))
    third = publish_tables(lake, recipe_name="demo", snapshot=SNAPSHOT, tables=tables)
    assert files(lake, third)["volumes/part-CT-0000-ffff.parquet"] == whole
    verify_folder(lake.store, third.path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"stat_mean": math.inf}, "features.stat_mean: a value is infinite"),
        ({"stat_mean": "SMITH"}, "features.stat_mean: a value is no double"),
        ({"status": 5}, "features.status: a value is no string"),
        ({"patient": "SMITH"}, "no such column: patient"),
    ],
)
def test_rows_that_do_not_fit_are_a_bug_told_without_their_values(lake, row, said):
    with pytest.raises(IntegrityError, match=said) as alarm:
        publish(lake, [{"series_key": "s", **row}])
    assert "SMITH" not in str(alarm.value)
    assert not (lake.root / "tables").exists()
    assert list(lake.store.list("tmp")) == []


def test_identifiers_are_not_published_from_a_pseudonymized_lake(lake):
    schema = SCHEMAS["series"]
    for column in ("patient_id", "series_instance_uid", "study_instance_uid"):
        with pytest.raises(SecurityError, match=f"series.{column}"):
            publish_tables(
                lake,
                recipe_name="demo",
                snapshot=SNAPSHOT,
                tables={"series": (schema, [{"series_key": "s", column: "1"}])},
            )
    assert not (lake.root / "published").exists()
