import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medpipe.contracts.tables import SCORES, VOLUMES
from medpipe.errors import ConfigError, IntegrityError, LakeError
from medpipe.lake.export import export_table
from medpipe.lake.query import filter_rows, open_table, read_table, sql, table_names, tables_path
from tests.lake.at_once import publish_tables


@pytest.fixture
def published(lake):
    volumes = [
        {"volume_key": f"v{number}", "modality": "CT" if number % 2 else "MR", "shape": [number, 2, 3]}
        for number in range(6)
    ]
    scores = [{"volume_key": "v1", "model": "m", "class": "benign", "value": 0.25}]
    tables = {"volumes": (VOLUMES, volumes), "scores": (SCORES, scores)}
    publish_tables(lake, recipe_name="demo", snapshot="ab" * 16, tables=tables)
    return lake


def test_tables_are_read_by_name(published):
    assert table_names(published) == ["scores", "volumes"]
    table = read_table(published, "volumes", columns=["volume_key"])
    assert table.to_pylist() == [{"volume_key": f"v{number}"} for number in (1, 3, 5, 0, 2, 4)]
    assert open_table(published, "scores").count_rows() == 1
    with pytest.raises(LakeError, match="there are scores, volumes"):
        read_table(published, "features")


def test_sql_joins_tables(published):
    found = sql(
        published,
        'SELECT v.modality, v.shape[1] AS depth, s."class", s.value FROM volumes v JOIN scores s USING (volume_key)',
    )
    assert isinstance(found, pa.Table)
    assert found.to_pylist() == [{"modality": "CT", "depth": 1, "class": "benign", "value": 0.25}]


@pytest.mark.parametrize(
    "text",
    [
        "FROM volumes",
        "DESCRIBE volumes",
        "SHOW TABLES",
        "SUMMARIZE volumes",
        "EXPLAIN SELECT * FROM volumes",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
        "PIVOT volumes ON modality USING count(*)",
        "SELECT count(*) FROM volumes;",
    ],
)
def test_every_way_to_read_answers(published, text):
    assert sql(published, text).num_rows > 0


@pytest.mark.parametrize(
    "text",
    [
        "COPY volumes TO '{out}/stolen.csv'",
        "ATTACH '{out}/other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TABLE x AS SELECT 1",
        "SET enable_external_access = true",
        "DELETE FROM volumes",
        "EXPORT DATABASE '{out}'",
        "SELECT 1; SELECT 2",
        "",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM read_parquet('{out}/*.parquet')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM published",
        "SELECT * FROM text",
        "SELECT no_such_column FROM volumes",
        "SELEKT 1",
    ],
)
def test_nothing_else_is_reached_or_written(published, tmp_path, text):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ConfigError):
        sql(published, text.format(out=out))
    assert list(out.iterdir()) == []


def test_nothing_published_is_said(lake):
    for ask in (lambda: tables_path(lake), lambda: tables_path(lake, "demo"), lambda: sql(lake, "SELECT 1")):
        with pytest.raises(LakeError, match="no tables are published"):
            ask()


def test_a_recipe_is_read_by_its_name(published):
    publish_tables(published, recipe_name="other", snapshot="cd" * 16, tables={"volumes": (VOLUMES, [])})
    assert read_table(published, "volumes").num_rows == 0
    assert read_table(published, "volumes", recipe="demo").num_rows == 6
    assert sql(published, "SELECT count(*) AS n FROM scores", recipe="demo").to_pylist() == [{"n": 1}]


def test_times_and_decimals_of_a_query_are_arrow(published):
    found = sql(published, "SELECT DATE '2026-01-02' AS day, sum(value) AS total FROM scores")
    assert found.to_pylist() == [{"day": dt.date(2026, 1, 2), "total": 0.25}]


def test_rows_in_memory_are_filtered_by_their_schemas_columns():
    rows = [{"volume_key": "a", "modality": "CT", "other": 1}, {"volume_key": "b", "modality": "MR", "other": 2}]
    tables = {"volumes": (VOLUMES, rows)}
    assert filter_rows(tables, "SELECT volume_key FROM volumes WHERE modality = 'MR'") == [{"volume_key": "b"}]
    for wrong in ("SELECT other FROM volumes", "SELECT * FROM read_text('/etc/hostname')", "DROP VIEW volumes"):
        with pytest.raises(ConfigError):
            filter_rows(tables, wrong)


@pytest.fixture
def rotten(published):
    """Return the lake with one bit of a page of numbers turned over: still a sound Parquet file, but for its sums."""
    (path,) = tables_path(published).joinpath("scores").glob("*.parquet")
    chunks = pq.ParquetFile(path).metadata.row_group(0)
    column = next(
        chunks.column(place) for place in range(chunks.num_columns) if chunks.column(place).path_in_schema == "value"
    )
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    path.write_bytes(data)
    return published


@pytest.mark.parametrize(
    "ask", [lambda lake: read_table(lake, "scores"), lambda lake: sql(lake, "SELECT sum(value) FROM scores")]
)
def test_a_number_that_rotted_on_the_disk_is_an_alarm_and_no_number(rotten, ask):
    with pytest.raises(IntegrityError, match="medpipe verify"):
        ask(rotten)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_a_table_that_rotted_is_not_exported(rotten, tmp_path, suffix):
    with pytest.raises(IntegrityError, match="medpipe verify"):
        export_table(rotten, "scores", tmp_path / f"out{suffix}")
    assert list(tmp_path.glob("*out*")) == []
