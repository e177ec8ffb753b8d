import csv
import math
import re
import zipfile

import pyarrow.parquet as pq
import pytest

from medpipe.contracts.schema import Field, TableSchema
from medpipe.contracts.tables import VOLUMES
from medpipe.errors import ConfigError, LakeError
from medpipe.lake.export import export_table
from tests.lake.at_once import publish_tables

NASTY = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'plain, "quoted"\nline', "a=b", "", None]
SCHEMA = TableSchema(
    "nasty",
    1,
    "a text",
    (
        Field("number", "int64", ""),
        Field("text", "string", ""),
        Field("value", "float64", ""),
        Field("flag", "bool", ""),
        Field("list", "list<float64>", ""),
    ),
    ("number",),
)


@pytest.fixture
def published(lake):
    rows = [
        {"number": number, "text": text, "value": -1.5 if number else math.nan, "flag": True, "list": [1.0, 2.5]}
        for number, text in enumerate(NASTY)
    ]
    tables = {"nasty": (SCHEMA, rows), "volumes": (VOLUMES, [])}
    publish_tables(lake, recipe_name="demo", snapshot="ab" * 16, tables=tables)
    return lake


def escaped(text):
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text


def test_csv_has_every_value_and_no_formula(published, tmp_path):
    assert export_table(published, "nasty", tmp_path / "out.csv") == len(NASTY)
    with (tmp_path / "out.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["text"] for row in found] == [escaped(text) or "" for text in NASTY]
    assert [row["value"] for row in found] == ["nan"] + ["-1.5"] * (len(NASTY) - 1)
    assert {row["list"] for row in found} == {"[1.0, 2.5]"}
    assert {row["flag"] for row in found} == {"true"}


def test_excel_has_every_value_and_no_formula(published, tmp_path):
    export_table(published, "nasty", tmp_path / "out.xlsx")
    with zipfile.ZipFile(tmp_path / "out.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    texts = re.findall(r"<is><t[^>]*>(.*?)</t></is>", sheet, re.DOTALL)
    for text in ("'=1+1", "'+1", "'-1", "'@SUM(A1)", "a=b", "nan", "[1.0, 2.5]"):
        assert text in texts
    assert "=1+1" not in texts
    assert sheet.count("<v>-1.5</v>") == len(NASTY) - 1
    assert sheet.count('t="b"') == len(NASTY)


def test_an_excel_file_is_the_same_whenever_it_is_written(published, tmp_path):
    for name in ("a.xlsx", "b.xlsx"):
        export_table(published, "nasty", tmp_path / name)
    with zipfile.ZipFile(tmp_path / "a.xlsx") as one, zipfile.ZipFile(tmp_path / "b.xlsx") as other:
        assert {name: one.read(name) for name in one.namelist()} == {
            name: other.read(name) for name in other.namelist()
        }


def test_parquet_keeps_values_as_they_are(published, tmp_path):
    export_table(published, "nasty", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["text"].to_pylist() == NASTY
    assert math.isnan(table["value"][0].as_py())


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet"])
def test_an_empty_table_has_its_columns(published, tmp_path, suffix):
    assert export_table(published, "volumes", tmp_path / f"out.{suffix}") == 0
    assert (tmp_path / f"out.{suffix}").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [f"out.{suffix}"]


def test_what_cannot_be_exported_is_said(published, tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.csv, \.xlsx, \.parquet"):
        export_table(published, "nasty", tmp_path / "out.txt")
    with pytest.raises(ConfigError, match="no folder"):
        export_table(published, "nasty", tmp_path / "missing" / "out.csv")
    with pytest.raises(LakeError):
        export_table(published, "missing", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
