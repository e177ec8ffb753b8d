from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from medpipe.cli import main
from medpipe.cli.show import print_pairs, printable
from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table
from medpipe.recipe.recipe import load_recipe
from tests.cli.commands import MEDPIPE, environment, medpipe


def shown(capsys, *words):
    assert main.run([str(word) for word in words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["status", "{lake}"], dict),
        (
            ["query", "{lake}", "SELECT *, 'nan'::DOUBLE AS n, [1.0, NULL] AS l, DATE '2020-01-01' AS d FROM volumes"],
            list,
        ),
        (["explain", "{lake}", "{key}"], dict),
        (["verify", "{lake}"], dict),
        (["models", "{lake}"], list),
        (["ops"], list),
    ],
)
def test_json_is_json_as_every_program_reads_it(words, kind, lake, capsys):
    key = read_table(Lake.open(lake), "regions").column("region_key")[0].as_py()
    text = shown(capsys, *[word.format(lake=lake, key=key) for word in words], "--json")
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert isinstance(found, kind)
    assert found


def test_the_schema_is_json(capsys):
    assert json.loads(shown(capsys, "schema"))["title"] == "medpipe recipe"


def test_a_recipe_is_printed_to_start_from(capsys):
    assert shown(capsys, "recipe") == "archive-quality\none-image\npet-uptake\nwhole-archive\n"
    assert 'name = "whole-archive"' in shown(capsys, "recipe", "whole-archive")


def test_a_parameter_file_is_imported_and_told_line_by_line(tmp_path, capsys):
    given, made = tmp_path / "My params.yaml", tmp_path / "mine.toml"
    given.write_text("setting: {binWidth: 5, label: 1}\n", encoding="utf-8")
    printed = shown(capsys, "recipe", "import", given, "--names", "pyradiomics")
    lines = shown(capsys, "recipe", "import", given, "-o", made, "--names", "pyradiomics").splitlines()
    assert made.read_text(encoding="utf-8") == printed
    recipe = load_recipe(made)
    assert recipe.name == "my-params"
    assert "original_glcm_Contrast" in recipe.feature_columns()
    assert lines[0].split() == ["place", "value", "outcome", "said"]
    assert [line.split()[0] for line in lines[2:4]] == ["setting.binWidth", "setting.label"]
    found = json.loads(shown(capsys, "recipe", "import", given, "--names", "pyradiomics", "--json"))
    assert found["recipe"] == printed
    assert {note["outcome"] for note in found["notes"]} == {"taken", "left out"}


def test_a_query_shows_columns_rows_and_how_many_are_left_out(lake, capsys):
    lines = shown(capsys, "query", lake, "SELECT 1 AS one, NULL AS two FROM range(5)", "--limit", "2").splitlines()
    assert lines == ["one  two", "---  ---", "1    -", "1    -", "(5 rows, 3 not shown)"]


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet"])
def test_an_export_says_how_many_rows_are_where(suffix, lake, tmp_path, capsys):
    out = tmp_path / f"series.{suffix}"
    rows = read_table(Lake.open(lake), "series").num_rows
    assert shown(capsys, "export", lake, "series", "-o", out) == f"{rows} rows of series in {out}\n"
    assert out.stat().st_size > 0


def test_status_and_explain_are_lines_for_people(lake, capsys):
    assert "state           finished" in shown(capsys, "status", lake)
    key = read_table(Lake.open(lake), "volumes").column("volume_key")[0].as_py()
    assert "computed by" in shown(capsys, "explain", lake, key)


def test_nothing_is_a_dash_and_no_empty_heading(capsys):
    print_pairs("facts", {"codes": {}, "more": {"a": 1}})
    assert capsys.readouterr().out.splitlines() == ["facts", "  codes  -", "  more", "    a  1"]


def test_every_model_is_listed_with_its_algorithm(lake, capsys):
    rows = json.loads(shown(capsys, "models", lake, "--json"))
    assert {row["algorithm"] for row in rows} == {"logistic"}


def test_every_damage_is_a_line_of_its_own(lake, tmp_path, capsys):
    shutil.copytree(lake, tmp_path / "lake", symlinks=True)
    damaged = [*tmp_path.glob("lake/objects/??/*/zarr.json")][:2]
    for path in damaged:
        path.write_text("{}")
    assert main.run(["verify", str(tmp_path / "lake")]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3].split() == ["damaged", "2"]
    assert sorted(line.split(": ")[0] for line in lines[-2:]) == sorted(
        f"volume {path.parent.relative_to(tmp_path / 'lake')}" for path in damaged
    )


def test_a_closed_pipe_ends_a_command_quietly(lake, home):
    sql = "SELECT range AS a, repeat('x', 100) AS b FROM range(20000)"
    command = [*MEDPIPE, "query", str(lake), sql, "--limit", "20000"]
    with subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"a ")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_a_pipe_closed_before_the_first_line_is_quiet_too(lake, home):
    command = [*MEDPIPE, "query", str(lake), "SELECT 1 AS a"]
    with subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_doctor_checks_the_machine_without_a_key_of_its_own(home):
    ended = medpipe("doctor", "--json", home=home)
    rows = {row["what"]: row["ok"] for row in json.loads(ended.out)}
    assert ended.code == 0
    assert rows["key"] == "yes"
    assert rows["CUDA device"] in {"yes", "-"}


def test_names_of_structures_are_shown_to_who_has_the_key(lake, home, tmp_path):
    ended = medpipe("rois", lake, "-r", "whole-archive", home=home)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0].split() == ["name", "codes", "source", "objects", "volumes", "label"]
    assert ended.out.splitlines()[2].split() == ["GTV-1", "[SCT:27925004]", "seg", "1", "1", "gtv"]
    (row,) = json.loads(medpipe("rois", lake, "--json", home=home).out)
    assert (row["name"], row["codes"], row["label"]) == ("GTV-1", ["SCT:27925004"], None)
    refused = medpipe("rois", lake, home=tmp_path)
    assert refused.code == 5
    assert "the lake's key only" in refused.refusal()


def test_a_text_of_a_stranger_does_nothing_to_the_terminal():
    assert printable("a\x1b[2Jb\n\u202ec") == "a\\x1b[2Jb\\n\\u202ec"
    assert printable(["é", "\0", 3]) == ["é", "\\x00", 3]
